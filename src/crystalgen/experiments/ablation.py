"""Ablations: models that differ in one thing, trained alike and judged on the same validation crystals."""

from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.config import Ablation
from crystalgen.experiments.sampler_steps import validation_verdicts
from crystalgen.generative.cost import cost
from crystalgen.generative.data.format import VAL
from crystalgen.generative.jobs import load_data, run_job, trained_model
from crystalgen.generative.settings import MatrixModel
from crystalgen.utils.statistics import clustered_bootstrap

BOOTSTRAP = 2000


def run_ablation(ablation: Ablation, file: Path, crystals: pd.DataFrame, targets: int, checkpoints: Path) -> pd.DataFrame:
    """Train and judge each model; one row per model.

    Args:
        file: the study's matrix tensors.
        targets: validation items to judge on, the same draw for all models of a task.
        checkpoints: a folder in which a killed run finds its state.

    Columns: model, match_rate, low, high, n, by_seed, val_loss, parameters, flops (of one forward pass of one sample), steps, batch_size,
    training_flops, seconds (mean over seeds).
    """
    rows = [_judged(name, model, file, crystals, targets, checkpoints / str(i)) for i, (name, model) in enumerate(ablation.models.items())]
    return pd.DataFrame(rows)


def _judged(name: str, model: MatrixModel, file: Path, crystals: pd.DataFrame, targets: int, checkpoints: Path) -> dict:
    data, training = load_data(model, file), model.training
    trained = run_job(model, file, checkpoints)
    sampling = model.sampling["sample"].model_copy(update={"max_targets": targets})
    verdicts = validation_verdicts(trained_model(model, file, trained), data, crystals, sampling, name)
    low, high = clustered_bootstrap(verdicts["matched"].to_numpy(float), verdicts["formula"].to_numpy(str), BOOTSTRAP)
    price = cost(trained[0].net, data.codec.shape, data.condition(data.items(VAL)[:1]))
    return {
        "model": name,
        "match_rate": verdicts["matched"].mean(),
        "low": low,
        "high": high,
        "n": len(verdicts) // len(trained),
        "by_seed": verdicts.groupby("seed")["matched"].mean().round(3).tolist(),
        "val_loss": np.mean([run.curve[-1]["val_loss"] for run in trained]),
        "parameters": price.parameters,
        "flops": price.flops,
        "steps": training.steps,
        "batch_size": training.batch_size,
        "training_flops": price.training_flops(training.steps * training.batch_size),
        "seconds": np.mean([run.seconds for run in trained]),
    }
