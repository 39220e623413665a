"""Fingerprints beside a plain loop of matminer, and everything of many crystals. Run: python benchmarks/evaluation.py DATA

DATA is a folder with mp_20.parquet (a benchmark table). Fingerprints: of --crystals real crystals, as they are and moved by noise so
that no symmetry is left, by our way in two processes, again from what was kept, and by featurising every site and composition in a loop.
Whole: `crystalgen evaluate` of --whole crystals of the training side moved by noise, with --reference of the validation side, and of
--library crystals of the embedded library beside all of it, in a process whose peak memory is printed.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from matminer.featurizers.site.fingerprint import CrystalNNFingerprint
from pymatgen.core import Composition, Structure
from smact.screening import smact_validity

from crystalgen.crystals import read_crystals, to_structures, write_crystals
from crystalgen.datasets.tables import read_benchmark
from crystalgen.metrics.fingerprints import _composition_featurizer, fingerprints
from crystalgen.metrics.perturbations import moved
from crystalgen.metrics.validity import composition_validity
from crystalgen.utils import paths

_ALIKE = 1e-6  # ours are kept with eight digits


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--whole", type=int, default=10_000)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--library", type=int, default=1785)
    args = parser.parse_args()
    table = read_benchmark(args.data / "mp_20.parquet")
    with tempfile.TemporaryDirectory() as name:
        if args.crystals:
            chosen = table.sample(args.crystals, random_state=0).reset_index(drop=True)
            for kind, crystals in (("real", chosen), ("moved", moved(chosen, np.random.default_rng(0), 0.05).reset_index(drop=True))):
                compare(crystals, Path(name), kind)
            compositions(chosen)
        if args.whole:
            training = table[table["split"] == "train"]
            generated = moved(training.sample(args.whole, random_state=1), np.random.default_rng(0), 0.05)
            whole(generated, table[table["split"] == "val"].sample(args.reference, random_state=1), training, Path(name))
        if args.library:
            library = read_crystals(paths.LIBRARY / "crystals.parquet").drop(columns="e_above_hull")
            whole(moved(library.sample(args.library, random_state=1), np.random.default_rng(0), 0.05), library, library, Path(name),
                  "--cutoffs", "none")  # fmt: skip


def compositions(table: pd.DataFrame) -> None:
    """SMACT's verdicts by ours and by its own function, each crystal once; they are the same or this fails."""
    composition_validity(table.head(1)), smact_validity("NaCl", oxidation_states_set="smact14")
    clock = [time.process_time()]
    ours = composition_validity(table)
    clock.append(time.process_time())
    theirs = [smact_validity(Composition(formula), oxidation_states_set="smact14") for formula in table["reduced_formula"]]
    clock.append(time.process_time())
    first, loop = np.diff(clock)
    print(f"SMACT of {len(table)} compositions: ours {first:.3f} s, a loop {loop:.3f} s: {loop / first:.1f} x", flush=True)
    if ours.tolist() != theirs:
        raise SystemExit("our verdicts are not SMACT's")


def compare(table: pd.DataFrame, folder: Path, kind: str) -> None:
    """Ours, kept and plain; their fingerprints are the same or this fails."""
    fingerprints(table.head(1).assign(lattice=[table["lattice"].iloc[0] * 1.01]), folder)  # what compiles, and the processes
    clock = [time.perf_counter()]
    ours = fingerprints(table, folder)
    clock.append(time.perf_counter())
    fingerprints(table, folder)
    clock.append(time.perf_counter())
    theirs = plain(to_structures(table), table["reduced_formula"])
    clock.append(time.perf_counter())
    first, kept, loop = np.diff(clock)
    gaps = np.linalg.norm(ours.structure - theirs[ours.rows], axis=1)
    times = f"ours {first:.1f} s, kept {kept:.1f} s, a loop {loop:.1f} s: {loop / first:.1f} x, {loop / kept:.0f} x"
    print(f"fingerprints of {len(table)} {kind} crystals: {times}; {len(ours.failed)} failed", flush=True)
    print(f"  {(gaps > _ALIKE).sum()} differ from the loop's; the largest distance is {gaps.max():.1e}", flush=True)
    if gaps.max() > _ALIKE:
        raise SystemExit("our fingerprints are not matminer's")


def plain(structures: list[Structure], formulas: pd.Series) -> np.ndarray:
    """Every site of every crystal, every composition."""
    found, featurizer = [], CrystalNNFingerprint.from_preset("ops")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for structure, formula in zip(structures, formulas, strict=True):
            try:
                found.append(np.mean([featurizer.featurize(structure, site) for site in range(len(structure))], axis=0))
            except Exception:
                found.append(np.full(61, np.nan))
            _composition_featurizer().featurize(Composition(formula))
    return np.array(found)


def whole(generated: pd.DataFrame, reference: pd.DataFrame, training: pd.DataFrame, folder: Path, *options: str) -> None:
    """`crystalgen evaluate`, its time and memory."""
    tables = {"generated": generated, "reference": reference, "training": training}
    for name, table in tables.items():
        write_crystals(table.reset_index(drop=True), folder / f"{name}.parquet")
    command = [sys.executable, "-m", "crystalgen", "evaluate", str(folder / "generated.parquet"), *options]
    command += [word for name in ("reference", "training") for word in (f"--{name}", str(folder / f"{name}.parquet"))]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--out", str(folder / "out")], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    times = f"{(time.perf_counter() - start) / 60:.1f} min, {cpu / 60:.1f} min of CPU, the largest process {used.ru_maxrss / 1024:.0f} MB"
    print(f"everything of {len(generated)} crystals beside {len(reference)}: {times}", flush=True)


if __name__ == "__main__":
    main()
