"""Generated crystals read, measured, and written as a page if asked to."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from pathlib import Path

import joblib
import pandas as pd

from crystalgen.api.crystals import describe, read, read_reference, targets_of
from crystalgen.metrics.assess import SETTINGS, Options, assess
from crystalgen.metrics.benchmarks import cutoffs_of
from crystalgen.report.evaluation import write_assessment
from crystalgen.utils import paths


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`; JupyterLab shows its metrics.

    metrics: a row per metric: metric, value, low and high (95 % interval), n, reference (the reference's own value), meaning.
    crystals: a row per crystal, with its verdicts and the reason where one could not be had.
    reference: a row per crystal of the reference and setting of the matcher: whether it was found, and its displacement.
    space_groups: their shares among the crystals and in the reference.
    facts: how it was measured, by name. page: index.html, if it was written.
    """

    metrics: pd.DataFrame
    crystals: pd.DataFrame
    reference: pd.DataFrame
    space_groups: pd.DataFrame
    facts: dict
    page: Path | None = None

    def _repr_html_(self) -> str:
        return self.metrics.to_html(index=False, float_format="%.4g")


def evaluate_crystals(
    crystals, reference, training, split: str | None, energies: bool, cutoffs: str | None, by_order: bool, disordered: bool, workers: int,
    dask: str | None, limit: float, out: str | PathLike | None,
) -> Evaluation:  # fmt: skip
    """See `api.evaluate`."""
    start = time.perf_counter()
    chosen = None if cutoffs in (None, "none") else cutoffs_of(cutoffs)
    with _cluster(dask):
        generated, broken = read(crystals, workers, limit)
        if reference is None:
            everything, lacking = targets_of(crystals), []
            reference = f"the targets in {describe(crystals)}"
        else:
            everything, lacking = read_reference(reference, workers, limit)
        side = _side(everything, split, describe(reference))
        known = everything if training is None else read_reference(training, workers, limit)[0]
        if energies:
            generated, side = _rated([generated, side], workers)
        settings = Options(paths.INTERIM / "fingerprints", chosen, tuple(SETTINGS), workers, limit, by_order, disordered)
        found = assess(generated, broken, side, known, settings)
    left_out = f", {len(lacking)} that cannot be read left out" if len(lacking) else ""
    facts = {
        "Generated": describe(crystals),
        "Crystals": "; ".join(filter(None, [f"{len(generated)} readable, {len(broken)} not", broken.attrs.get("passed_over")])),
        "Reference": f"{describe(reference)}{f', its {split} side' if split else ''}: {len(side)} crystals{left_out}",
        "Not new": f"{len(known)} crystals of {describe(reference if training is None else training)}",
        "Matching": "StructureMatcher's verdicts, lengths/sites/angles as named; reduced to primitive cells, scaled to one volume",
        "Coverage": "left out" if chosen is None else f"cut-offs of {cutoffs}",
        "Energies": "plausible ones by 7net-l3i5, crystals as they are; the embedded library's hull" if energies else "not measured",
        "Time limit": f"{limit:g} s of CPU time for a crystal or pair",
        "Intervals": "95 %, whole formulas redrawn, seed 0",
        "Packages": ", ".join(f"{name} {version(name)}" for name in ("pymatgen", "spglib", "matminer", "SMACT")),
        "Time": f"{time.perf_counter() - start:.0f} s, {workers} processes",
    }
    page = None
    if out is not None:
        title = f"Evaluation of {Path(crystals).name if isinstance(crystals, str | PathLike) else describe(crystals)}"
        page = write_assessment(found, generated, side, Path(out), title, facts)
    return Evaluation(found.metrics, found.crystals, found.found, found.space_groups, facts, page)


def _side(table: pd.DataFrame, split: str | None, name: str) -> pd.DataFrame:
    if split is None:
        return table
    chosen = table[table["split"] == split]
    if chosen.empty:
        raise ValueError(f"{name}: no crystals of the split '{split}'; found {sorted(table['split'].dropna().unique())}")
    return chosen


def _rated(tables: list[pd.DataFrame], workers: int) -> Iterator[pd.DataFrame]:
    """The tables with energies by the library's potential, above the library's hull (see `single_point.rate_table`)."""
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
