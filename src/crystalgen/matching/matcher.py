"""StructureMatcher's verdict on two reduced cells, compiled.

The search is pymatgen's (scaled to one volume, no supercells, no subsets): every way to lay the sample's cell on the target's
within the tolerances of lengths and angles, every translation that lays an atom of the rarest element on another, the best
assignment of sites, and its displacements without their mean. Since cells are looked for in the sample's lattice alone, the
verdict can depend on which crystal comes first; it is the sample, as in the scripts of DiffCSP, CDVAE, OMatG and MatterGen.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from crystalgen.matching.assignment import assign
from crystalgen.matching.lattices import (
    angle,
    cell_of,
    lattice_points,
    lll_basis,
    near_lengths,
    parameters,
    reciprocal_lengths,
    shortest_vector,
    unimodular_inverse,
)
from crystalgen.matching.reduction import ReducedCell

_FAR = 1e20  # squared distance of sites that cannot be one, as in pymatgen
_EXACT = 1e-5  # pymatgen ends its search at a displacement below this
_WORK = 10**8  # of about the sites' number cubed a try; compiled code cannot be stopped, so it runs in parts of a second or so


@dataclass(frozen=True)
class Tolerances:
    """StructureMatcher's; its defaults, which B uses.

    by_rms: two crystals match if the root mean square displacement is within `stol`, not the largest one.
    """

    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5.0
    by_rms: bool = False


TWICE, FIVEFOLD = Tolerances(0.4, 0.6, 10.0), Tolerances(1.0, 1.5, 25.0)  # B's, so many times as wide
CSP = Tolerances(ltol=0.3, stol=0.5, angle_tol=10.0, by_rms=True)  # of crystal structure prediction (CDVAE, DiffCSP)


def compare(sample: ReducedCell, target: ReducedCell, tolerances: Tolerances, with_rms: bool = True) -> tuple[bool, float]:
    """Return whether two crystals match, and their least root mean square displacement in units of (volume / sites)^(1/3).

    The verdict is that of `StructureMatcher.fit(sample, target)`, the displacement that of `get_rms_dist(sample, target)`; with
    `by_rms` both are the latter's.

    Args:
        sample, target: see `reduction.reduce_cell`.
        tolerances: of lengths (a fraction), sites (in the units above) and angles (degrees).
        with_rms: without it, the search ends at the first match, and the displacement is NaN.
    """
    matched, least, _ = best_way(sample, target, tolerances, with_rms)
    return matched, least if matched and with_rms else math.nan


@dataclass(frozen=True)
class Way:
    """A way to lay a sample on a target: its cell by `turn`, its `site` on the target's `anchor`, and its site on each of the target's."""

    turn: np.ndarray
    site: int
    anchor: int
    sites: np.ndarray


def best_way(sample: ReducedCell, target: ReducedCell, tolerances: Tolerances, with_rms: bool = True) -> tuple[bool, float, Way | None]:
    """Return whether two crystals match, the least displacement, and the way that has it, None where no way fits; see `compare`."""
    matched, least, best = False, math.inf, None
    if sample.kinds != target.kinds:
        return matched, least, best
    ratio = (abs(np.linalg.det(target.lattice)) / abs(np.linalg.det(sample.lattice))) ** (1 / 6)
    first, second = sample.lattice * ratio, target.lattice / ratio
    turns = _turns(first, second, tolerances.ltol, tolerances.angle_tol)
    anchor = _anchor(target.numbers)
    anchors = np.flatnonzero(sample.numbers == target.numbers[anchor])
    step = max(1, _WORK // len(sample.numbers) ** 3)
    for start in range(0, len(turns) * len(anchors), step):
        found, rms, way, sites = _lay(first, second, turns, anchors, start, start + step, sample.numbers, sample.coords, target.numbers,
                                      target.coords, anchor, tolerances.stol, tolerances.by_rms, with_rms)  # fmt: skip
        matched = matched or found
        if rms < least:
            least, best = rms, Way(turns[way // len(anchors)], anchors[way % len(anchors)], anchor, sites)
        if matched and (not with_rms or least < _EXACT):
            break
    return matched, least, best


@njit(cache=True)
def _turns(first, second, ltol, atol):
    """Integer matrices whose products with `first` are cells like `second`, (k, 3, 3)."""
    lengths, angles = parameters(second)
    points, vectors, distances = lattice_points(first, lengths.max() * (1 + ltol))
    near = near_lengths(distances, lengths, ltol)
    seconds, thirds = np.flatnonzero(near[1]), np.flatnonzero(near[2])
    turns = []
    for i in np.flatnonzero(near[0]):
        along_b = [k for k in thirds if abs(angle(vectors[i], vectors[k]) - angles[1]) <= atol]
        if not len(along_b):
            continue
        for j in seconds:
            if abs(angle(vectors[i], vectors[j]) - angles[2]) > atol:
                continue
            x = points[i, 1] * points[j, 2] - points[i, 2] * points[j, 1]
            y = points[i, 2] * points[j, 0] - points[i, 0] * points[j, 2]
            z = points[i, 0] * points[j, 1] - points[i, 1] * points[j, 0]
            for k in along_b:  # the determinant is a whole number
                if (
                    abs(x * points[k, 0] + y * points[k, 1] + z * points[k, 2]) == 1
                    and abs(angle(vectors[j], vectors[k]) - angles[0]) <= atol
                ):
                    turn = np.empty((3, 3))
                    turn[0], turn[1], turn[2] = points[i], points[j], points[k]
                    turns.append(turn)
    found = np.empty((len(turns), 3, 3))
    for place, turn in enumerate(turns):
        found[place] = turn
    return found


@njit(cache=True)
def _lay(first, second, turns, anchors, start, stop, numbers, coords, other_numbers, other_coords, anchor, stol, by_rms, with_rms):
    """Whether one of the ways from `start` to `stop` is a match, the least root mean square displacement of them, which has it, and how.

    A way is a turn of our cell and a site of ours, of `anchors`, on which the other's site `anchor` comes to lie; ways are
    counted site by site. How: our site on each of the other's.
    """
    sites = len(numbers)
    their_lengths, their_angles = parameters(second)
    cost, vectors = np.empty((sites, sites)), np.empty((sites, sites, 3))
    basis, reduced, limit = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    ours, tolerance, cell = coords, limit, basis
    unit, shortest, last = 0.0, -1.0, -1
    matched, least, best, best_sites = False, np.inf, -1, np.empty(0, dtype=np.int64)
    for way in range(start, min(stop, len(turns) * len(anchors))):
        at = way // len(anchors)
        if at != last:
            lengths, angles = parameters(turns[at] @ first)
            cell = cell_of((lengths + their_lengths) / 2, (angles + their_angles) / 2)
            unit = (abs(np.linalg.det(cell)) / sites) ** (1 / 3)
            tolerance = 2 * stol * unit * reciprocal_lengths(cell)
            ours = coords @ unimodular_inverse(turns[at])
            last, shortest = at, -1.0
        shift = ours[anchors[way % len(anchors)]] - other_coords[anchor]
        if not _possible(ours, numbers, other_coords, other_numbers, shift, tolerance):
            continue
        if shortest < 0:  # the first way with this turn that may fit
            mapping = lll_basis(cell)
            reduced[:] = mapping @ cell
            basis[:] = unimodular_inverse(mapping)
            shortest = shortest_vector(reduced)
            limit[:] = 2 * stol * unit * reciprocal_lengths(reduced)
        _displacements(ours @ basis, numbers, (other_coords + shift) @ basis, other_numbers, reduced, shortest, limit, cost, vectors)
        assigned = assign(cost)
        largest, rms = _spread(assigned, cost, vectors)
        matched |= (rms if by_rms else largest) / unit < stol
        if rms / unit < least:
            least, best, best_sites = rms / unit, way, assigned
        if matched and (not with_rms or least < _EXACT):
            break
    return matched, least, best, best_sites


@njit(cache=True)
def _possible(ours, numbers, theirs, their_numbers, shift, tolerance):
    """Whether every site of the other has one of ours of its element within the tolerance."""
    for i in range(len(theirs)):
        found = False
        for j in range(len(ours)):
            if numbers[j] != their_numbers[i]:
                continue
            found = True
            for axis in range(3):
                gap = theirs[i, axis] + shift[axis] - ours[j, axis]
                if abs(gap - round(gap)) > tolerance[axis]:
                    found = False
                    break
            if found:
                break
        if not found:
            return False
    return True


@njit(cache=True)
def _displacements(ours, numbers, theirs, their_numbers, reduced, shortest, limit, cost, vectors):
    """Fill `vectors` (n, n, 3) from the other's sites to ours with the shortest, and `cost` with their squares.

    A vector of at most half the shortest lattice vector is the shortest of its images; of others, the neighbours are tried.
    """
    gap, vector = np.empty(3), np.empty(3)
    for i in range(len(theirs)):
        for j in range(len(ours)):
            cost[i, j] = _FAR
            if numbers[j] != their_numbers[i]:
                continue
            inside = True
            for axis in range(3):
                gap[axis] = ours[j, axis] - theirs[i, axis]
                gap[axis] -= round(gap[axis])
                inside &= abs(gap[axis]) <= limit[axis]
            if not inside:
                continue
            for axis in range(3):
                vectors[i, j, axis] = gap[0] * reduced[0, axis] + gap[1] * reduced[1, axis] + gap[2] * reduced[2, axis]
            best = (vectors[i, j] ** 2).sum()
            if best > 0.25 * shortest * shortest:
                for a in (-1, 0, 1):
                    for b in (-1, 0, 1):
                        for c in (-1, 0, 1):
                            square = 0.0
                            for axis in range(3):
                                vector[axis] = (
                                    (gap[0] + a) * reduced[0, axis] + (gap[1] + b) * reduced[1, axis] + (gap[2] + c) * reduced[2, axis]
                                )
                                square += vector[axis] * vector[axis]
                            if square < best:
                                best = square
                                vectors[i, j] = vector
            cost[i, j] = best


@njit(cache=True)
def _spread(assigned, cost, vectors):
    """Largest and root mean square displacement (Å) of an assignment without its mean; infinite where a site has no other."""
    sites = len(assigned)
    mean = np.zeros(3)
    for i in range(sites):
        if cost[i, assigned[i]] >= _FAR:
            return np.inf, np.inf
        mean += vectors[i, assigned[i]]
    mean /= sites
    largest, total = 0.0, 0.0
    for i in range(sites):
        square = ((vectors[i, assigned[i]] - mean) ** 2).sum()
        largest = max(largest, square)
        total += square
    return math.sqrt(largest), math.sqrt(total / sites)


@njit(cache=True)
def _anchor(numbers: np.ndarray) -> int:
    """The first site of the rarest element; of equally rare ones the first in the cell."""
    anchor, fewest = 0, len(numbers) + 1
    for site in range(len(numbers)):
        count = (numbers == numbers[site]).sum()
        if count < fewest:
            anchor, fewest = site, count
    return anchor
