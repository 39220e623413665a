"""Choose the orbits and cells on which crystals of a space group are made: known ones of the group first, then any that are possible."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import pandas as pd

from crystalgen.baselines.distilled.prototypes import DistilledPrototypes
from crystalgen.chemistry.orbits import fillings
from crystalgen.chemistry.spacegroups import STRICT, space_group_number
from crystalgen.represent.scaffold import Scaffold, filled, found_in

_SYMPRECS = (0.05, 0.1, 0.2, 0.3, 0.5)  # Å, at which a proposal may show the group
_KNOWN = 64  # ways to fill known prototypes that are looked at
_KNOWN_SHARE = 0.5  # of the crystals that follow the first of each, on known prototypes


def choose_scaffolds(numbers: np.ndarray, group: int, count: int, prototypes: DistilledPrototypes, seed: int = 0,
                     proposals: Sequence[Scaffold] = ()) -> list[Scaffold]:  # fmt: skip
    """Return a scaffold for each of `count` crystals of a primitive cell's atoms.

    First, in turns, proposals and prototypes of the stoichiometry in the group, these by the votes of their members; then, half and
    half, prototypes again by their votes, and fillings of the group's Wyckoff positions, weighed as its prototypes use the positions.

    Args:
        numbers: atomic numbers (n,), see `orbits.check_possible`.
        group: space group.
        count: of crystals.
        prototypes: what crystals are known.
        seed: of what is drawn.
        proposals: see `proposed`.

    Raises:
        ValueError: nothing fills the group's positions with these atoms.
    """
    rng = np.random.default_rng((seed, group, *sorted(map(int, numbers))))
    known = known_scaffolds(numbers, group, prototypes)
    turns = zip_longest(proposals, (scaffold for scaffold, _ in known))
    scaffolds = [scaffold for turn in turns for scaffold in turn if scaffold is not None][:count]
    ways = fillings(numbers, group, letter_frequencies(group, prototypes)) if len(scaffolds) < count else []
    if len(scaffolds) < count and not (known or ways):
        atoms = ", ".join(f"{n} of Z = {z}" for z, n in sorted(Counter(map(int, numbers)).items()))
        raise ValueError(f"space group {group}: no way to fill its positions with {atoms}; `orbits.check_possible` says what is possible")
    volume = float(prototypes.volumes[numbers].sum())
    votes, weights = np.array([share for _, share in known]), np.array([way.weight for way in ways])
    while len(scaffolds) < count:
        if len(known) and (not ways or rng.random() < _KNOWN_SHARE):
            scaffolds.append(known[rng.choice(len(known), p=votes / votes.sum())][0])
        else:
            scaffolds.append(filled(group, ways[rng.choice(len(ways), p=weights / weights.sum())], rng, volume))
    return scaffolds


def proposed(crystals: pd.DataFrame, group: int) -> list[Scaffold]:
    """Return the scaffolds of those crystals that nearly have the group, the nearest first."""
    found = []
    for cell in zip(crystals["lattice"], crystals["atomic_numbers"], crystals["frac_coords"], strict=True):
        symprecs = ((symprec, found_in(group, *cell, symprec)) for symprec in _SYMPRECS)
        found += [next(((symprec, scaffold) for symprec, scaffold in symprecs if scaffold is not None), None)]
    return [scaffold for _, scaffold in sorted((one for one in found if one is not None), key=lambda one: one[0])]


def own_scaffolds(crystals: pd.DataFrame, groups: Sequence[int]) -> list[Scaffold]:
    """Return a scaffold of each crystal: of its space group here, or, where it does not show that, of what it shows at 0.01 Å.

    Raises:
        ValueError: a crystal has no symmetry that spglib finds, for atoms coincide.
    """
    found = []
    for place, cell in enumerate(zip(crystals["lattice"], crystals["atomic_numbers"], crystals["frac_coords"], strict=True)):
        strict = space_group_number((cell[0], cell[2], cell[1]), STRICT) or 1
        tries = [(int(groups[place]), symprec) for symprec in (STRICT, *_SYMPRECS)] + [(strict, STRICT)]
        scaffolds = (found_in(group, *cell, symprec) for group, symprec in tries)
        scaffold = next((scaffold for scaffold in scaffolds if scaffold is not None), None)
        if scaffold is None:
            raise ValueError(f"{crystals['id'].iloc[place]}: spglib finds no space group; expected a crystal whose atoms are apart")
        found.append(scaffold)
    return found


def known_scaffolds(numbers: np.ndarray, group: int, prototypes: DistilledPrototypes) -> list[tuple[Scaffold, float]]:
    """Return those of the prototypes of the stoichiometry in the group, each with its share of the votes, the largest first."""
    found = []
    for candidate in prototypes.candidates(numbers, _KNOWN, group):
        if candidate.prototype.space_group == group and not candidate.shift.any():
            scaffold = found_in(group, *prototypes.crystal(candidate))
            if scaffold is not None:
                found.append((scaffold, max(candidate.votes, 1e-6)))
    return found


def letter_frequencies(group: int, prototypes: DistilledPrototypes) -> dict[str, float]:
    """Return how many orbits of the crystals behind the group's prototypes have each Wyckoff letter, on a scale of 100."""
    counts: dict[str, float] = {}
    for prototype in prototypes.prototypes:
        if prototype.space_group == group:
            shape = prototype.shape
            scaffold = found_in(group, shape.lattice, shape.roles + 1, shape.coords)
            for position in scaffold.positions.split() if scaffold is not None else ():
                letter = position.partition(":")[2]
                counts[letter] = counts.get(letter, 0.0) + prototype.members
    total = sum(counts.values())
    return {letter: 100 * count / total for letter, count in counts.items()}
