"""Judge crystals of which nothing was asked, one row of a table as paper A's Table 1, on a set's validation split.

    python benchmarks/unconditional.py ROW BENCHMARK CRYSTALS OUT.json SOURCE [--model FOLDER] [--count 1000] [--sampling JSON]

SOURCE: `copies`, a draw of training crystals; `exchanged`, training crystals with elements exchanged for similar ones; `drawn`, such
compositions (and space groups) placed by a model that is told them; `symmetric`, likewise, each on the orbits of its training crystal, so
that it keeps the space group; `joint`, a model that is told nothing; or `file`, crystals that were sampled before. What was made can be
settled by a trained denoiser (--denoiser, see benchmarks/denoiser.py), and after that relaxed by 7net-l3i5 (--pressure, GPa). The row's
entries are added to OUT.json; the crystals are kept with --keep, and read again from there.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.corrector.denoising import TrainedDenoiser
from crystalgen.corrector.settling import settled
from crystalgen.crystals import read_crystals, to_structures, write_crystals
from crystalgen.experiments.drawn_compositions import draw_compositions, exchanged_templates
from crystalgen.experiments.scaffolds import own_scaffolds
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.metrics.benchmarks import cutoffs_of
from crystalgen.metrics.proxy import Coverage, share_of_requested
from crystalgen.metrics.score import score_unconditional
from crystalgen.potentials.batched import relax_together
from crystalgen.potentials.registry import ENERGY
from crystalgen.represent.canonical import wrap
from crystalgen.represent.generate import generate_for_conditions, generate_freely
from crystalgen.utils import paths
from crystalgen.utils.files import write_json
from crystalgen.utils.statistics import Scoring

ROUNDS = 2000  # redraws behind an interval
FORCE, STEPS = 0.2, 40  # eV/Å at which a crystal is at rest, and steps of L-BFGS


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
    parser.add_argument("--denoiser", type=Path, help="a trained denoiser's folder")
    parser.add_argument("--rounds", type=int, default=30, help="of the denoiser, at most")
    parser.add_argument("--enough", type=float, default=0.02, help="doubt of the denoiser below which a crystal is left alone")
    parser.add_argument("--pressure", type=float, help="GPa, at which the crystals are relaxed by 7net-l3i5; without it they are not")
    parser.add_argument("--from", dest="given", type=Path, help="for `file`, the parquet file of the crystals; else the one of --keep")
    parser.add_argument("--keep", type=Path, help="a parquet file for the crystals")
    options = parser.parse_args()
    crystals = read_crystals(options.crystals)
    samples, seconds = made(options, crystals[crystals["split"] == "train"])
    samples, more = refined(options, samples)
    seconds = None if seconds is None else seconds + more
    if options.keep and (options.source != "file" or options.given):
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
        return read_crystals(options.given or options.keep).iloc[: options.count].reset_index(drop=True), None
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


def refined(options: argparse.Namespace, samples: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The crystals, settled and relaxed as asked, and CPU seconds that it took. What cannot be relaxed stays as it was."""
    if not options.denoiser and options.pressure is None:
        return samples, 0.0
    start = time.process_time()
    if options.denoiser:
        trained = TrainedDenoiser.load(options.denoiser)
        samples, left = settled(trained, samples, options.rounds, options.enough, options.seed)
        print("doubt, by tenths:", np.quantile(left, np.linspace(0, 1, 11)).round(3).tolist(), flush=True)
    if options.pressure is not None:
        found = relax_together(to_structures(samples), FORCE, STEPS, potential=ENERGY, pressure=options.pressure)
        lattices, coords = [one.structure.lattice.matrix for one in found], [wrap(one.structure.frac_coords) for one in found]
        samples = samples.assign(lattice=lattices, frac_coords=coords)
        print(pd.Series([one.status for one in found]).value_counts().to_dict(), flush=True)
    return find_space_groups(samples), time.process_time() - start


if __name__ == "__main__":
    main()
