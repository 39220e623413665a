"""Calculations of density-functional codes as a person's table, and as a file."""

from os import PathLike
from pathlib import Path

import pandas as pd

from crystalgen.crystals import from_columns, to_structures
from crystalgen.dft.ingest import ingest

_CELL = ["lattice", "atomic_numbers", "frac_coords"]


def read_calculations(folder: str | PathLike, cache: Path, workers: int, limit: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `dft.ingest`'s table as it is, and with a column `structure` (None of a failed calculation) in place of its arrays."""
    table = ingest(Path(folder), cache, workers, limit)
    read = table["lattice"].notna()
    structures = iter(to_structures(from_columns(*(table.loc[read, name] for name in _CELL), "calculation")))
    column = pd.Series([next(structures) if known else None for known in read], index=table.index, dtype=object)
    return table, table.drop(columns=_CELL).assign(structure=column)


def write_calculations(table: pd.DataFrame, out: str | PathLike) -> None:
    """Write the table as .parquet, or without its arrays as .csv."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".csv":
        table.drop(columns=[*_CELL, "stress"]).to_csv(out, index=False, lineterminator="\n")
    else:
        table.to_parquet(out, index=False)
