"""Follow a training run by match rate: every checkpoint that is found is judged on validation crystals; CSV, a row each.

`taskset -c 1 nice python benchmarks/match_curve.py STUDY MODEL TENSORS CRYSTALS CHECKPOINT CURVE --every 600`. It asks for crystals
given the composition, then the space group too, the most probable ones, by the averaged weights.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch

from crystalgen.config import load_study
from crystalgen.crystals import read_crystals
from crystalgen.experiments.sampler_steps import validation_verdicts
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import VAL
from crystalgen.generative.jobs import load_data
from crystalgen.matching.match import CSP
from crystalgen.utils.statistics import clustered_bootstrap

TOLD = {"composition": ("space_group", "formation_energy_per_atom"), "space_group": ("formation_energy_per_atom",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in {"study": str, "model": str, "tensors": Path, "crystals": Path, "checkpoint": Path, "curve": Path}.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("--every", type=float, default=600, help="seconds")
    parser.add_argument("--targets", type=int, default=500)
    options = parser.parse_args()
    settings = load_study(options.study).models[options.model]
    data, crystals = load_data(settings, options.tensors), read_crystals(options.crystals)
    rows = pd.read_csv(options.curve).to_dict("records") if options.curve.is_file() else []
    while True:
        start = time.monotonic()
        saved = torch.load(options.checkpoint, map_location="cpu", weights_only=True) if options.checkpoint.is_file() else None
        if saved and (not rows or rows[-1]["step"] != saved["state"]["step"]):
            rows.append(judged(settings, data, crystals, saved, options.targets))
            print(rows[-1], flush=True)
            pd.DataFrame(rows).to_csv(options.curve, index=False)
        if saved and saved["state"]["step"] >= settings.training.steps:
            return
        time.sleep(max(0, options.every - (time.monotonic() - start)))


def averaged(settings, data, saved: dict) -> Model:
    """The model of a checkpoint's averaged weights."""
    net, prefix = settings.build_net(data.codec), "module."
    net.load_state_dict({name.removeprefix(prefix): value for name, value in saved["parts"]["average"].items() if name.startswith(prefix)})
    return Model(settings, data.codec, {settings.training.seeds[0]: net.eval()})


def judged(settings, data, crystals: pd.DataFrame, saved: dict, targets: int) -> dict:
    model, state = averaged(settings, data, saved), saved["state"]
    row = {
        "step": state["step"],
        "seconds": round(state["seconds"], 1),
        "val_loss": state["curve"][-1]["val_loss"] if state["curve"] else None,
    }
    sampling = next(iter(settings.sampling.values()))
    for told, withhold in TOLD.items():
        changes = {"withhold": withhold, "max_targets": targets, "per_target": 1, "temperature": 0.0, "steps": 50}
        changed = sampling.model_copy(update=changes)
        matched = validation_verdicts(model, data, crystals, changed, "curve", VAL, CSP, workers=1)
        low, high = clustered_bootstrap(matched["matched"].to_numpy(float), matched["formula"].to_numpy(str), 1000)
        row |= {told: matched["matched"].mean(), f"{told}_low": low, f"{told}_high": high, "targets": len(matched)}
    return row


if __name__ == "__main__":
    main()
