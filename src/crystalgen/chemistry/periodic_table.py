"""Where an element stands on UniMat's 9 x 18 periodic table (A §2.1)."""

from functools import lru_cache

import numpy as np
from pymatgen.core import Element

from crystalgen.chemistry.elements import MAX_Z

PERIODS, GROUPS = 9, 18  # rows 8 and 9 hold the lanthanides and actinides
_FIRST_F_COLUMN = 2  # La and Ac stand below group 3


@lru_cache(maxsize=1)
def positions() -> np.ndarray:
    """Row and column of each element, int (104, 2), 0-based; row 0 of the array (no atom) is -1."""
    table = np.full((MAX_Z + 1, 2), -1)
    for z in range(1, MAX_Z + 1):
        if 57 <= z <= 71:
            table[z] = 7, _FIRST_F_COLUMN + z - 57
        elif 89 <= z <= 103:
            table[z] = 8, _FIRST_F_COLUMN + z - 89
        else:
            element = Element.from_Z(z)
            table[z] = element.row - 1, element.group - 1
    return table


def block(atomic_numbers) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest table that holds the elements: the periods and the groups in use, each sorted.

    One element gives a 1 x 1 table (carbon), two groups a table of two columns: UniMat's H and W.
    """
    used = positions()[np.unique(np.asarray(list(atomic_numbers), dtype=int))]
    return np.unique(used[:, 0]), np.unique(used[:, 1])
