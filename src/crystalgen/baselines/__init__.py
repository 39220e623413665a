"""Baselines that no network is trained for, each given what the models are given."""

import numpy as np
import pandas as pd

from crystalgen.baselines.template import substitute_templates
from crystalgen.config import Baseline


def run_baseline(name: str, settings: Baseline, requests: pd.DataFrame | None, crystals: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """Return the baseline's crystals for the requests of the test set, and a record as `generate.generate_for_requests` gives.

    requests: columns request, target_id and, for modification, input_id; None where nothing is asked.
    """
    training = crystals[crystals["split"] == "train"].reset_index(drop=True)
    by_id = crystals.set_index("id", drop=False)
    if settings.kind == "copies":
        samples = training.sample(min(settings.count, len(training)), random_state=settings.seed, ignore_index=True)
    elif settings.kind == "input":
        asked = {name: requests[name].to_numpy() for name in ("request", "target_id")}
        samples = by_id.loc[requests["input_id"]].reset_index(drop=True).assign(**asked)
    else:
        targets = by_id.loc[requests["target_id"]].reset_index(drop=True)
        targets = targets.assign(id=requests["request"].to_numpy())  # a target may be asked for more than once
        samples = substitute_templates(targets, training, settings.choice, settings.seed).rename(columns={"target_id": "request"})
        samples["target_id"] = requests.set_index("request").loc[samples["request"], "target_id"].to_numpy()
    samples = samples.assign(id=[f"{name}-{i}" for i in range(len(samples))], source=name, split=None, seed=np.int64(settings.seed))
    record = {
        "row": name,
        "requested": len(samples) if requests is None else len(requests),
        "decoded": len(samples),
        "seeds": [settings.seed],
        "sampling_seed": settings.seed,
        "rejected": {},
    }
    return samples, record
