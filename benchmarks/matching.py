"""Match samples with real crystals by our matcher and by StructureMatcher. Run: python benchmarks/matching.py DATA [--pairs 20000]

DATA is a folder with perov_5.parquet, carbon_24.parquet and mp_20.parquet (benchmark tables). The pairs are what
evaluation meets and what can go wrong: polymorphs, whose formulas are alike; copies moved or strained by little, by about the
tolerances, and beyond; rotated, permuted and translated copies; cells built twice as large; permuted elements. Every
verdict and displacement is compared with `StructureMatcher.fit` and `get_rms_dist`, which get structures made beforehand,
in as many processes as ours. Both are asked with the sample first; what the other order would give stands beside.
"""

import argparse
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystalgen.crystals import to_structures
from crystalgen.datasets.tables import read_benchmark
from crystalgen.matching.match import CSP, Tolerances, match_pairs
from crystalgen.metrics.perturbations import mixed_pairs, redescribed

SETS = ("perov_5", "carbon_24", "mp_20")
SAME = 1e-4  # of displacements
SETTINGS = {"B": Tolerances(), "CSP": CSP}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    totals = {name: np.zeros(2) for name in SETTINGS}
    wrong = 0
    for name in SETS:
        samples, targets, kinds = mixed_pairs(read_benchmark(args.data / f"{name}.parquet"), args.pairs // len(SETS) + 1, args.seed)
        for setting, tolerances in SETTINGS.items():
            start = time.perf_counter()
            ours = match_pairs(samples, targets, tolerances, workers=args.workers)
            middle = time.perf_counter()
            theirs = plain(samples, targets, tolerances, args.workers)
            end = time.perf_counter()
            totals[setting] += middle - start, end - middle
            unlike = ours["matched"].to_numpy() != theirs["matched"].to_numpy()
            both = ours["matched"].to_numpy() & theirs["matched"].to_numpy()
            gaps = np.where(both, np.abs(ours["rms"] - theirs["rms"]).to_numpy(), 0)
            differs = np.flatnonzero(unlike | (gaps > SAME))
            ties = [i for i in differs if is_tie(samples.iloc[[i]], targets.iloc[[i]], tolerances)]
            wrong += len(differs) - len(ties)
            print(f"{name:10s} {setting:4s} {len(samples)} pairs, {both.sum()} match; other verdicts: {unlike.sum()}, displacements over "
                  f"{SAME:g} apart: {(gaps > SAME).sum()}, {len(ties)} of these StructureMatcher's own ties; ours {middle - start:.1f} s, "
                  f"StructureMatcher {end - middle:.1f} s, {(end - middle) / (middle - start):.1f} x", flush=True)  # fmt: skip
            other_order = match_pairs(targets, samples, tolerances, workers=args.workers)["matched"]
            verdicts = pd.DataFrame({"sample_first": theirs["matched"], "target_first": other_order})
            for kind, own in verdicts.groupby(kinds):
                rates = ", ".join(f"{rate:.1%} {order.replace('_', ' ')}" for order, rate in own.mean().items())
                print(f"    {kind:12s} {len(own):6d} pairs match: {rates}")
            for i in sorted(set(differs) - set(ties)):
                print(f"    differs: {kinds[i]} {targets['id'].iloc[i]}: {ours.loc[i].tolist()}, {theirs.loc[i].tolist()}")

    for setting, (mine, plain_time) in totals.items():
        print(f"{setting}: ours {mine:.1f} s, a loop of StructureMatcher {plain_time:.1f} s: {plain_time / mine:.1f} x")
    if wrong:
        raise SystemExit(f"{wrong} results differ from pymatgen's")


def is_tie(sample: pd.DataFrame, target: pd.DataFrame, tolerances: Tolerances) -> bool:
    """Whether StructureMatcher's own result depends on rounding: on the origin and the order of either crystal's atoms.

    So it is where two assignments of sites have equal sums of squares, but not without the mean displacement.
    """
    rng = np.random.default_rng(0)
    samples, targets = (
        pd.concat([crystal, redescribed(pd.concat([crystal] * 40), rng)], ignore_index=True) for crystal in (sample, target)
    )
    found = plain(samples, targets, tolerances, workers=1)
    return np.ptp(found["rms"].fillna(-1)) > SAME


def plain(samples: pd.DataFrame, targets: pd.DataFrame, tolerances: Tolerances, workers: int) -> pd.DataFrame:
    """A loop of StructureMatcher over the pairs."""
    pairs = list(zip(to_structures(samples), to_structures(targets), strict=True))
    parts = [pairs[i : i + 256] for i in range(0, len(pairs), 256)]
    found = joblib.Parallel(n_jobs=workers)(joblib.delayed(_plain)(part, tolerances) for part in parts)
    return pd.DataFrame([v for part in found for v in part], columns=["matched", "rms"])


def _plain(pairs: list[tuple[Structure, Structure]], tolerances: Tolerances) -> list[tuple[bool, float]]:
    matcher, verdicts = StructureMatcher(tolerances.ltol, tolerances.stol, tolerances.angle_tol), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample, target in pairs:
            if tolerances.by_rms:
                found = matcher.get_rms_dist(sample, target)
                verdicts.append((found is not None, np.nan if found is None else found[0]))
            else:
                matched = bool(matcher.fit(sample, target))
                verdicts.append((matched, matcher.get_rms_dist(sample, target)[0] if matched else np.nan))
    return verdicts


if __name__ == "__main__":
    main()
