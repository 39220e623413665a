"""Structure validity: no two atoms too close, no empty cell (CDVAE's definition, A Table 1)."""

import numpy as np
import pandas as pd
from pymatgen.core import Lattice

MIN_DISTANCE = 0.5  # Å
MIN_VOLUME = 0.1  # Å^3
_IMAGES = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=float)


def structure_validity(table: pd.DataFrame) -> np.ndarray:
    """Whether each crystal is valid, bool (n,)."""
    columns = zip(table["lattice"], table["frac_coords"], strict=True)
    return np.array([_valid(lattice, coords) for lattice, coords in columns], dtype=bool)


def _valid(lattice: np.ndarray, coords: np.ndarray) -> bool:
    if not np.isfinite(lattice).all() or not np.isfinite(coords).all() or abs(np.linalg.det(lattice)) <= MIN_VOLUME:
        return False
    return min_distance(lattice, coords) > MIN_DISTANCE


def min_distance(lattice: np.ndarray, coords: np.ndarray) -> float:
    """Least distance between atoms, an atom's own images included, Å.

    The 26 neighbouring images are enough for a reduced cell; the cell is LLL-reduced first for those that are not.
    """
    reduced = Lattice(lattice).get_lll_reduced_lattice().matrix
    coords = coords @ lattice @ np.linalg.inv(reduced)
    difference = coords[:, None] - coords[None, :]
    difference -= np.round(difference)
    distances = np.linalg.norm((difference[:, :, None] + _IMAGES) @ reduced, axis=-1)
    itself = (np.eye(len(coords), dtype=bool)[:, :, None]) & (_IMAGES == 0).all(axis=1)
    return float(distances[~itself].min())
