"""What no potential is asked to relax, found from the crystal alone: before any potential is imported, within milliseconds.

A potential's neighbours grow with the square of the density: ten atoms in 5 Å^3 fill the memory before a time limit is seen. And one
asked for an element that it never saw fails in words of its own, or answers with untrained weights.
"""

import numpy as np
import pandas as pd
from ase.data import covalent_radii
from pymatgen.core import Lattice
from pymatgen.optimization.neighbors import find_points_in_spheres

from crystalgen.potentials.registry import find_potential
from crystalgen.utils.elements import SYMBOLS

MIN_CONTACT = 0.25  # of the sum of two covalent radii; half of what a result must have (`utils.limits`), since forces part close atoms
MAX_FILLING = 6.0  # volume of the atoms' covalent spheres in that of the cell; 0.1 to 1.2 in the library


def refusals(table: pd.DataFrame, geometry: str, energy: str) -> np.ndarray:
    """Return why each crystal is not to be relaxed, str (n,); empty where nothing speaks against it.

    table: crystals. geometry, energy: potentials (see `registry`).
    """
    cells = zip(table["lattice"], table["frac_coords"], table["atomic_numbers"], strict=True)
    return np.array([_unknown(numbers, geometry, energy) or _too_close(m, x, numbers) for m, x, numbers in cells], dtype=object)


def unknown_elements(table: pd.DataFrame, *names: str) -> np.ndarray:
    """Return what potentials do not know of each crystal, str (n,); empty where they know its elements."""
    return np.array([_unknown(numbers, *names) for numbers in table["atomic_numbers"]], dtype=object)


def _unknown(numbers: np.ndarray, *names: str) -> str:
    """Name the potentials that do not know an element, and the elements."""
    present, lacking = set(np.unique(numbers).tolist()), {}
    for potential in map(find_potential, dict.fromkeys(names)):
        if unknown := sorted(present - potential.elements):
            lacking.setdefault(tuple(unknown), []).append(potential.source)
    return "; ".join(
        f"{' and '.join(sources)} {'do' if len(sources) > 1 else 'does'} not know {', '.join(SYMBOLS[z - 1] for z in unknown)}"
        for unknown, sources in lacking.items()
    )


def _too_close(lattice: np.ndarray, coords: np.ndarray, numbers: np.ndarray) -> str:
    radii, volume = covalent_radii[numbers], abs(np.linalg.det(lattice))
    if (filling := float(4 / 3 * np.pi * (radii**3).sum() / volume)) > MAX_FILLING:
        return f"atoms too close: {len(numbers)} in {volume:.1f} Å^3, {filling:.0f} times the volume; expected {MAX_FILLING:g} at most"
    reduced = np.ascontiguousarray(Lattice(lattice).get_lll_reduced_lattice().matrix)
    positions = np.ascontiguousarray((coords @ lattice @ np.linalg.inv(reduced)) % 1.0 @ reduced)
    reach, periodic = MIN_CONTACT * 2 * radii.max(), np.ones(3, dtype=int)
    one, other, shifts, distances = find_points_in_spheres(positions, positions, float(reach), periodic, reduced, 1e-8)
    pairs = (one != other) | shifts.any(axis=1)  # without each atom and itself
    least = float((distances / (radii[one] + radii[other]))[pairs].min(initial=np.inf))
    return f"atoms too close: at {least:.2f} of the sum of their radii; expected {MIN_CONTACT:g} at least" if least < MIN_CONTACT else ""
