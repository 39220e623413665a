"""Judge crystals of which nothing was asked, one row of a table as paper A's Table 1, on a set's validation split.

    python benchmarks/unconditional.py ROW BENCHMARK CRYSTALS OUT.json SOURCE [--model FOLDER] [--count 1000] [--sampling JSON]

SOURCE: `copies`, a draw of training crystals; `exchanged`, training crystals with elements exchanged for similar ones; `drawn`, such
compositions (and space groups) placed by a model that is told them; `symmetric`, likewise, each on the orbits of its training crystal, so
that it keeps the space group; `joint`, a model that is told nothing; or `file`, crystals that were sampled before. The row's entries are
added to OUT.json; the crystals are kept with --keep, and read again from there.
"""

import argparse
import json
import time
from pathlib import Path

import pandas as pd

from crystalgen.crystals import read_crystals, write_crystals
from crystalgen.experiments.drawn_compositions import draw_compositions, exchanged_templates
from crystalgen.experiments.scaffolds import own_scaffolds
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.metrics.benchmarks import cutoffs_of
from crystalgen.metrics.proxy import Coverage, share_of_requested
from crystalgen.metrics.score import score_unconditional
from crystalgen.represent.generate import generate_for_conditions, generate_freely
from crystalgen.utils import paths
from crystalgen.utils.files import write_json
from crystalgen.utils.statistics import Scoring

ROUNDS = 2000  # redraws behind an interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in {"row": str, "benchmark": str, "crystals": Path, "out": Path}.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("source", choices=["copies", "exchanged", "drawn", "symmetric", "joint", "file"])
    parser.add_argument("--model", type=Path, help="a trained model's folder")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--sampling", default='{"sampler": "ddpm", "steps": 256}', help="how the model is sampled, JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=int, help="judge by a draw of so many crystals of the set's; 0: without coverage, by all")
    parser.add_argument("--keep", type=Path, help="a parquet file for the crystals; for `file`, that which is judged")
    options = parser.parse_args()
    crystals = read_crystals(options.crystals)
    samples, seconds = made(options, crystals[crystals["split"] == "train"])
    if options.keep and options.source != "file":
        options.keep.parent.mkdir(parents=True, exist_ok=True)
        write_crystals(samples, options.keep)
    if options.reference:
        judged = crystals[crystals["split"] == "test"].sample(options.reference, random_state=0).index
        crystals = crystals[(crystals["split"] == "train") | crystals.index.isin(judged)]
    scoring = Scoring((0,), options.count, ROUNDS, f"samples of {options.row}")
    coverage = Coverage(cutoffs_of(options.benchmark), paths.FINGERPRINTS) if options.reference != 0 else None
    verdicts, metrics = score_unconditional(crystals, samples.assign(seed=0), scoring, coverage)
    verdicts["valid_unique_novel"] = verdicts[["valid", "composition_valid", "unique", "novel"]].all(axis=1)
    metrics["valid_unique_novel"] = share_of_requested(verdicts, "valid_unique_novel", scoring)
    if seconds is not None:
        metrics["seconds_per_crystal"] = {"value": seconds / options.count, "n": options.count, "source": scoring.source}
    baseline = options.source in ("copies", "exchanged")
    known = json.loads(options.out.read_text()) if options.out.is_file() else {}
    added = {f"{options.row}.{name}": entry | {"baseline": baseline, "task": None} for name, entry in metrics.items()}
    write_json(dict(sorted((known | added).items())), options.out)
    for name, entry in metrics.items():
        print(f"{options.row}.{name}", {part: round(entry[part], 4) for part in ("value", "low", "high", "n") if part in entry}, flush=True)


def made(options: argparse.Namespace, training: pd.DataFrame) -> tuple[pd.DataFrame, float | None]:
    """The row's crystals, at most `options.count`, and CPU seconds that they took, where they were made here."""
    if options.source == "file":
        return read_crystals(options.keep).iloc[: options.count], None
    start = time.process_time()
    if options.source == "copies":
        return training.sample(options.count, random_state=options.seed).reset_index(drop=True), None
    drawn = None if options.source == "joint" else draw_compositions(training, options.count, options.seed)
    if options.source == "exchanged":
        return exchanged_templates(drawn, training), time.process_time() - start
    sampling = Sampling.model_validate({"count": options.count, "seed": options.seed, **json.loads(options.sampling)})
    model = Model.load(options.model)
    if options.source == "joint":
        samples, record = generate_freely(model, sampling, options.row)
    else:
        asked, scaffolds = drawn[["atomic_numbers", "space_group", "formation_energy_per_atom"]], None
        if options.source == "symmetric":
            scaffolds = own_scaffolds(exchanged_templates(drawn, training), drawn["space_group"])
            asked = asked.assign(atomic_numbers=[s.numbers for s in scaffolds], space_group=[s.space_group for s in scaffolds])
        samples, record = generate_for_conditions(model, asked, sampling, options.row, scaffolds=scaffolds)
    print(record, flush=True)
    return samples, time.process_time() - start


if __name__ == "__main__":
    main()
