"""Compounds that no training formula tells of: is the first answer the known crystal? Run: python benchmarks/stable_compounds.py DATA

DATA is a folder with mp_20.parquet (a benchmark table). Drawn are validation crystals on the hull whose reduced formula no training row
has; told is the content of the primitive cell. Retrieval and distilled prototypes, both fitted to the training rows alone, give five
crystals each. Printed is the share of compounds whose known crystal is the first, or one of the five, by StructureMatcher at
0.3 / 0.5 / 10 degrees: as they are, and relaxed by the library's potentials and put in the order of their energies.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.ranker import rank_candidates
from crystalgen.baselines.retrieval.retrieve import candidate_crystals, find_candidates
from crystalgen.config import Retrieval
from crystalgen.datasets.tables import read_benchmark
from crystalgen.experiments.retrieval import fit
from crystalgen.matching.match import CSP, match_pairs
from crystalgen.potentials.relaxation import Relaxation, relax_table
from crystalgen.utils import paths

STABLE = 1e-4  # eV/atom above the hull
TRIES = 5


def main() -> None:
    """Print a line per source, before and after relaxation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--compounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40, help="of relaxation")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    table = read_benchmark(args.data / "mp_20.parquet")
    training, val = (table[table["split"] == split].reset_index(drop=True) for split in ("train", "val"))
    unseen = ~val["reduced_formula"].isin(set(training["reduced_formula"]))
    drawn = val[unseen & (val["e_above_hull"] < STABLE)].drop_duplicates("reduced_formula")
    targets = drawn.sample(args.compounds, random_state=args.seed).reset_index(drop=True)
    print(f"{len(targets)} of {len(drawn)} stable compounds of unseen formulas, seed {args.seed}", flush=True)
    fitted = fit(training, Retrieval(seed=args.seed, workers=args.workers))

    distances = fitted.vectors.distances()
    voted = find_candidates(fitted.templates, targets, distances, 20, repeats=False)
    ranked = rank_candidates(fitted.ranker, fitted.templates, targets, voted, distances)
    retrieved = candidate_crystals(fitted.templates, targets, ranked[ranked["rank"] < TRIES])
    sources = {"retrieval, ranked": retrieved, "distilled prototypes": fitted.prototypes.answer(targets, TRIES)}
    print(f"{'':34}{'first':>8}{'of five':>9}{'seconds a compound':>20}")
    for name, crystals in sources.items():
        _tell(name, crystals, targets)
        began = time.perf_counter()
        relaxed = relax_table(crystals, Relaxation(max_steps=args.steps), paths.INTERIM / "relaxations", args.workers)
        spent = (time.perf_counter() - began) / len(targets)
        relaxed = relaxed.sort_values("energy_per_atom").assign(rank=lambda rows: rows.groupby("target_id").cumcount())
        _tell(f"{name}, relaxed", relaxed, targets, spent)


def _tell(name: str, crystals: pd.DataFrame, targets: pd.DataFrame, spent: float = np.nan) -> None:
    asked = targets.set_index("id").loc[crystals["target_id"]].reset_index()
    matched = match_pairs(crystals.reset_index(drop=True), asked, CSP)["matched"].to_numpy(bool)
    first = (matched & (crystals["rank"] == 0).to_numpy()).sum() / len(targets)
    any_of = crystals.loc[matched, "target_id"].nunique() / len(targets)
    print(f"{name:34}{first:8.3f}{any_of:9.3f}{spent:20.1f}", flush=True)
    missed = targets.loc[~targets["id"].isin(crystals.loc[matched & (crystals["rank"] == 0).to_numpy(), "target_id"]), "formula"]
    print(f"    not first: {', '.join(missed)}", flush=True)


if __name__ == "__main__":
    main()
