"""The best way to lay one crystal on another: its cell and sites in the other's setting and order."""

import math
from dataclasses import dataclass

import numpy as np

from crystalgen.matching.assignment import assign
from crystalgen.matching.lattices import cell_of, lll_basis, parameters, reciprocal_lengths, shortest_vector
from crystalgen.matching.matcher import _WORK, Tolerances, _anchor, _displacements, _lay, _turns
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
    if sample.kinds != target.kinds:
        return None
    ratio = (abs(np.linalg.det(target.lattice)) / abs(np.linalg.det(sample.lattice))) ** (1 / 6)
    first, second = sample.lattice * ratio, target.lattice / ratio
    turns = _turns(first, second, tolerances.ltol, tolerances.angle_tol)
    anchor = _anchor(target.numbers)
    anchors = np.flatnonzero(sample.numbers == target.numbers[anchor])
    least, best = math.inf, -1
    step = max(1, _WORK // len(sample.numbers) ** 3)
    for start in range(0, len(turns) * len(anchors), step):
        _, rms, way = _lay(first, second, turns, anchors, start, start + step, sample.numbers, sample.coords, target.numbers,
                           target.coords, anchor, tolerances.stol, tolerances.by_rms, True)  # fmt: skip
        if rms < least:
            least, best = rms, way
    if best < 0:
        return None
    turn, site = turns[best // len(anchors)], anchors[best % len(anchors)]
    coords = sample.coords @ np.linalg.inv(turn)
    theirs = target.coords + (coords[site] - target.coords[anchor])
    sites = _assignment(coords, theirs, turn @ first, second, sample.numbers, target.numbers, tolerances.stol)
    apart = coords[sites] - theirs
    apart -= np.round(apart)
    return Alignment(turn @ sample.lattice, target.coords + apart - apart.mean(axis=0), least)


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
