"""How many sampling steps a model needs: match rate against their number, on validation crystals."""

import pandas as pd

from crystalgen.config import Study
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import VAL
from crystalgen.generative.jobs import load_task
from crystalgen.generative.settings import Sampling
from crystalgen.matching.match import Tolerances, pair_requests
from crystalgen.metrics.study_results import study_rows
from crystalgen.represent.generate import evaluation_requests, generate_for_requests
from crystalgen.utils import paths
from crystalgen.utils.statistics import clustered_bootstrap


def rates_by_steps(study: str, config: Study, crystals: pd.DataFrame) -> pd.DataFrame:
    """Match rate of every way to sample a generation model, by its first training seed, for each of `sampler_steps.steps`.

    Every number of steps is asked for the same draw of validation crystals and starts from the same noise.

    Returns:
        columns row, sampler, steps, value, low, high (95 %, formulas redrawn), n.

    Raises:
        FileNotFoundError: a model has no trained weights.
    """
    settings, rates = config.sampler_steps, []
    data = load_task("generation", paths.tensors(study, "matrix"))
    for row, place in study_rows(config).items():
        if place.task != "generation" or place.baseline:
            continue
        model = Model.load(paths.model(study, place.model), count=1)
        for steps in settings.steps:
            changes = {"steps": steps, "seed": settings.seed, "max_targets": settings.targets}
            sampling = config.models[place.model].sampling[row].model_copy(update=changes)
            verdicts = validation_verdicts(model, data, crystals, sampling, row)
            matched = verdicts["matched"].to_numpy(float)
            low, high = clustered_bootstrap(matched, verdicts["formula"].to_numpy(str), config.report.bootstrap)
            value = {"value": matched.mean(), "low": low, "high": high, "n": len(matched)}
            rates.append({"row": row, "sampler": sampling.sampler, "steps": steps, **value})
    return pd.DataFrame(rates, columns=["row", "sampler", "steps", "value", "low", "high", "n"])


def validation_verdicts(model: Model, data, crystals: pd.DataFrame, sampling: Sampling, row: str, split: int = VAL,
                        tolerances: Tolerances = Tolerances(), workers: int = 2) -> pd.DataFrame:  # fmt: skip
    """Sample what `sampling` draws of the split's crystals by each network, and match it (see `RequestedPairs.match`)."""
    requests, items = evaluation_requests(data, crystals, sampling, split)
    samples, _ = generate_for_requests(model, data, requests, items, sampling, row)
    return pair_requests(crystals, samples, requests, list(model.nets), workers).match(tolerances, workers)
