"""Structure validity: no two atoms too close, no empty cell (CDVAE's definition, A Table 1)."""

import numpy as np
import pandas as pd

from crystalgen.crystals.geometry import nearest_distances
from crystalgen.crystals.schema import MIN_VOLUME

MIN_DISTANCE = 0.5  # Å


def structure_validity(table: pd.DataFrame) -> np.ndarray:
    """Whether each crystal is valid, bool (n,)."""
    columns = zip(table["lattice"], table["frac_coords"], strict=True)
    return np.array([_valid(lattice, coords) for lattice, coords in columns], dtype=bool)


def _valid(lattice: np.ndarray, coords: np.ndarray) -> bool:
    if not np.isfinite(lattice).all() or not np.isfinite(coords).all() or abs(np.linalg.det(lattice)) <= MIN_VOLUME:
        return False
    return bool(nearest_distances(lattice, coords).min() > MIN_DISTANCE)
