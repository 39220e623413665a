"""Several formulas asked for, of what ships alone: nothing is looked up and nothing is kept, so that every machine gives the same."""

from collections.abc import Mapping

import pandas as pd

from crystalgen.experiments.compounds.answer import Question, Say, answer


def answer_all(known: Mapping[str, int], count: int, steps: int, say: Say = lambda text: None) -> pd.DataFrame:
    """Return the ranked crystals of all formulas, one answer below the other.

    Args:
        known: space group that each formula's compound is known in; nobody tells it to the sources.
        count: candidates that are relaxed of each.
        steps: of a relaxation at most.
        say: is told which formula is next.

    Returns:
        crystals of `answer.answer` with asked (the formula), asked_space_group (the known one) and rank (1 is the first).
    """
    parts = []
    for formula, group in known.items():
        say(formula)
        crystals = answer(Question(formula, count, steps=steps)).crystals
        named = [f"{formula}-{rank}" for rank in range(1, len(crystals) + 1)]
        parts.append(crystals.assign(id=named, asked=formula, asked_space_group=group, rank=range(1, len(crystals) + 1)))
    return pd.concat(parts, ignore_index=True)
