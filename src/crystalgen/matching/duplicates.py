"""Which crystals of one composition are the same, without comparing each with each."""

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure

from crystalgen.matching.matcher import Tolerances, compare
from crystalgen.matching.reduction import reduce_cell

ENERGY_WINDOW = 0.1  # eV/atom; alike, but further apart than this as generated, two crystals are two places to start from


class Reduced:
    """A crystal prepared for many comparisons: the primitive reduced cell, and its edges at one volume per atom."""

    def __init__(self, structure: Structure):
        lattice, sites = structure.lattice.matrix, len(structure)
        try:
            self.cell = reduce_cell(lattice, np.array(structure.atomic_numbers), structure.frac_coords)
        except ValueError:  # a cell too odd to reduce is like no other
            self.cell = None
        else:
            lattice, sites = self.cell.lattice, len(self.cell.numbers)
        self.edges = np.log(np.sort(np.linalg.norm(lattice, axis=1)) / np.cbrt(abs(np.linalg.det(lattice)) / sites))

    def matches(self, reference: "Reduced") -> bool:
        """StructureMatcher's verdict on this crystal and a reference, at its default tolerances; False where there is none."""
        both = self.cell is not None and reference.cell is not None
        return both and compare(self.cell, reference.cell, Tolerances(), with_rms=False)[0]


def group_duplicates(structures: Sequence[Structure], energies: np.ndarray, window: float = ENERGY_WINDOW) -> np.ndarray:
    """For each crystal the number of the lowest one that it is a copy of (its own if there is none), int (n,).

    From the lowest upwards, each crystal joins the first group whose lowest member the matcher finds alike (default
    tolerances, any volume) and whose energy is at most `window` below; otherwise it starts a group. Supercells,
    permuted sites and shifted origins are the same crystal. Crystals without an energy are each their own.

    Comparisons grow with n times the number of groups within a window, not with n^2.

    Args:
        structures: n crystals of one reduced formula.
        energies: eV/atom (n,).
        window: eV/atom; infinite to compare all.
    """
    energies = np.asarray(energies, dtype=float)
    reduced = {i: Reduced(structures[i]) for i in np.flatnonzero(np.isfinite(energies))}
    groups, lowest = np.arange(len(structures)), []
    for i in np.argsort(energies, kind="stable")[: len(reduced)]:
        near = [j for j in lowest if energies[i] - energies[j] <= window]
        near.sort(key=lambda j: np.abs(reduced[i].edges - reduced[j].edges).max())  # the likeliest first
        groups[i] = next((j for j in near if reduced[i].matches(reduced[j])), i)
        if groups[i] == i:
            lowest.append(i)
    return groups
