"""How few steps sample unconditional UniMat as well as many: validity, precision of coverage and CPU seconds by sampler and steps.

    python benchmarks/unimat_steps.py FOLDER BENCHMARK CRYSTALS OUT.csv [--count 200] [--ways ddpm:256 ddim:32 ...]

FOLDER is a trained model's; precision is that of the set's judged side. Every way draws from the same noise.
"""

import argparse
import time
from pathlib import Path

import pandas as pd

from crystalgen.crystals import read_crystals
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.metrics.benchmarks import cutoffs_of
from crystalgen.metrics.coverage import coverage
from crystalgen.metrics.fingerprints import fingerprints
from crystalgen.metrics.validity import validity
from crystalgen.represent.generate import generate_freely
from crystalgen.utils import paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in {"folder": Path, "benchmark": str, "crystals": Path, "out": Path}.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--ways", nargs="+", default=["ddim:16", "ddim:32", "ddim:64", "ddpm:64", "ddpm:256"])
    options = parser.parse_args()
    table, model, rows = read_crystals(options.crystals), Model.load(options.folder), []
    reference = fingerprints(table[table["split"] == "test"], paths.FINGERPRINTS)
    for way in options.ways:
        sampler, steps = way.split(":")
        start = time.process_time()
        samples, _ = generate_freely(model, Sampling(sampler=sampler, steps=int(steps), count=options.count), way)
        seconds = time.process_time() - start
        found = validity(samples)
        covered = coverage(fingerprints(samples, paths.FINGERPRINTS), options.count, reference, cutoffs_of(options.benchmark))
        row = {"sampler": sampler, "steps": int(steps), "n": options.count, "cpu_seconds_per_crystal": round(seconds / options.count, 4)}
        row |= {name: round(found[name].sum() / options.count, 4) for name in ("valid_structure", "valid_composition")}
        row |= {name: round(covered[name].mean(), 4) for name in ("coverage_precision", "amsd_precision", "amcd_precision")}
        rows.append(row | {"formulas": samples["formula"].nunique()})
        print(rows[-1], flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
