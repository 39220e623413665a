"""Questions to the training crystals that whoever chooses among candidates learns from: a part is held out and asked of the others.

With a single crystal left out at a time, the right arrangement would have one vote less than it has members, which gives it away.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.retrieve import candidate_cells, find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.matching.match import CSP, Tolerances, match_cells
from crystalgen.matching.reduction import ReducedCell

FOLDS = 10


@dataclass(frozen=True)
class Fold:
    """Crystals that are held out, and what the others propose for them.

    rows: of the held-out crystals in the training table, (q,). kept: rows of the others, (t,). others: these as templates.
    asked: the held-out crystals, a table. cells: theirs, reduced. candidates: of `find_candidates`, one for each arrangement.
    """

    rows: np.ndarray
    kept: np.ndarray
    others: Templates
    asked: pd.DataFrame
    cells: list[ReducedCell | str]
    candidates: pd.DataFrame

    def right(self, workers: int, tolerances: Tolerances = CSP) -> np.ndarray:
        """Return whether each candidate is the crystal that was asked for."""
        samples = candidate_cells(self.others, self.asked, self.candidates)
        pairs = np.stack([np.arange(len(self.candidates)), self.candidates["request"]], axis=1)
        return match_cells(samples, self.cells, pairs, tolerances, workers, with_rms=False)["matched"].to_numpy(bool)


def held_out_folds(templates: Templates, distances: np.ndarray, count: int, seed: int = 0, folds: int = FOLDS,
                   **settings) -> Iterator[Fold]:  # fmt: skip
    """Yield folds, drawn by the seed; those for which nothing is proposed are left out.

    Args:
        templates, distances: as for `find_candidates`. count: candidates of a request at most, each of another arrangement.
        **settings: further ones of `find_candidates`.

    Raises:
        ValueError: nothing is proposed for any crystal.
    """
    fold_of = np.random.default_rng(seed).permutation(np.arange(len(templates)) % min(folds, len(templates)))
    empty = True
    for number in range(fold_of.max() + 1):
        rows, kept = np.flatnonzero(fold_of == number), np.flatnonzero(fold_of != number)
        asked, others = templates.table.iloc[rows].reset_index(drop=True), templates.subset(fold_of != number)
        candidates = find_candidates(others, asked, distances, count, repeats=False, **settings)
        if len(candidates):
            empty = False
            yield Fold(rows, kept, others, asked, [templates.cells[row] for row in rows], candidates)
    if empty:
        raise ValueError("no training crystal has the stoichiometry of another; expected some to learn from which candidate is right")
