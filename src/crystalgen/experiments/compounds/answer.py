"""A formula in, a ranked table of crystals out: what `crystalgen.generate` does where no model is named."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import STRICT, find_space_groups
from crystalgen.experiments.compounds.known_groups import Votes, group_votes
from crystalgen.experiments.compounds.merging import merge, with_prior
from crystalgen.experiments.compounds.ranking import NOT_RELAXED, STOPPED, described, ranked, rated, relaxed, uncertainty, with_known
from crystalgen.experiments.compounds.sources import (
    MAX_ATOMS,
    SEED,
    cells_of,
    element_distances,
    generated_candidates,
    known_elements,
    prototype_candidates,
    random_candidates,
    retrieved_candidates,
    seed_candidates,
)
from crystalgen.potentials.batched import INTERRUPTED
from crystalgen.potentials.shipped import shipped_energies, shipped_hull
from crystalgen.stability.hull import Hull
from crystalgen.utils.formulas import ATOMIC_NUMBERS, parse_composition
from crystalgen.utils.limits import FORMULA_UNITS

Say = Callable[[str], None]
FEW = 3  # candidates; with fewer, the random search is asked too
FAR = -4.5  # logarithm of all votes of prototypes: of nine in ten compounds of MP-20's validation split it is above


@dataclass(frozen=True)
class Question:
    """What is asked: see `crystalgen.generate`. units: formula units of the primitive cells to try."""

    composition: str
    count: int = 20
    space_group: int | None = None
    energy: float | None = None
    units: tuple[int, ...] = FORMULA_UNITS
    relax: bool = True
    steps: int = 40
    seed: int = 0
    workers: int = 1
    exact: bool = True  # whether nothing but crystals of the space group is wanted, where one is given

    def formula(self) -> dict[str, int]:
        """Return the atoms of each element in the formula as it is written, divided by their common divisor."""
        counts = parse_composition(self.composition)
        divisor = math.gcd(*counts.values())
        return {symbol: count // divisor for symbol, count in counts.items()}


@dataclass
class Answer:
    """crystals: ranked, best first. removed: candidates that went out, by reason. decomposition: the hull's phases at the composition,
    share of the atoms by formula. notes: what a reader should know. seconds: of each step.
    """

    crystals: pd.DataFrame
    removed: dict[str, int] = field(default_factory=dict)
    decomposition: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def stopped(self) -> bool:
        """Return whether Ctrl-C cut it short."""
        return any(note.startswith(STOPPED) for note in self.notes)


def check_elements(composition: str) -> None:
    """Raise ValueError where no source knows an element."""
    names = parse_composition(composition)
    if unknown := [symbol for symbol in names if ATOMIC_NUMBERS[symbol] not in known_elements()]:
        raise ValueError(f"composition {composition!r}: no crystal that the sources learnt from holds {', '.join(unknown)}; "
                         f"expected some of their {len(known_elements())} elements")  # fmt: skip


def answer(
    question: Question, known: pd.DataFrame | None = None, say: Say = lambda text: None, seed_crystal: pd.DataFrame | None = None
) -> Answer:
    """Collect candidates, merge, relax, rate, rank and describe them.

    Ctrl-C ends the step under way; what is done by then is ranked and returned.

    Args:
        question: see there.
        known: crystals to look up, with their geometries; without any, nothing is looked up.
        say: is told what happens.
        seed_crystal: one crystal of the formula's stoichiometry in a primitive cell, whose elements are exchanged.

    Raises:
        ValueError: an element is unknown to all sources, or there is no candidate.
    """
    check_elements(question.composition)
    clock, seconds = time.perf_counter(), {}

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    if not cells_of(question.formula(), question.units):
        raise ValueError(
            f"composition {question.composition!r}: expected at most {MAX_ATOMS} atoms in a cell of {question.units} formula units"
        )
    candidates, notes = proposed(question, known, say, seed_crystal)
    lap("candidates")
    votes = group_votes(question.formula(), element_distances())
    merged, removed = merge(candidates, question.count, votes)
    if merged.empty:
        raise ValueError(f"composition {question.composition!r}: no candidate is a crystal: {dict(removed)}")
    if seed_crystal is not None and not merged["sources"].str.contains(SEED).any():
        notes.append("The seed structure is not among these: its atoms overlap, or it has another space group than was asked for.")
    say(f"{len(merged)} distinct candidates of {len(candidates)}")
    lap("merging")
    found = evaluated(merged, question, votes, notes, say)
    lap("energies")
    crystals = described(ranked(found)).assign(source="answer")
    energies, removed_later = shipped_energies(question.formula()), len(found) - len(crystals)
    removed["relaxed to the same crystal as another candidate"] += removed_later
    crystals = with_known(crystals, energies).assign(uncertainty=uncertainty(question.formula()))
    result = Answer(crystals, {why: n for why, n in removed.items() if n}, {}, notes, seconds)
    if (hull := _hull(tuple(question.formula()))) is not None:
        result.decomposition = hull.decomposition(crystals["formula"].iloc[0])
    lap("describing")
    return result


def proposed(
    question: Question, known: pd.DataFrame | None, say: Say, seed_crystal: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the candidates of all sources, and what is to be said of them."""
    cells, group, notes = cells_of(question.formula(), question.units), question.space_group, []
    parts: list[pd.DataFrame] = []
    steps = {
        "distilled prototypes": lambda: prototype_candidates(cells, group),
        "known crystals of like composition": lambda: retrieved_candidates(cells, known, group, workers=question.workers),
        "the generator": lambda: generated_candidates(cells, group, question.energy, seed=question.seed, exact=question.exact),
        "the seed structure": lambda: seed_candidates(question.formula(), seed_crystal),
    }
    if known is None:
        del steps["known crystals of like composition"]
    if seed_crystal is None:
        del steps["the seed structure"]
    try:
        for name, ask in steps.items():
            parts.append(ask())
            say(f"{len(parts[-1])} candidates of {name}")
        votes = np.logaddexp.reduce(parts[0]["weight"].to_numpy()) if len(parts[0]) else -np.inf
        if votes < FAR:
            notes.append("The compound is far from all that the sources learnt from: its ground state may be among none of these.")
        if sum(map(len, parts)) < FEW:
            notes.append("The sources gave less than three candidates; the others are of a random search.")
            parts.append(random_candidates(cells, question.count, question.seed, question.workers))
            say(f"{len(parts[-1])} candidates of a random search")
    except KeyboardInterrupt:
        notes.append(f"{STOPPED} before all sources were asked.")
        if not sum(map(len, parts)):
            raise
    candidates = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    if group is None or not question.exact or candidates.empty:
        return candidates, notes
    of_group = (find_space_groups(candidates, STRICT)["space_group"] == group).to_numpy(bool, na_value=False)
    say(f"{of_group.sum()} candidates have space group {group}")
    if not of_group.any():
        notes.append(f"No source gives a crystal of space group {group}; these are what they give instead.")
        return candidates, notes
    return candidates[of_group].reset_index(drop=True), notes


def evaluated(merged: pd.DataFrame, question: Question, votes: Votes, notes: list[str], say: Say) -> pd.DataFrame:
    """Return candidates relaxed, if asked, with energies above the shipped hull and votes on the space groups that they have then."""
    hull = _hull(tuple(question.formula()))
    if hull is None:
        notes.append("The shipped table lacks an element's own crystal: there are energies, but no hull.")
    if not question.relax:
        say("energies by 7net-l3i5")
        table = merged.assign(status=NOT_RELAXED, steps=0)
        return rated(table, hull, notes, lambda count, of: count % 5 or say(f"{count} of {of} energies"))

    def seen(step: int, going: int) -> None:
        if step % 5 == 0:
            say(f"step {step}: {going} crystals go on")

    table = relaxed(merged, hull, question.steps, seen=seen, symmetric=question.space_group is not None and question.exact)
    if (table["status"] == INTERRUPTED).any():
        notes.append(f"{STOPPED} before all crystals were at rest.")
    failed = table["status"].str.startswith("failed").to_numpy()
    if failed.any() and not failed.all():
        table = table[~failed].reset_index(drop=True)
        notes.append(f"{failed.sum()} candidates were lost: their relaxation failed.")
    return with_prior(table, votes)


@lru_cache(maxsize=8)
def _hull(elements: tuple[str, ...]) -> Hull | None:
    try:
        return shipped_hull(elements)
    except ValueError:
        return None
