"""A ranker of retrieved candidates: boosted trees that learn from training crystals that are held out."""

import logging

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.features import NAMES, candidate_features
from crystalgen.baselines.retrieval.held_out import held_out_folds
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.retrieval.trees import Trees, fit_trees

RANKED = 8  # arrangements of a request that are put in a new order
_LOG = logging.getLogger(__name__)


def fit_ranker(templates: Templates, distances: np.ndarray, seed: int = 0, workers: int = 2) -> Trees | None:
    """Fit a ranker to the training crystals, held out in parts; no other crystal is used.

    Args:
        templates: with arrangements.
        distances: between elements.
        seed: of the parts.
        workers: processes.

    Returns:
        the ranker; None if, of a part that it has not learnt from, it does not put clearly more right candidates first than votes do,
        as where nothing tells candidates apart (all of Carbon-24 is one composition).
    """
    columns, right, first = [], [], []
    for fold in held_out_folds(templates, distances, RANKED, seed):
        columns.append(candidate_features(fold.others, fold.asked, fold.candidates, distances))
        right.append(fold.right(workers))
        first.append(fold.candidates[["request", "rank"]])
    if len(columns) < 2:
        return None
    trial = fit_trees(np.concatenate(columns[:-1]), np.concatenate(right[:-1]), NAMES, seed=seed)
    judged = first[-1].assign(right=right[-1], order=-trial.probabilities(columns[-1]))
    votes, ranked = (judged.sort_values(["request", by]).groupby("request")["right"].first() for by in ("rank", "order"))
    won, lost = (ranked & ~votes).sum(), (votes & ~ranked).sum()
    _LOG.info("of %d training crystals held out, the ranker finds %d that votes do not, and loses %d", len(votes), won, lost)
    helps = won - lost > np.sqrt(won + lost)  # a standard deviation, if either were as likely
    return fit_trees(np.concatenate(columns), np.concatenate(right), NAMES, seed=seed) if helps else None


def rank_candidates(ranker: Trees, templates: Templates, requests: pd.DataFrame, candidates: pd.DataFrame, distances: np.ndarray,
                    exclude=None) -> pd.DataFrame:  # fmt: skip
    """Put the first candidates of each request's first eight arrangements in the ranker's order; the others follow as they were.

    Returns:
        the candidates with new ranks and `probability` of being the crystal that was asked for, NaN where not ranked.

    Raises:
        ValueError: the ranker knows other features than this version makes.
    """
    if tuple(ranker.names) != NAMES:
        raise ValueError(f"the ranker was fitted to the features {list(ranker.names)}; expected {list(NAMES)}: fit it again")
    first = candidates[~candidates.duplicated(["request", "arrangement"])]
    first = first[first.groupby("request").cumcount() < RANKED]
    ranked = candidates.assign(probability=np.nan)
    if len(first):
        columns = candidate_features(templates, requests, first, distances, exclude)
        ranked.loc[first.index, "probability"] = ranker.probabilities(columns)
    return by_probability(ranked)


def by_probability(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return candidates with new ranks by falling `probability`; those that have none, NaN, follow as they were."""
    ordered = candidates.sort_values(["request", "probability", "rank"], ascending=[True, False, True], ignore_index=True)  # NaN last
    return ordered.assign(rank=ordered.groupby("request").cumcount())
