"""Crystals that a model generates for compositions, judged by the measures of the retrieval rows (see `experiments.retrieval`)."""

from itertools import combinations

import numpy as np
import pandas as pd

from crystalgen.experiments.retrieval import Answers
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import TEST
from crystalgen.generative.settings import Sampling
from crystalgen.matching.match import CSP, match_cells, reduce_table
from crystalgen.represent.generate import evaluation_requests, generate_for_requests


def generated_answers(model: Model, data, crystals: pd.DataFrame, sampling: Sampling, row: str, split: int = TEST,
                      workers: int = 2) -> tuple[Answers, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Ask a model's first network for `sampling.per_target` crystals of each target that `sampling` draws.

    Returns:
        the candidates, ranked as they were drawn; the targets in their order; and the candidates' crystals. A lost one is no candidate.
    """
    requests, items = evaluation_requests(data, crystals, sampling, split)
    first = Model(model.settings, model.codec, dict(list(model.nets.items())[:1]), model.objective)
    samples, _ = generate_for_requests(first, data, requests, items, sampling, row)
    number = samples["request"].astype(int)
    table = pd.DataFrame({"request": number // sampling.per_target, "rank": number % sampling.per_target})
    targets = crystals.set_index("id", drop=False).loc[requests["target_id"].iloc[:: sampling.per_target]].reset_index(drop=True)
    return Answers(table, reduce_table(samples, workers), samples[table["rank"] == 0]), targets, samples


def by_consensus(found: Answers, samples: pd.DataFrame, workers: int = 2) -> Answers:
    """Rank each target's candidates anew: first that which most others match, at the tolerances of crystal structure prediction.

    No target is looked at. Ties keep their order. samples: the candidates' crystals, see `generated_answers`.
    """
    request, votes = found.table["request"].to_numpy(), np.zeros(len(found.table), int)
    places = pd.Series(np.arange(len(request))).groupby(request).agg(list)
    pairs = np.array([pair for group in places for pair in combinations(group, 2)]).reshape(-1, 2)
    matched = match_cells(found.cells, found.cells, pairs, CSP, workers, with_rms=False)["matched"].to_numpy(bool)
    for side in (0, 1):
        np.add.at(votes, pairs[matched, side], 1)
    order = np.lexsort((found.table["rank"], -votes, request))
    rank = np.empty(len(order), int)
    rank[order] = pd.Series(request[order]).groupby(request[order]).cumcount()
    return Answers(found.table.assign(rank=rank), found.cells, samples[rank == 0])
