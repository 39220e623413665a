"""A smaller cell of a crystal, compiled: the search of pymatgen's `get_primitive_structure`, in its order."""

import math

import numpy as np
from numba import njit


@njit(cache=True)
def smaller_cell(lattice: np.ndarray, kinds: np.ndarray, coords: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one cell whose translations leave the crystal as it is within the tolerance; it may have a smaller one still.

    Args:
        lattice: rows, Å, (3, 3).
        kinds: the element's place in the order of symbols, (n,), ascending.
        coords: fractional, (n, 3).
        tolerance: Å along each axis, for sites that are one.

    Returns:
        integer matrix (3, 3) whose inverse times the lattice is the cell, its sites' places in `coords`, (m,), and their
        fractional coordinates, (m, 3), averaged over the sites that became one. All are empty if there is none.
    """
    starts, ends = _groups(kinds)
    units = 0
    for group in range(len(starts)):
        units = math.gcd(units, ends[group] - starts[group])
    near = tolerance / np.sqrt((lattice**2).sum(axis=1))
    vectors = _translations(coords, starts, ends, 2 * near)
    turn = np.zeros((3, 3))
    for size in _factors(units):
        if size == 1:
            continue
        for a in _factors(size):
            for e in _factors(size // a):
                g = size // a // e
                turn[0, 0], turn[1, 1], turn[2, 2] = a, e, g
                shears = [f for f in range(e) if _among(np.array([[0, 1 / e, -f / e / g], [0, 0, 1 / g]]), vectors, near)]
                if not len(shears):
                    continue
                for b in range(a):
                    for c in range(a):
                        for f in shears:
                            turn[0, 1], turn[0, 2], turn[1, 2] = b, c, f
                            inverse = np.linalg.inv(turn)
                            if not _among(inverse, vectors, near):
                                continue
                            ftol = tolerance / np.sqrt(((inverse @ lattice) ** 2).sum(axis=1))
                            sites, places = _merge(coords, coords @ turn, starts, ends, size, 2 * near, ftol)
                            if len(sites):
                                return turn, sites, places
    return np.zeros((0, 3)), np.zeros(0, dtype=np.int64), np.zeros((0, 3))


@njit(cache=True)
def _translations(coords, starts, ends, near):
    """Vectors between sites of the rarest element that lead every site near one of its element, (k, 3)."""
    counts = ends - starts
    rarest = np.argmin(counts)
    kept = coords[starts[rarest] : ends[rarest]] - coords[starts[rarest]]
    for group in range(len(starts)):
        for site in range(starts[group], ends[group]):
            count = 0
            for v in range(len(kept)):
                for other in range(starts[group], ends[group]):
                    if _close(kept[v], coords[other] - coords[site], near):
                        kept[count] = kept[v]
                        count += 1
                        break
            kept = kept[:count]
    return kept


@njit(cache=True)
def _among(rows, vectors, near):
    for row in rows:
        found = False
        for vector in vectors:
            if _close(row, vector, near):
                found = True
                break
        if not found:
            return False
    return True


@njit(cache=True)
def _merge(old, new, starts, ends, size, apart, ftol):
    """Sites of the smaller cell and their coordinates, if its sites fall into groups of `size`; else nothing.

    old, new: coordinates in the given and in the smaller cell. apart: sites nearer than this in the given cell are not one.
    """
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 3))
    sites = np.empty(len(new) // size, dtype=np.int64)
    places = np.empty((len(new) // size, 3))
    count = 0
    for group in range(len(starts)):
        start, end = starts[group], ends[group]
        same = np.zeros((end - start, end - start), dtype=np.bool_)
        for i in range(start, end):
            for j in range(start, end):
                same[i - start, j - start] = _close(new[i], new[j], ftol) and (i == j or _beyond(old[i], old[j], apart))
        for i in range(len(same)):
            if same[:, i].sum() != size:
                return nothing
            for j in np.flatnonzero(same[i]):
                for k in np.flatnonzero(same[i]):
                    if not same[j, k]:
                        return nothing
        added = np.zeros(len(same), dtype=np.bool_)
        for i in range(len(same)):
            if added[i]:
                continue
            members = np.flatnonzero(same[i])
            place = new[start + members[0]] % 1
            for rank, member in enumerate(members):
                added[member] = True
                if rank:
                    gap = new[start + member] % 1 - place
                    for axis in range(3):
                        place[axis] += (gap[axis] - round(gap[axis])) / (rank + 1)
            sites[count] = start + members[0]
            places[count] = place
            count += 1
    return sites, places


@njit(cache=True)
def _close(one, other, limit):
    """Whether two fractional coordinates are within the limit of an image along each axis."""
    for axis in range(3):
        gap = one[axis] - other[axis]
        if not abs(gap - round(gap)) < limit[axis]:
            return False
    return True


@njit(cache=True)
def _beyond(one, other, limit):
    """Whether two fractional coordinates are further than the limit along some axis."""
    for axis in range(3):
        gap = one[axis] - other[axis]
        if abs(gap - round(gap)) > limit[axis]:
            return True
    return False


@njit(cache=True)
def _groups(kinds):
    """First places of each kind, and the places after its last."""
    starts = [0]
    for i in range(1, len(kinds)):
        if kinds[i] != kinds[i - 1]:
            starts.append(i)
    ends = starts[1:]
    ends.append(len(kinds))
    return np.array(starts), np.array(ends)


@njit(cache=True)
def _factors(n):
    return [i for i in range(1, n + 1) if n % i == 0]
