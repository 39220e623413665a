"""Which crystals of one composition are the same, without comparing each with each."""

import contextlib
import warnings
from collections.abc import Sequence

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

ENERGY_WINDOW = 0.1  # eV/atom; alike, but further apart than this as generated, two crystals are two places to start from
_MAX_STRETCH = 0.25  # of a reduced cell's edges, logarithmic: the matcher's tolerance of 0.2 allows ln(0.8) = -0.22 at most


class Reduced:
    """A crystal prepared for many comparisons: the primitive reduced cell, and its edges at one volume per atom."""

    def __init__(self, structure: Structure):
        with warnings.catch_warnings(), contextlib.suppress(Exception):  # a cell too odd to reduce is compared as it is
            warnings.simplefilter("ignore")
            structure = structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
        self.structure = structure
        lattice, self.nsites = self.structure.lattice, len(self.structure)
        self.edges = np.log(np.sort(lattice.abc) / np.cbrt(lattice.volume / self.nsites))

    def matches(self, other: "Reduced", matcher: StructureMatcher) -> bool:
        """What `matcher.fit` says of the two; False where it fails."""
        if self.nsites != other.nsites or np.abs(self.edges - other.edges).max() > _MAX_STRETCH:
            return False
        try:
            return bool(matcher.fit(self.structure, other.structure, skip_structure_reduction=True))
        except Exception:  # a cell too odd to compare is like no other
            return False


def group_duplicates(structures: Sequence[Structure], energies: np.ndarray, window: float = ENERGY_WINDOW) -> np.ndarray:
    """For each crystal the number of the lowest one that it is a copy of (its own if there is none), int (n,).

    From the lowest upwards, each crystal joins the first group whose lowest member the matcher finds alike (default
    tolerances, any volume) and whose energy is at most `window` below; otherwise it starts a group. Supercells,
    permuted sites and shifted origins are the same crystal. Crystals without an energy are each their own.

    Comparisons grow with n times the number of groups within a window, not with n^2, and most end at the cell's edges.

    Args:
        structures: n crystals of one reduced formula.
        energies: eV/atom (n,).
        window: eV/atom; infinite to compare all.
    """
    energies, matcher = np.asarray(energies, dtype=float), StructureMatcher()
    reduced = {i: Reduced(structures[i]) for i in np.flatnonzero(np.isfinite(energies))}
    groups, lowest = np.arange(len(structures)), []
    for i in np.argsort(energies, kind="stable")[: len(reduced)]:
        near = [j for j in lowest if energies[i] - energies[j] <= window]
        near.sort(key=lambda j: np.abs(reduced[i].edges - reduced[j].edges).max())  # the likeliest first
        groups[i] = next((j for j in near if reduced[i].matches(reduced[j], matcher)), i)
        if groups[i] == i:
            lowest.append(i)
    return groups
