"""Linear assignment, compiled, for matrices too small for a call out of compiled code."""

import numpy as np
from numba import njit


@njit(cache=True)
def assign(cost: np.ndarray) -> np.ndarray:
    """Return the column of each row, (n,), so that the sum of costs (n, n) is least.

    Shortest augmenting paths (Crouse, IEEE Trans. Aerosp. Electron. Syst. 52, 1679 (2016)); of columns that are equally
    far it takes the one that SciPy's `linear_sum_assignment` takes. All costs are finite.
    """
    n = len(cost)
    row_price, column_price = np.zeros(n), np.zeros(n)
    row_of, column_of = np.full(n, -1), np.full(n, -1)
    before = np.empty(n, dtype=np.int64)
    left = np.empty(n, dtype=np.int64)
    for start in range(n):
        distance = np.full(n, np.inf)
        rows, columns = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        for place in range(n):
            left[place] = n - 1 - place
        remaining, least, row, end = n, 0.0, start, -1
        while end == -1:
            rows[row] = True
            chosen, lowest = -1, np.inf
            for place in range(remaining):
                column = left[place]
                through = least + cost[row, column] - row_price[row] - column_price[column]
                if through < distance[column]:
                    before[column], distance[column] = row, through
                if distance[column] < lowest or (distance[column] == lowest and row_of[column] == -1):
                    chosen, lowest = place, distance[column]
            least, column = lowest, left[chosen]
            columns[column] = True
            remaining -= 1
            left[chosen] = left[remaining]
            if row_of[column] == -1:
                end = column
            else:
                row = row_of[column]
        row_price[start] += least
        for other in range(n):
            if rows[other] and other != start:
                row_price[other] += least - distance[column_of[other]]
            if columns[other]:
                column_price[other] -= least - distance[other]
        column = end
        while True:
            row = before[column]
            row_of[column] = row
            column, column_of[row] = column_of[row], column
            if row == start:
                break
    return column_of
