"""The formulas of a chemical system that are worth asking for, the likeliest first.

A formula is as likely as the shipped prototypes say: votes of all known crystals of its stoichiometry, those of similar elements first.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from crystalgen.experiments.compounds.sources import prototype_votes
from crystalgen.metrics.validity import alloy, neutral
from crystalgen.potentials.shipped import shipped_energies
from crystalgen.utils.formulas import parse_composition

MAX_ATOMS = 12  # of a formula unit
MAX_FORMULAS = 8  # that are answered
LEAST_CRYSTALS = 2  # of a formula
NEUTRAL = "neutral by SMACT's oxidation states, or in the shipped table"
KNOWN = "of a stoichiometry that a shipped prototype has, since nothing of these elements is neutral"
ALLOYS = "of a stoichiometry that a shipped prototype has, since all elements are metals"


def find_formulas(elements: Sequence[str]) -> tuple[list[str], str]:
    """Return the formulas of exactly these elements with at most `MAX_ATOMS` atoms, and which of all that could be written they are.

    Those that can be neutral by SMACT's oxidation states (`metrics.validity.neutral`), and those of the shipped table, which has mixed
    valences too. Of alloys, and of elements without a neutral formula, every one whose stoichiometry a shipped prototype has.

    Args:
        elements: symbols, in the order in which formulas are written.
    """
    table = (parse_composition(formula) for formula in shipped_energies(elements)["formula"].unique())
    known = [tuple(counts[symbol] for symbol in elements) for counts in table if len(counts) == len(elements)]
    every = [dict(zip(elements, amounts, strict=True)) for amounts in _amounts(len(elements))]
    metals = alloy(elements)
    balanced = [] if metals else [counts for counts in every if neutral(counts)]
    likely = [counts for counts in every if tuple(counts.values()) in known or not balanced or counts in balanced]
    found = [(prototype_votes(counts), counts) for counts in likely]
    if not balanced:
        found = [(votes, counts) for votes, counts in found if np.isfinite(votes)]
    found.sort(key=lambda entry: (-entry[0], sum(entry[1].values())))
    return [_written(counts) for _, counts in found], NEUTRAL if balanced else ALLOYS if metals else KNOWN


def shared(formulas: Sequence[str], count: int) -> dict[str, int]:
    """Return how many crystals are relaxed of each of the first formulas: at most `MAX_FORMULAS` share them, the likeliest get more."""
    chosen = formulas[: max(1, min(MAX_FORMULAS, count // LEAST_CRYSTALS))]
    return {formula: count // len(chosen) + (place < count % len(chosen)) for place, formula in enumerate(chosen)}


def _amounts(elements: int) -> Iterator[tuple[int, ...]]:
    """Yield every number of atoms of each element, at least one, without a common divisor; the smallest formulas first."""
    for total in range(elements, MAX_ATOMS + 1):
        for ends in itertools.combinations(range(1, total), elements - 1):
            amounts = tuple(end - start for start, end in zip((0, *ends), (*ends, total), strict=True))
            if math.gcd(*amounts) == 1:
                yield amounts


def _written(counts: dict[str, int]) -> str:
    return "".join(symbol + (str(count) if count > 1 else "") for symbol, count in counts.items())
