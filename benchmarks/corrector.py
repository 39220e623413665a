"""Time what choosing and correcting cost beside looking up alone. Run: python benchmarks/corrector.py DATA [--targets 1000]

DATA is a folder with mp_20.parquet (a benchmark table). The networks are those of data/shipped/mp_20, on the training crystals that
they come from. Prints the seconds of each part, crystals a second, and seconds per matched crystal for both ways; then the arithmetic
of a step of training, per second, beside that of a large product of matrices in the same precision: the share of what the core can do.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from crystalgen.baselines.retrieval.fit_vectors import fit_vectors
from crystalgen.baselines.retrieval.retrieve import find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.corrector.candidates import describe_candidates
from crystalgen.corrector.choosing import Questions
from crystalgen.corrector.model import Networks
from crystalgen.corrector.sites import Sites
from crystalgen.datasets.tables import read_benchmark
from crystalgen.experiments.correcting import Choosing
from crystalgen.experiments.retrieval import first_matches, retrieved_answers
from crystalgen.matching.match import reduce_table
from crystalgen.utils import paths


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", type=int, default=1000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    table = read_benchmark(args.data / "mp_20.parquet")
    training, targets = (table[table["split"] == split].reset_index(drop=True) for split in ("train", "val"))
    targets = targets.sample(args.targets, random_state=0).reset_index(drop=True)
    templates = Templates(training, workers=1)
    choosing = Choosing(
        templates,
        Sites.of(templates),
        fit_vectors(templates, seed=0).distances(),
        Networks.load(paths.SHIPPED / "mp_20" / "models" / "corrector"),
    )
    goals = reduce_table(targets, 1)

    found, looked_up = _timed("look up", lambda: find_candidates(templates, targets, choosing.distances, 20))
    ranked, chosen = _timed("choose", lambda: choosing.ranked(targets, found))
    first = ranked[ranked["rank"] == 0].reset_index(drop=True)
    answers, corrected = _timed("correct the first", lambda: choosing.answers(targets, first, 1))
    for name, rows, seconds in (("looked up", retrieved_answers(templates, targets, found), looked_up),
                                ("chosen and corrected", answers, looked_up + chosen + corrected)):  # fmt: skip
        hits = int((first_matches(rows, goals, 1)["first"] == 0).sum())
        print(f"{name}: {hits / len(targets):.4f}, {len(targets) / seconds:.0f} crystals/s, {seconds / hits:.4f} s per matched crystal")
    _print_throughput(choosing, targets)


def _timed(what: str, run):
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    print(f"{what}: {seconds:.1f} s")
    return result, seconds


def _print_throughput(choosing: Choosing, targets) -> None:
    """Print what a step of the scorer's training reaches of the core's arithmetic, bfloat16."""
    count = choosing.networks.settings.candidates
    found = find_candidates(choosing.templates, targets, choosing.distances, count, repeats=False)
    questions = Questions(
        found, describe_candidates(choosing.templates, targets, found, choosing.distances), choosing.sites, count, len(targets)
    )
    size = np.bincount(questions.sites[questions.sites > 0]).argmax()
    batch = questions.tensors(np.flatnonzero(questions.sites == size)[:16])
    net = choosing.networks.scorers[0].train()
    with FlopCounterMode(display=False) as counter:
        net(*batch).sum().backward()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            net(*batch).log_softmax(dim=1).mean().backward()

    square = torch.randn(2048, 2048, dtype=torch.bfloat16)
    reached = [flops / _seconds(run) / 1e9 for flops, run in ((counter.get_total_flops(), step), (2 * 2048**3, lambda: square @ square))]
    print(f"training on {size} sites: {reached[0]:.0f} of {reached[1]:.0f} GFLOP/s, {reached[0] / reached[1]:.0%}")


def _seconds(run, repeats: int = 10) -> float:
    run()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    main()
