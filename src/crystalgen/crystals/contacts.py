"""What is too far from any crystal for a potential's energy to be believed."""

import numpy as np
from ase.data import covalent_radii

from crystalgen.crystals.geometry import nearest_distances


def shortest_bond(lattice: np.ndarray, coords: np.ndarray, numbers: np.ndarray) -> float:
    """The least distance between two atoms, as a share of the sum of their covalent radii.

    lattice: (3, 3), Å. coords: (n, 3), fractional. numbers: (n,) integers.
    """
    radii = covalent_radii[numbers]
    return float((nearest_distances(lattice, coords) / (radii[:, None] + radii[None, :])).min())
