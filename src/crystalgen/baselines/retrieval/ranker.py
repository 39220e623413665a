"""A ranker of retrieved candidates: boosted trees that learn from the training crystals, each asked for with itself left out."""

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.features import NAMES, candidate_features
from crystalgen.baselines.retrieval.retrieve import candidate_cells, find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.retrieval.trees import Trees, fit_trees
from crystalgen.matching.match import CSP, Tolerances, match_cells

RANKED = 8  # arrangements of a request that are put in a new order


def fit_ranker(templates: Templates, distances: np.ndarray, queries: int | None = None, tolerances: Tolerances = CSP, seed: int = 0,
               workers: int = 2) -> Trees:  # fmt: skip
    """Fit a ranker to leave-one-out queries of the training crystals; no other crystal is used.

    Args:
        templates: with arrangements.
        distances: between elements.
        queries: training crystals that are asked for, drawn by the seed; all if None (two minutes for MP-20).
        tolerances: within which a candidate is the crystal that was asked for.
        workers: processes.
    """
    table = templates.table
    asked = table if queries is None or queries >= len(table) else table.sample(queries, random_state=seed)
    asked = asked.reset_index(drop=True)
    exclude = [[name] for name in asked["id"]]
    candidates = find_candidates(templates, asked, distances, RANKED, repeats=False, exclude=exclude)
    if candidates.empty:
        raise ValueError("no training crystal has the stoichiometry of another; expected some for a ranker to learn from")
    columns = candidate_features(templates, asked, candidates, distances, exclude)
    return fit_trees(columns, _are_right(templates, asked, candidates, tolerances, workers), NAMES, seed=seed)


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
    ranked = ranked.sort_values(["request", "probability", "rank"], ascending=[True, False, True], ignore_index=True)  # NaN last
    return ranked.assign(rank=ranked.groupby("request").cumcount())


def _are_right(templates: Templates, asked: pd.DataFrame, candidates: pd.DataFrame, tolerances: Tolerances, workers: int) -> np.ndarray:
    """Return whether each candidate is the training crystal that was asked for."""
    targets = [templates.row_of_id[name] for name in asked["id"]]
    samples = candidate_cells(templates, asked, candidates)
    pairs = np.stack([np.arange(len(candidates)), np.array(targets)[candidates["request"]]], axis=1)
    return match_cells(samples, templates.cells, pairs, tolerances, workers, with_rms=False)["matched"].to_numpy()
