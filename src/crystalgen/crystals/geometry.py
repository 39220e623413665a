"""Geometry of a cell: whether it is one, distances under periodic boundary conditions, handedness of the basis."""

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice

from crystalgen.crystals.schema import MIN_VOLUME

_WORDS = ("no direction", "one direction", "two directions")
IMAGES = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=float)


def nearest_distances(lattice: np.ndarray, coords: np.ndarray) -> np.ndarray:
    """Return the least distance between each two atoms over all images, Å (n, n); on the diagonal, to an atom's own images.

    The 26 neighbouring images are enough in an LLL-reduced cell, so the cell is reduced first.

    lattice: (3, 3), Å. coords: (n, 3), fractional.
    """
    reduced = Lattice(lattice).get_lll_reduced_lattice().matrix
    coords = coords @ lattice @ np.linalg.inv(reduced)
    difference = coords[:, None] - coords[None, :]
    difference -= np.round(difference)
    distances = np.linalg.norm((difference[:, :, None] + IMAGES) @ reduced, axis=-1)
    itself = np.eye(len(coords), dtype=bool)[:, :, None] & (IMAGES == 0).all(axis=1)
    return np.where(itself, np.inf, distances).min(axis=-1)


def cell_problem(lattice: np.ndarray, coords: np.ndarray) -> str | None:
    """Return what makes a cell no crystal's: numbers that are not finite, or no volume; None where nothing does."""
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        return "a lattice vector or coordinate is not finite"
    if not abs(np.linalg.det(lattice)) > MIN_VOLUME:
        return f"the cell's volume is not above {MIN_VOLUME} Å^3"
    return None


def period_problem(periodic: Sequence[bool]) -> str | None:
    """Return what is wrong with directions of which not all three are periodic, or None."""
    count = int(np.sum(periodic))
    return None if count == 3 else f"periodic in {_WORDS[count]}, expected three"


def right_handed(lattice: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same crystal on a right-handed basis, lattice (3, 3) and coords (n, 3): cell parameters know no other.

    Turning the basis into its mirror image instead would turn the crystal into another one.
    """
    return (-lattice, -coords) if np.linalg.det(lattice) < 0 else (lattice, coords)
