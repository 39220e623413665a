"""A ranker of retrieved candidates: boosted trees that learn from the training crystals, each asked for with itself left out."""

import logging

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.features import NAMES, candidate_features
from crystalgen.baselines.retrieval.retrieve import candidate_cells, find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.retrieval.trees import Trees, fit_trees
from crystalgen.matching.match import CSP, Tolerances, match_cells

RANKED = 8  # arrangements of a request that are put in a new order
_HELD_OUT = 0.1  # share of the queries on which the ranker is compared with votes
_LOG = logging.getLogger(__name__)


def fit_ranker(templates: Templates, distances: np.ndarray, queries: int | None = None, tolerances: Tolerances = CSP, seed: int = 0,
               workers: int = 2) -> Trees | None:  # fmt: skip
    """Fit a ranker to leave-one-out queries of the training crystals; no other crystal is used.

    Args:
        templates: with arrangements.
        distances: between elements.
        queries: training crystals that are asked for, drawn by the seed; all if None (two minutes for MP-20).
        tolerances: within which a candidate is the crystal that was asked for.
        workers: processes.

    Returns:
        the ranker, of all queries; None if votes do as well, see `_helps`.
    """
    table = templates.table
    asked = table if queries is None or queries >= len(table) else table.sample(queries, random_state=seed)
    asked = asked.reset_index(drop=True)
    exclude = [[name] for name in asked["id"]]
    candidates = find_candidates(templates, asked, distances, RANKED, repeats=False, exclude=exclude)
    if candidates.empty:
        raise ValueError("no training crystal has the stoichiometry of another; expected some for a ranker to learn from")
    columns = candidate_features(templates, asked, candidates, distances, exclude)
    right = _are_right(templates, asked, candidates, tolerances, workers)
    held = asked.sample(max(1, round(_HELD_OUT * len(asked))), random_state=seed)
    others = ~candidates["request"].isin(held.index).to_numpy()
    if not others.any():
        return None
    trial = fit_trees(columns[others], right[others], NAMES, seed=seed)
    if not _helps(trial, templates, held.reset_index(drop=True), distances, tolerances, workers):
        return None
    return fit_trees(columns, right, NAMES, seed=seed)


def _helps(ranker: Trees, templates: Templates, held: pd.DataFrame, distances: np.ndarray, tolerances: Tolerances, workers: int) -> bool:
    """Return whether a ranker puts more of the held-out training crystals first than votes do.

    Templates are the other training crystals, as if the held-out ones had never been there. With one left out at a time, an
    arrangement with one vote less than it has members is the right one, and trees that learn this, as they do where nothing else
    tells candidates apart (all of Carbon-24 is one composition), would seem to be right.
    """
    others = templates.subset(~templates.table["id"].isin(held["id"]).to_numpy())
    candidates = find_candidates(others, held, distances, RANKED, repeats=False)
    if candidates.empty:
        return False
    targets = [templates.cells[templates.row_of_id[name]] for name in held["id"]]
    rates = []
    for table in (candidates, rank_candidates(ranker, others, held, candidates, distances)):
        first = table[table["rank"] == 0]
        pairs = np.stack([np.arange(len(first)), first["request"]], axis=1)
        verdicts = match_cells(candidate_cells(others, held, first), targets, pairs, tolerances, workers, with_rms=False)
        rates.append(verdicts["matched"].sum() / len(held))
    _LOG.info("of %d training crystals held out, %.3f come first by votes, %.3f by the ranker", len(held), *rates)
    return rates[1] > rates[0]


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
