"""Match rates of retrieval on MP-20's validation split, and its speed. Run: python benchmarks/retrieval.py DATA [--targets 1500]

DATA is a folder with mp_20.parquet (a benchmark table). The templates are the training rows; everything that is fitted is fitted to
them alone. Match rates are StructureMatcher's at 0.3 / 0.5 / 10 degrees, samples first, of all targets, whether or not there was an
answer or the answer is valid. Prints one line per way to retrieve: rate at 1, 5 and 20 tries, RMSE of the first; then the first
tries of the best way by what the training rows hold of a target, and what was lost.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.element_vectors import mendeleev_distances, mined_distances, mined_vectors
from crystalgen.baselines.retrieval.fit_vectors import fit_vectors
from crystalgen.baselines.retrieval.ranker import fit_ranker, rank_candidates
from crystalgen.baselines.retrieval.retrieve import candidate_cells, candidate_crystals, find_candidates
from crystalgen.baselines.retrieval.templates import Templates, ordered_species
from crystalgen.datasets.tables import read_benchmark
from crystalgen.matching.match import CSP, match_cells, reduce_table
from crystalgen.utils.statistics import clustered_bootstrap

TRIES = (1, 5, 20)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", type=int, help="draw so many validation targets; all if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    table = read_benchmark(args.data / "mp_20.parquet")
    training, targets = (table[table["split"] == split].reset_index(drop=True) for split in ("train", "val"))
    if args.targets:
        targets = targets.sample(args.targets, random_state=args.seed).reset_index(drop=True)
    clock = _Clock()
    templates = Templates(training, workers=args.workers)
    clock.tell("templates reduced and compared")
    mendeleev, mined = mendeleev_distances(), mined_distances(mined_vectors(templates))
    clock.tell("vectors mined")
    fitted = fit_vectors(templates, seed=args.seed).distances()
    clock.tell("vectors fitted")
    ranker = fit_ranker(templates, fitted, seed=args.seed, workers=args.workers)
    clock.tell("ranker fitted")
    cells = reduce_table(targets, args.workers)
    clock.tell("targets reduced")
    candidate_crystals(templates, targets, find_candidates(templates, targets, fitted, 20))
    clock.tell(f"{len(targets)} requests x 20 crystals")

    def score(name: str, candidates: pd.DataFrame) -> np.ndarray:  # least rank of a match, -1 for none
        samples = candidate_cells(templates, targets, candidates)
        places = np.stack([np.arange(len(candidates)), candidates["request"]], axis=1)
        verdicts = match_cells(samples, cells, places, CSP, args.workers)
        verdicts = verdicts.assign(request=candidates["request"].to_numpy(), rank=candidates["rank"].to_numpy())
        right = verdicts[verdicts["matched"]]
        rates = [right.loc[right["rank"] < tries, "request"].nunique() / len(targets) for tries in TRIES]
        first = right[right["rank"] == 0]
        hits = np.zeros(len(targets))
        hits[first["request"]] = 1
        low, high = clustered_bootstrap(hits, targets["reduced_formula"].to_numpy())
        shown = "  ".join(f"{rate:.4f}" if rate > 0 and tries <= candidates["rank"].max() + 1 else "   -  "
                          for rate, tries in zip(rates, TRIES, strict=True))  # fmt: skip
        print(f"{name:34s} {shown}   [{low:.4f}, {high:.4f}]   RMSE {first['rms'].mean():.4f}", flush=True)
        return right.groupby("request")["rank"].min().reindex(range(len(targets)), fill_value=-1).to_numpy()

    def found(distances: np.ndarray, count: int = 1, **settings) -> pd.DataFrame:
        return find_candidates(templates, targets, distances, count, **settings)

    print(f"{len(targets)} targets, match rate at {TRIES} tries, 95 % interval of the first, RMSE of the first")
    score("Mendeleev, nearest", found(mendeleev, 20, vote=False))
    score("Mendeleev, votes", found(mendeleev, 20))
    score("mined vectors, nearest", found(mined, vote=False))
    score("mined vectors, votes", found(mined))
    score("fitted vectors, nearest", found(fitted, vote=False))
    voted = found(fitted, 20)
    score("fitted vectors, votes", voted)
    clock.start()
    ranked = rank_candidates(ranker, templates, targets, voted, fitted)
    clock.tell("requests ranked")
    ranks = score("fitted vectors, ranker", ranked)
    hits = ranks == 0
    score("space group given: Mendeleev", found(mendeleev, vote=False, within_space_group=True))
    score("space group given: fitted, votes", found(fitted, within_space_group=True))
    held, fates = compare_prototypes(training, targets, ranked, ranks, args.workers)
    print("first answers of the ranker:")
    for fate, share in fates.value_counts(normalize=True).items():
        print(f"  {share:.4f} {fate}")
    formulas, cell_formulas = (targets[name].isin(training[name]).to_numpy() for name in ("reduced_formula", "formula"))
    for name, mask in {"prototype": held, "formula": formulas, "formula in a cell of this size": cell_formulas}.items():
        for side, which in {"held": mask, "not held": ~mask}.items():
            print(f"{name} {side} in training: {hits[which].mean():.4f} of {which.sum()}")


def compare_prototypes(training: pd.DataFrame, targets: pd.DataFrame, candidates: pd.DataFrame, ranks: np.ndarray,
                       workers: int = 2) -> tuple[np.ndarray, pd.Series]:  # fmt: skip
    """Return whether some training crystal has each target's prototype, booleans (n,), and what became of its first answer, (n,).

    The prototypes are those of training crystals and targets together.

    ranks: the least of a matching candidate of each target, -1 for none, (n,).
    """
    both = Templates(pd.concat([training, targets]), workers=workers)
    firsts = candidates[candidates["rank"] == 0].set_index("request")
    held, fates = np.zeros(len(targets), dtype=bool), []
    for row, numbers in enumerate(targets["atomic_numbers"]):
        group = both.groups[ordered_species(numbers)[1]]
        own = group.arrangements[group.rows == len(training) + row][0, 0]
        held[row] = np.isin(own, group.arrangements[group.rows < len(training)])
        if ranks[row] == 0:
            fates.append("right")
        elif row not in firsts.index:
            fates.append("no training crystal of its stoichiometry")
        elif not held[row]:
            fates.append("prototype not in training")
        else:
            chosen = group.arrangements[group.rows == firsts.loc[row, "template"]][0]
            if chosen[firsts.loc[row, "permutation"]] == own:
                fates.append("right prototype and roles, too distorted to match")
            elif own in chosen:
                fates.append("right prototype, roles exchanged")
            else:
                fates.append("another prototype, " + ("the right one among the next" if ranks[row] > 0 else "the right one not found"))
    return held, pd.Series(fates)


class _Clock:
    def __init__(self):
        self.start()

    def start(self) -> None:
        self.began = time.perf_counter()

    def tell(self, what: str) -> None:
        print(f"{what}: {time.perf_counter() - self.began:.1f} s", flush=True)
        self.start()


if __name__ == "__main__":
    main()
