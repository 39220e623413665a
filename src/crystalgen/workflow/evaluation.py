"""`crystalgen evaluate`: read, measure, write."""

import argparse
import contextlib
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import joblib
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
            generated, reference = _rated([generated, reference], options.workers)
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
        "Energies": "plausible ones by 7net-l3i5, crystals as they are; the embedded library's hull"
        if options.energies
        else "not measured",
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


def _rated(tables: list[pd.DataFrame], workers: int) -> Iterator[pd.DataFrame]:
    """The tables with energies by the library's potential, above the library's hull (see `rating.rate_table`)."""
    from crystalgen.crystals import read_crystals
    from crystalgen.potentials.single_point import rate_table
    from crystalgen.stability.hull import Hull

    hull = Hull(read_crystals(paths.LIBRARY / "crystals.parquet"))
    return (rate_table(table, hull, paths.INTERIM / "ratings", workers) for table in tables)


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Let joblib hand its work to a Dask cluster."""
    if address is None:
        yield
        return
    from distributed import Client

    with Client(address), joblib.parallel_config(backend="dask"):
        yield
