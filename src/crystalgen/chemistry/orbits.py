"""How the atoms of a primitive cell can fill the Wyckoff positions of a space group, and which groups and cells are possible."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import gcd

import numpy as np

from crystalgen.chemistry.spacegroups import symmetry_dataset
from crystalgen.chemistry.wyckoff import Site, SpaceGroup, space_group
from crystalgen.utils.elements import SYMBOLS

_MOST_FILLINGS = 400  # of one request that are looked at
_NODES = 20_000  # of the search for them
_MOST_UNITS = 8  # formula units that a refusal names
_SYMPREC = 1e-4  # Å, of cells without noise
_FREEST = 6  # fillings; if none of those with the most freedom shows the group alone, none is taken to
_MOST_CHECKED = 200  # fillings whose symmetry is looked at
_LARGEST_CHECKED = 16  # atoms of a cell up to which a refusal looks at the symmetry of the crystals that it names


@dataclass(frozen=True)
class Filling:
    """Positions of each species. weight: relative to the other fillings of a request. positions: (atomic number, letter) of each orbit."""

    positions: tuple[tuple[int, str], ...]
    weight: float

    def __str__(self) -> str:
        return " ".join(f"{SYMBOLS[z - 1]}:{letter}" for z, letter in self.positions)


def is_possible(counts: tuple[int, ...], number: int) -> bool:
    """Say whether species of so many atoms in a primitive cell can fill the positions of a group; those without freedom at most once."""
    sites = space_group(number).sites
    free = tuple(sorted({site.multiplicity for site in sites if site.freedom}))
    fixed = [site.multiplicity for site in sites if not site.freedom]
    kinds = tuple(sorted(set(fixed), reverse=True))

    @cache
    def fills(species: int, left: tuple[int, ...]) -> bool:
        if species == len(counts):
            return True
        return any(fills(species + 1, rest) for rest in _remainders(counts[species], kinds, left, free))

    return fills(0, tuple(fixed.count(kind) for kind in kinds))


def _remainders(count: int, kinds: tuple[int, ...], left: tuple[int, ...], free: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """What is left of the positions without freedom, for each way in which one species can use them."""
    if not kinds:
        if _is_sum(count, free):
            yield ()
        return
    for used in range(min(left[0], count // kinds[0]) + 1):
        for rest in _remainders(count - used * kinds[0], kinds[1:], left[1:], free):
            yield (left[0] - used, *rest)


@cache
def _is_sum(count: int, parts: tuple[int, ...]) -> bool:
    reached = {0}
    for total in range(1, count + 1):
        if any(total - part in reached for part in parts):
            reached.add(total)
    return count in reached


def fillings(numbers: np.ndarray, number: int, frequencies: dict[str, float] | None = None, most: int = 64) -> list[Filling]:
    """Return ways to fill a group's positions with a primitive cell's atoms, the likeliest first, but for those of a higher symmetry.

    A filling weighs as the product of its positions' frequencies, one factor an orbit; so few orbits outweigh many.

    Args:
        numbers: atomic numbers (n,).
        number: of the space group.
        frequencies: of letters in crystals of the group; 1 is added to each, so that what never occurred stays possible.
        most: fillings that are returned.
    """
    kinds, counts = np.unique(numbers, return_counts=True)
    if not is_possible(tuple(counts.tolist()), number):
        return []
    group = space_group(number)
    known = {site.letter: 1.0 + (frequencies or {}).get(site.letter, 0.0) for site in group.sites}
    total = sum(known.values())
    sites = sorted(group.sites, key=lambda site: (-known[site.letter], -site.multiplicity))
    found: list[Filling] = []
    nodes = 0

    def search(species: int, left: int, start: int, used: frozenset[str], chosen: tuple[tuple[int, str], ...]) -> None:
        nonlocal nodes
        nodes += 1
        if nodes > _NODES or len(found) >= _MOST_FILLINGS:
            return
        if left == 0 and species + 1 == len(kinds):
            found.append(Filling(chosen, float(np.prod([known[letter] / total for _, letter in chosen]))))
            return
        if left == 0:
            search(species + 1, int(counts[species + 1]), 0, used, chosen)
            return
        for place in range(start, len(sites)):
            site = sites[place]
            if site.multiplicity <= left and site.letter not in used:
                taken = used if site.freedom else used | {site.letter}
                search(species, left - site.multiplicity, place, taken, (*chosen, (int(kinds[species]), site.letter)))

    order = np.argsort(-counts, kind="stable")  # what has the fewest ways first
    kinds, counts = kinds[order], counts[order]
    search(0, int(counts[0]), 0, frozenset(), ())
    freedom = {site.letter: site.freedom for site in group.sites}
    found.sort(key=lambda filling: -sum(freedom[letter] for _, letter in filling.positions))
    if not any(shows_group(group, filling) for filling in found[:_FREEST]):
        return []
    found.sort(key=lambda filling: -filling.weight)
    kept: list[Filling] = []
    for filling in found[:_MOST_CHECKED]:
        if len(kept) == most:
            break
        if shows_group(group, filling):
            kept.append(filling)
    return kept


def shows_group(group: SpaceGroup, filling: Filling) -> bool:
    """Say whether generic crystals of a filling have the group, and no higher one."""
    lattice, numbers, coords = random_crystal(group, filling, np.random.default_rng(0))
    found = symmetry_dataset((lattice, coords, numbers), _SYMPREC)
    return found is not None and found.number == group.number


def random_crystal(group: SpaceGroup, filling: Filling, rng: np.random.Generator, volume: float | None = None,
                   draws: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return a random crystal of a filling: lattice (3, 3), Å, atomic numbers (n,) and coordinates (n, 3) of a primitive cell.

    volume: Å^3; 16 for each atom without. draws: of several, the one whose atoms are furthest apart is taken.
    """
    sites: dict[str, Site] = {site.letter: site for site in group.sites}
    best, furthest = None, -1.0
    for _ in range(draws):
        orbits = [group.orbit(sites[letter], rng.random(3)) for _, letter in filling.positions]
        numbers = np.repeat([z for z, _ in filling.positions], [len(orbit) for orbit in orbits])
        metric = group.random_metric(rng) * (volume or 16.0 * len(numbers)) ** (2 / 3)
        coords = np.concatenate(orbits)
        apart = (coords[:, None] - coords[None])[np.triu_indices(len(coords), 1)]
        apart -= np.round(apart)
        nearest = np.einsum("ni,ij,nj->n", apart, metric, apart).min(initial=np.inf)
        if nearest > furthest:
            best, furthest = (np.linalg.cholesky(metric), numbers, coords), nearest
    return best


def check_possible(formula: str, numbers: np.ndarray, number: int) -> None:
    """Refuse what no crystal can have.

    Raises:
        ValueError: the atoms cannot fill the group's positions, or always have a higher symmetry; naming groups and numbers of
            formula units that are possible.
    """
    if fillings(numbers, number, most=1):
        return
    kinds, counts = np.unique(numbers, return_counts=True)
    unit = gcd(*counts.tolist())

    def possible(times: int, group: int) -> bool:
        whole = counts // unit * times
        if not is_possible(tuple(whole.tolist()), group):
            return False
        return whole.sum() > _LARGEST_CHECKED or bool(fillings(np.repeat(kinds, whole), group, most=1))

    units = [times for times in range(1, _MOST_UNITS + 1) if possible(times, number)]
    groups = [group for group in range(1, 231) if possible(unit, group)]
    raise ValueError(
        f"{formula} in space group {number}: its atoms cannot fill the positions of a primitive cell; "
        + (f"possible with {_listed(units)} formula units in a primitive cell" if units else f"nor with up to {_MOST_UNITS} formula units")
        + f"; {formula} is possible in {_listed(groups)}"
    )


def _listed(numbers: list[int]) -> str:
    """1, 3-5, 9."""
    parts, start = [], None
    for place, number in enumerate(numbers):
        start = number if start is None else start
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            parts.append(str(start) if start == number else f"{start}-{number}")
            start = None
    return ", ".join(parts)
