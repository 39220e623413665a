"""The best way to lay one crystal on another: its cell and sites in the other's setting and order."""

from dataclasses import dataclass

import numpy as np

from crystalgen.matching.assignment import assign
from crystalgen.matching.lattices import cell_of, lll_basis, parameters, reciprocal_lengths, shortest_vector
from crystalgen.matching.matcher import Tolerances, _displacements, best_way
from crystalgen.matching.reduction import ReducedCell


@dataclass(frozen=True)
class Alignment:
    """A crystal in another's setting.

    lattice: (3, 3), Å, at its own volume. coords: (n, 3), fractional, site i beside site i of the other and in its image next to it,
    moved so that the mean displacement is zero. rms: root mean square displacement in units of (volume / sites)^(1/3).
    """

    lattice: np.ndarray
    coords: np.ndarray
    rms: float


def align(sample: ReducedCell, target: ReducedCell, tolerances: Tolerances) -> Alignment | None:
    """Lay the sample on the target as `matcher.compare` does, by the way of least displacement; None where nothing fits."""
    _, rms, way = best_way(sample, target, tolerances)
    if way is None:
        return None
    coords = sample.coords @ np.linalg.inv(way.turn)
    theirs = target.coords + (coords[way.site] - target.coords[way.anchor])
    sites = _assignment(coords, theirs, way.turn @ way.first, way.second, sample.numbers, target.numbers, tolerances.stol)
    apart = coords[sites] - theirs
    apart -= np.round(apart)
    return Alignment(way.turn @ sample.lattice, target.coords + apart - apart.mean(axis=0), rms)


def _assignment(coords, theirs, first, second, numbers, their_numbers, stol) -> np.ndarray:
    """Return the sample's site on each of the target's, (n,), as `_lay` finds it."""
    (lengths, angles), (their_lengths, their_angles) = parameters(first), parameters(second)
    cell = cell_of((lengths + their_lengths) / 2, (angles + their_angles) / 2)
    mapping = lll_basis(cell)
    reduced, basis = mapping @ cell, np.linalg.inv(mapping)
    n = len(numbers)
    limit = 2 * stol * (abs(np.linalg.det(cell)) / n) ** (1 / 3) * reciprocal_lengths(reduced)
    cost, vectors = np.empty((n, n)), np.empty((n, n, 3))
    _displacements(coords @ basis, numbers, theirs @ basis, their_numbers, reduced, shortest_vector(reduced), limit, cost, vectors)
    return assign(cost)
