"""Reduced bases of lattices, compiled: the steps that pymatgen takes, so that its results are met to rounding."""

import math

import numpy as np
from numba import njit

_DELTA = 0.75  # Lovász's condition
_MAX_STEPS = 100  # of Niggli's algorithm, as in pymatgen


@njit(cache=True)
def lll_basis(lattice: np.ndarray) -> np.ndarray:
    """Integer matrix (3, 3) whose product with the lattice (rows, Å) is LLL-reduced (Lenstra, Lenstra and Lovász, 1982)."""
    a, turn = lattice.copy(), np.eye(3)
    k = 1
    star, u, norms = _gram_schmidt(a)
    while k < 3:
        for i in range(k - 1, -1, -1):
            q = round(u[k, i])
            if q != 0:
                a[k] -= q * a[i]
                turn[k] -= q * turn[i]
                star, u, norms = _gram_schmidt(a)
        if norms[k] >= (_DELTA - u[k, k - 1] ** 2) * norms[k - 1]:
            k += 1
        else:
            a[k], a[k - 1] = a[k - 1].copy(), a[k].copy()
            turn[k], turn[k - 1] = turn[k - 1].copy(), turn[k].copy()
            star, u, norms = _gram_schmidt(a)
            k = max(k - 1, 1)
    return turn


@njit(cache=True)
def _gram_schmidt(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    star, u, norms = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros(3)
    for i in range(3):
        for axis in range(3):
            star[i, axis] = a[i, axis]
        for j in range(i):
            u[i, j] = (a[i, 0] * star[j, 0] + a[i, 1] * star[j, 1] + a[i, 2] * star[j, 2]) / norms[j]
            for axis in range(3):
                star[i, axis] -= u[i, j] * star[j, axis]
        norms[i] = star[i, 0] ** 2 + star[i, 1] ** 2 + star[i, 2] ** 2
    return star, u, norms


@njit(cache=True)
def niggli_parameters(lattice: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths (Å) and angles (degrees) of the Niggli cell of a lattice.

    The steps A1 to A8 of Grosse-Kunstleve, Sauter and Adams, Acta Cryst. A 60, 1 (2004), from the LLL-reduced cell.

    Args:
        lattice: rows, (3, 3).
        tolerance: Å², of comparisons between entries of the metric tensor.
    """
    e = tolerance
    cell = lll_basis(lattice) @ lattice
    g = cell @ cell.T
    for _ in range(_MAX_STEPS):
        if g[1, 1] + e < g[0, 0] or (abs(g[0, 0] - g[1, 1]) < e and abs(2 * g[1, 2]) > abs(2 * g[0, 2]) + e):
            g = _transformed(g, np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]))
        if g[2, 2] + e < g[1, 1] or (abs(g[1, 1] - g[2, 2]) < e and abs(2 * g[0, 2]) > abs(2 * g[0, 1]) + e):
            g = _transformed(g, np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]]))
            continue
        g = _with_signs(g, e)
        step = _shear(g, e)
        if step[0, 0] == 0:
            break
        g = _transformed(g, step)
    lengths = np.sqrt(np.diag(g))
    angles = np.empty(3)
    for axis, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        angles[axis] = math.degrees(math.acos(g[i, j] / lengths[i] / lengths[j]))
    return lengths, angles


@njit(cache=True)
def _transformed(g: np.ndarray, step: np.ndarray) -> np.ndarray:
    return step.T @ (g @ step)


@njit(cache=True)
def _with_signs(g: np.ndarray, e: float) -> np.ndarray:
    """A3 and A4: all angles acute, or none."""
    signs = np.empty(3)
    for axis, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        value = 2 * g[i, j]
        signs[axis] = 0.0 if abs(value) < e else np.sign(value)
    turn = np.ones(3)
    if signs.prod() == 1:
        turn[signs == -1] = -1
    else:
        turn[signs == 1] = -1
        if turn.prod() == -1:
            for axis in (2, 1, 0):
                if signs[axis] == 0:
                    turn[axis] = -1
                    break
    return _transformed(g, np.diag(turn))


@njit(cache=True)
def _shear(g: np.ndarray, e: float) -> np.ndarray:
    """The first of A5 to A8 that applies; zeros where none does."""
    a, b, xi, eta, zeta = g[0, 0], g[1, 1], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]
    step = np.eye(3)
    if abs(xi) > b + e or (abs(xi - b) < e and zeta - e > 2 * eta) or (abs(xi + b) < e and -e > zeta):
        step[1, 2] = -np.sign(xi)
    elif abs(eta) > a + e or (abs(a - eta) < e and zeta - e > 2 * xi) or (abs(a + eta) < e and -e > zeta):
        step[0, 2] = -np.sign(eta)
    elif abs(zeta) > a + e or (abs(a - zeta) < e and eta - e > 2 * xi) or (abs(a + zeta) < e and -e > eta):
        step[0, 1] = -np.sign(zeta)
    elif -e > xi + eta + zeta + a + b or (abs(xi + eta + zeta + a + b) < e and e < zeta + (a + eta) * 2):
        step[0, 2] = 1.0
        step[1, 2] = 1.0
    else:
        return np.zeros((3, 3))
    return step


@njit(cache=True)
def first_mapping(points: np.ndarray, lattice: np.ndarray, lengths: np.ndarray, angles: np.ndarray, ltol: float, atol: float) -> np.ndarray:
    """Integer matrix (3, 3) whose product with the lattice has such parameters; zeros if there is none.

    Points are taken in their order; the first right-handed choice goes before the first left-handed one.

    Args:
        points: integers of lattice points, (p, 3).
        lengths, angles: asked for, Å and degrees.
        ltol, atol: fraction of the lengths, and degrees.
    """
    vectors = points @ lattice
    sizes = np.sqrt((vectors**2).sum(axis=1))
    near = near_lengths(sizes, lengths, ltol)
    found, first = np.empty((3, 3)), np.zeros((3, 3))
    for i in np.flatnonzero(near[0]):
        for j in np.flatnonzero(near[1]):
            if abs(angle(vectors[i], vectors[j]) - angles[2]) > atol:
                continue
            for k in np.flatnonzero(near[2]):
                if abs(angle(vectors[j], vectors[k]) - angles[0]) > atol or abs(angle(vectors[i], vectors[k]) - angles[1]) > atol:
                    continue
                found[0], found[1], found[2] = points[i], points[j], points[k]
                handedness = np.linalg.det(found)
                if handedness > 0.5:
                    return found
                if handedness < -0.5 and not first.any():
                    first[:] = found
    return first


@njit(cache=True)
def near_lengths(sizes: np.ndarray, lengths: np.ndarray, ltol: float) -> np.ndarray:
    """Return whether each of p vectors is as long as each cell edge, within a fraction either way: booleans (3, p)."""
    near = np.empty((3, len(sizes)), dtype=np.bool_)
    for axis in range(3):
        ratio = sizes / lengths[axis]
        near[axis] = (ratio < 1 + ltol) & (ratio > 1 / (1 + ltol))
    return near


@njit(cache=True)
def angle(one: np.ndarray, other: np.ndarray) -> float:
    """Degrees between two vectors (3,)."""
    both = one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
    squares = (one[0] ** 2 + one[1] ** 2 + one[2] ** 2) * (other[0] ** 2 + other[1] ** 2 + other[2] ** 2)
    cosine = both / math.sqrt(squares)
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


@njit(cache=True)
def lattice_points(lattice, reach):
    """Lattice points within `reach` (Å) of the origin: integers (p, 3), vectors (p, 3), distances (p,)."""
    most = np.empty(3, dtype=np.int64)
    for axis, length in enumerate(reciprocal_lengths(lattice)):
        most[axis] = int(reach * length + 1e-6)
    points = np.empty(((2 * most[0] + 1) * (2 * most[1] + 1) * (2 * most[2] + 1), 3))
    count = 0
    for a in range(-most[0], most[0] + 1):
        for b in range(-most[1], most[1] + 1):
            for c in range(-most[2], most[2] + 1):
                points[count] = (a, b, c)
                count += 1
    vectors = points @ lattice
    distances = np.sqrt((vectors**2).sum(axis=1))
    inside = (distances <= reach) & (distances > 0)
    return points[inside], vectors[inside], distances[inside]


@njit(cache=True)
def shortest_vector(lattice):
    """Return the length of the shortest vector of an LLL-reduced lattice with coefficients of at most 1."""
    least = np.inf
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            for c in (-1, 0, 1):
                if a != 0 or b != 0 or c != 0:
                    square = 0.0
                    for axis in range(3):
                        square += (a * lattice[0, axis] + b * lattice[1, axis] + c * lattice[2, axis]) ** 2
                    least = min(least, square)
    return math.sqrt(least)


@njit(cache=True)
def parameters(cell):
    """Return the lengths (3,) and angles in degrees (3,)."""
    lengths = np.sqrt((cell**2).sum(axis=1))
    return lengths, np.array([angle(cell[1], cell[2]), angle(cell[0], cell[2]), angle(cell[0], cell[1])])


@njit(cache=True)
def cell_of(lengths, angles):
    """Lower triangular cell (3, 3) of such parameters."""
    cosines, sine = np.cos(np.radians(angles)), math.sin(math.radians(angles[2]))
    along = (cosines[0] - cosines[1] * cosines[2]) / sine
    cell = np.zeros((3, 3))
    cell[0, 0] = lengths[0]
    cell[1, 0], cell[1, 1] = lengths[1] * cosines[2], lengths[1] * sine
    cell[2, 0], cell[2, 1] = lengths[2] * cosines[1], lengths[2] * along
    cell[2, 2] = lengths[2] * math.sqrt(max(1 - cosines[1] ** 2 - along**2, 0.0))
    return cell


@njit(cache=True)
def reciprocal_lengths(cell):
    """Return the lengths of the reciprocal vectors without 2 pi, (3,)."""
    return np.sqrt((np.linalg.inv(cell) ** 2).sum(axis=0))


@njit(cache=True)
def unimodular_inverse(turn):
    """Return the inverse of a matrix (3, 3) of whole numbers with a determinant of 1 or -1, without rounding."""
    inverse = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            row, column = (j + 1) % 3, (i + 1) % 3
            after, beside = (j + 2) % 3, (i + 2) % 3
            inverse[i, j] = turn[row, column] * turn[after, beside] - turn[row, beside] * turn[after, column]
    return inverse * (turn[0, 0] * inverse[0, 0] + turn[0, 1] * inverse[1, 0] + turn[0, 2] * inverse[2, 0])
