"""Match rates of ways to retrieve on MP-20, and their speed. Run: python benchmarks/retrieval.py DATA [--targets 1500] [--by-id]

DATA is a folder with mp_20.parquet (a benchmark table). The templates are the training rows, and the validation rows are judged; with
--by-id the four fifths of both with the lowest Materials Project ids are the templates and the others are judged, a stand-in for a split
by time, since ids grow with it, though not strictly. Everything that is fitted is fitted to the templates alone. Match rates are
StructureMatcher's at 0.3 / 0.5 / 10 degrees, samples first, of all targets, whether or not there was an answer or the answer is valid.
Prints one line per way to retrieve, a study's rows and variants of them: rate at 1, 5 and 20 tries, RMSE of the first; then the first
tries of the ranked row by what the templates hold of a target.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from crystalgen.baselines.retrieval.element_vectors import mendeleev_distances, mined_distances, mined_vectors
from crystalgen.baselines.retrieval.retrieve import candidate_crystals, find_candidates
from crystalgen.baselines.rows import ROWS
from crystalgen.config import Retrieval
from crystalgen.datasets.tables import read_benchmark
from crystalgen.experiments.retrieval import Answers, Fitted, answers, first_matches, fit, held_prototypes, retrieved_answers
from crystalgen.utils.statistics import clustered_bootstrap

TRIES = (1, 5, 20)
OLD = 0.8  # share of the crystals, by id, that are templates with --by-id


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", type=int, help="draw so many targets; all if not given")
    parser.add_argument("--by-id", action="store_true", help="split by Materials Project id")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    training, targets = _split(read_benchmark(args.data / "mp_20.parquet"), args.by_id)
    if args.targets:
        targets = targets.sample(args.targets, random_state=args.seed).reset_index(drop=True)
    settings = Retrieval(count=max(TRIES), seed=args.seed, workers=args.workers)
    clock = _Clock()
    fitted = fit(training, settings)
    clock.tell(f"fitted to {len(training)} crystals")
    prototype, cells = held_prototypes(training, targets, args.workers)
    clock.tell("prototypes that the templates hold")
    distances = fitted.vectors.distances()
    candidate_crystals(fitted.templates, targets, find_candidates(fitted.templates, targets, distances, max(TRIES)))
    clock.tell(f"{len(targets)} requests x {max(TRIES)} crystals")

    print(f"{len(targets)} targets, match rate at {TRIES} tries, 95 % interval of the first, RMSE of the first")
    formulas, ranked = targets["reduced_formula"], None
    for name, found in [*answers(fitted, targets, settings), *_variants(fitted, targets)]:
        matches = first_matches(found, cells, args.workers)
        first, most = matches["first"], found.table["rank"].max() + 1
        rates = (f"{first.between(0, tries - 1).mean():.4f}" if tries <= most else "   -  " for tries in TRIES)
        low, high = clustered_bootstrap((first == 0).to_numpy(float), formulas.to_numpy())
        print(f"{ROWS.get(name, name):50} {'  '.join(rates)}   [{low:.4f}, {high:.4f}]   RMSE {matches['rms'].mean():.4f}", flush=True)
        ranked = first == 0 if name == "retrieval_ranked" else ranked
    holds = {"prototype": prototype, **{f"column {name}": targets[name].isin(training[name]) for name in ("reduced_formula", "formula")}}
    for name, held in holds.items():
        print(f"{name}: {ranked[held].mean():.4f} of {held.sum()} held in training, {ranked[~held].mean():.4f} of {(~held).sum()} not")


def _split(table: pd.DataFrame, by_id: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return templates and targets."""
    table = table[table["split"].isin(["train", "val"])]
    old = table["split"] == "train"
    if by_id:
        table = table[table["id"].str.match(r"mp-\d")]  # a few have no id, or one of another count
        number = table["id"].str.extract(r"(\d+)")[0].astype(int)
        old = number <= number.quantile(OLD)
        print(f"templates up to id {number[old].max()}, targets up to {number.max()}")
    return table[old].reset_index(drop=True), table[~old].reset_index(drop=True)


def _variants(fitted: Fitted, targets: pd.DataFrame) -> Iterator[tuple[str, Answers]]:
    """Yield what other distances, and nearest neighbours in place of votes, give."""
    mendeleev, mined = mendeleev_distances(), mined_distances(mined_vectors(fitted.templates))
    ways = {
        "Mendeleev, votes": (mendeleev, True, max(TRIES)),
        "mined vectors, nearest": (mined, False, 1),
        "mined vectors, votes": (mined, True, 1),
        "fitted vectors, nearest": (fitted.vectors.distances(), False, 1),
    }
    for name, (distances, vote, count) in ways.items():
        yield name, retrieved_answers(fitted.templates, targets, find_candidates(fitted.templates, targets, distances, count, vote=vote))


class _Clock:
    def __init__(self):
        self.began = time.perf_counter()

    def tell(self, what: str) -> None:
        print(f"{what}: {time.perf_counter() - self.began:.1f} s", flush=True)
        self.began = time.perf_counter()


if __name__ == "__main__":
    main()
