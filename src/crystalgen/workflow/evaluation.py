"""`crystalgen evaluate`: read, measure, write."""

import argparse
import contextlib
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from crystalgen.datasets.generated import read_generated
from crystalgen.metrics.assess import SETTINGS, Options, assess
from crystalgen.metrics.benchmarks import cutoffs_of
from crystalgen.report.evaluation import write_assessment
from crystalgen.utils import paths


def evaluate_path(options: argparse.Namespace) -> Path:
    """Measure what the options name; returns the page."""
    start = time.perf_counter()
    for path in filter(None, (options.reference, options.training)):
        if not path.exists() and path.resolve().is_relative_to(paths.RAW):
            name = path.resolve().relative_to(paths.RAW).parts[0]
            raise FileNotFoundError(f"{path}: not here yet; `crystalgen fetch {name}` brings the benchmark sets of data/manifest.yaml")
    with _cluster(options.dask):
        generated, broken = read_generated(options.path, options.workers, options.limit)
        everything, _ = read_generated(options.reference, options.workers, options.limit)
        reference = _side(everything, options.split, options.reference)
        training = everything if options.training is None else read_generated(options.training, options.workers, options.limit)[0]
        if options.energies:
            generated, reference = (_rated(table, options.workers) for table in (generated, reference))
            generated = _above_hull(generated)
        cutoffs = None if options.cutoffs == "none" else cutoffs_of(options.cutoffs)
        settings = Options(paths.INTERIM / "fingerprints", cutoffs, tuple(SETTINGS), options.workers, options.limit)
        found = assess(generated, broken, reference, training, settings)
    facts = {
        "Generated": str(options.path),
        "Crystals": f"{len(generated)} readable, {len(broken)} not",
        "Reference": f"{options.reference}{f', its {options.split} side' if options.split else ''}: {len(reference)} crystals",
        "Not new": f"{len(training)} crystals of {options.training or options.reference}",
        "Matching": "StructureMatcher's verdicts, lengths/sites/angles as named; reduced to primitive cells, scaled to one volume",
        "Coverage": "left out" if cutoffs is None else f"cut-offs of {options.cutoffs}",
        "Energies": "by 7net-l3i5, of the crystals as they are; hull of the embedded library" if options.energies else "not measured",
        "Time limit": f"{options.limit:g} s for a crystal or pair",
        "Intervals": "95 %, whole formulas redrawn, seed 0",
        "Packages": ", ".join(f"{name} {version(name)}" for name in ("pymatgen", "spglib", "matminer", "SMACT")),
        "Time": f"{time.perf_counter() - start:.0f} s, {options.workers} processes",
    }
    folder = options.out or paths.REPORTS / "evaluate" / options.path.name
    return write_assessment(found, generated, reference, folder, f"Evaluation of {options.path.name}", facts)


def _side(table: pd.DataFrame, split: str | None, path: Path) -> pd.DataFrame:
    if split is None:
        return table
    chosen = table[table["split"] == split]
    if chosen.empty:
        raise ValueError(f"{path}: no crystals of the split '{split}'; found {sorted(table['split'].dropna().unique())}")
    return chosen


def _rated(table: pd.DataFrame, workers: int) -> pd.DataFrame:
    """The table with `energy_per_atom` (eV) by the library's potential; NaN where it gives none. Kept by content.

    Energies that a table brings from that potential stand.
    """
    from crystalgen.crystals import to_structures
    from crystalgen.library.recipe import load_recipe
    from crystalgen.potentials.single_point import ENERGY_SOURCE, basis, rate
    from crystalgen.utils.cache import compute

    limits = {"min_distance": load_recipe(paths.LIBRARY / "recipe.yaml").physical.min_distance}
    energies, known = np.full(len(table), np.nan), np.zeros(len(table), dtype=bool)
    if {"energy_per_atom", "energy_source"} <= set(table):
        known = (table["energy_source"].eq(ENERGY_SOURCE) & table["energy_per_atom"].notna()).to_numpy(bool)
        energies[known] = table.loc[known, "energy_per_atom"]
    outcomes = compute(rate, to_structures(table[~known]), limits, basis(), paths.INTERIM / "ratings", workers, batch=16)
    energies[~known] = np.array([outcome["energy_per_atom"] for outcome in outcomes], dtype=float)
    return table.assign(energy_per_atom=energies)


def _above_hull(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `e_above_hull` (eV/atom) by the library's hull; NaN without an energy or where the library lacks an element."""
    from crystalgen.crystals import read_crystals
    from crystalgen.potentials.single_point import ENERGY_SOURCE
    from crystalgen.stability.hull import Hull

    placed = Hull(read_crystals(paths.LIBRARY / "crystals.parquet")).place(table, ENERGY_SOURCE)
    return table.assign(e_above_hull=placed["e_above_hull"])


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Let joblib hand its work to a Dask cluster."""
    if address is None:
        yield
        return
    from distributed import Client

    with Client(address), joblib.parallel_config(backend="dask"):
        yield
