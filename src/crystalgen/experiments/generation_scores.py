"""Crystals that a model generates for compositions, judged by the measures of the retrieval rows (see `experiments.retrieval`)."""

import pandas as pd

from crystalgen.experiments.retrieval import Answers
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import TEST
from crystalgen.generative.settings import Sampling
from crystalgen.matching.match import reduce_table
from crystalgen.represent.generate import evaluation_requests, generate_for_requests


def generated_answers(model: Model, data, crystals: pd.DataFrame, sampling: Sampling, row: str, split: int = TEST,
                      workers: int = 2) -> tuple[Answers, pd.DataFrame]:  # fmt: skip
    """Ask a model's first network for `sampling.per_target` crystals of each target that `sampling` draws.

    Returns:
        the candidates, ranked as they were drawn, and the targets in their order; a lost crystal is no candidate.
    """
    requests, items = evaluation_requests(data, crystals, sampling, split)
    first = Model(model.settings, model.codec, dict(list(model.nets.items())[:1]), model.objective)
    samples, _ = generate_for_requests(first, data, requests, items, sampling, row)
    number = samples["request"].astype(int)
    table = pd.DataFrame({"request": number // sampling.per_target, "rank": number % sampling.per_target})
    targets = crystals.set_index("id", drop=False).loc[requests["target_id"].iloc[:: sampling.per_target]].reset_index(drop=True)
    return Answers(table, reduce_table(samples, workers), samples[table["rank"] == 0]), targets
