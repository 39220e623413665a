"""How many sampling steps a model needs: match rate against their number, on validation crystals."""

import numpy as np
import pandas as pd

from crystalgen.config import Study
from crystalgen.generative.data.matrix import VAL
from crystalgen.generative.jobs import load_nets, load_task
from crystalgen.generative.objectives import build_objective
from crystalgen.generative.settings import Sampling
from crystalgen.matching.match import pair_requests
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
        model = config.models[place.model]
        nets = load_nets(model, data, paths.model(study, place.model) / "weights", count=1)
        for steps in settings.steps:
            sampling = model.sampling[row].model_copy(update={"steps": steps, "seed": settings.seed, "max_targets": settings.targets})
            matched, formulas = _matched(nets, model.objective, data, crystals, sampling, row)
            low, high = clustered_bootstrap(matched, formulas, config.report.bootstrap)
            value = {"value": matched.mean(), "low": low, "high": high, "n": len(matched)}
            rates.append({"row": row, "sampler": sampling.sampler, "steps": steps, **value})
    return pd.DataFrame(rates, columns=["row", "sampler", "steps", "value", "low", "high", "n"])


def _matched(nets: dict, objective, data, crystals: pd.DataFrame, sampling: Sampling, row: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether each validation crystal asked for was matched, 0 or 1 (n,), and its formula (n,)."""
    requests, items = evaluation_requests(data, crystals, sampling, VAL)
    samples, _ = generate_for_requests(nets, build_objective(objective), data, requests, items, sampling, row)
    verdicts = pair_requests(crystals, samples, requests, list(nets)).match()
    return verdicts["matched"].to_numpy(float), verdicts["formula"].to_numpy(str)
