"""Train the models of a study one after the other and judge them by match rate: CSV, a row for each model, speed and condition.

`taskset -c 0 nice python benchmarks/generator_ablation.py mp_20_generator_ablations MODEL ... --out DIR`; a killed run goes on.
"""

import argparse
import time
from pathlib import Path

import pandas as pd

from crystalgen.config import load_study
from crystalgen.crystals import read_crystals
from crystalgen.experiments.sampler_steps import validation_verdicts
from crystalgen.generative.data.format import TEST
from crystalgen.generative.jobs import load_data, run_job, trained_model
from crystalgen.matching.match import CSP
from crystalgen.utils import paths
from crystalgen.utils.statistics import clustered_bootstrap

SPEEDS = (0.0, 10.0)  # of flows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tensors", type=Path)
    parser.add_argument("--crystals", type=Path)
    options = parser.parse_args()
    config, file = load_study(options.study), options.tensors or paths.tensors(options.study, "matrix")
    crystals = read_crystals(options.crystals or paths.crystals(options.study))
    for name in options.models or config.models:
        settings = config.models[name]
        trained = run_job(settings, file, options.out / name)
        model, data = trained_model(settings, file, trained), load_data(settings, file)
        sampling, rows = settings.sampling[name], []
        speeds = SPEEDS if sampling.sampler == "euler" else (0.0,)
        ways = [*((speed, sampling.withhold) for speed in speeds), (speeds[-1], ("formation_energy_per_atom",))]
        if settings.net.start:
            ways.append((speeds[-1], (*sampling.withhold, "template")))
        for speed, withhold in ways:
            start = time.perf_counter()
            changed = sampling.model_copy(update={"speed": speed, "withhold": withhold})
            verdicts = validation_verdicts(model, data, crystals, changed, name, TEST, CSP)
            low, high = clustered_bootstrap(verdicts["matched"].to_numpy(float), verdicts["formula"].to_numpy(str), 2000)
            rows.append({
                "model": name, "told": _told(settings, withhold), "speed": speed,
                "match_rate": verdicts["matched"].mean(), "low": low, "high": high, "n": len(verdicts),
                "rms": verdicts["rms"].mean(), "steps": settings.training.steps, "seconds": trained[0].seconds,
                "val_loss": trained[0].curve[-1]["val_loss"], "sampling_seconds": time.perf_counter() - start,
            })  # fmt: skip
            print(rows[-1], flush=True)
        pd.DataFrame(rows).to_csv(options.out / f"{name}.csv", index=False)


def _told(settings, withhold: tuple[str, ...]) -> str:
    told = {"space group": "space_group" not in withhold, "template": settings.net.start and "template" not in withhold}
    return ", ".join(["composition", *(name for name, shown in told.items() if shown)])


if __name__ == "__main__":
    main()
