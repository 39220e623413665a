"""Sources of crystals for training: a checked crystals table, in which nothing may be broken."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import Filter
from crystalgen.crystals import CrystalTableError, read_crystals, validate
from crystalgen.datasets.generated import need_all, read_generated
from crystalgen.datasets.polymorphs import filter_parquet, filter_polymorphs
from crystalgen.datasets.tables import is_benchmark


def load_source(path: str | Path, symprec: float = 0.1) -> pd.DataFrame:
    """Read crystals from whatever `generated.read_generated` reads, with space groups found where they are missing.

    Raises:
        CrystalTableError: naming the path, and the rows or files that cannot be read, or what was expected.
    """
    table = need_all(*read_generated(path), str(path))
    missing = table["space_group"].isna()
    if missing.any():
        found = find_space_groups(table[missing], symprec)
        table.loc[missing, ["space_group", "symprec"]] = found[["space_group", "symprec"]]
    return table


def load_polymorphs(path: str | Path, settings: Filter, energy: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`polymorphs.filter_polymorphs` of a source: the kept crystals and the report.

    Of a crystals parquet only what the filter keeps is ever in memory, so that all of AFLOW can be filtered.

    energy: a numeric column of the source that is taken for `formation_energy_per_atom`, eV/atom; `energy_source` then names it.

    Raises:
        CrystalTableError: see `load_source`; or the source has no such column of numbers.
    """
    kept, report = _filtered(Path(path), settings)
    if energy is None:
        return kept, report
    numeric = kept.select_dtypes("number").columns
    if energy not in numeric:
        raise CrystalTableError(f"{path}: data.energy: no column of numbers '{energy}'; expected one of {list(numeric)}")
    values = kept[energy].astype(float)
    named = kept.assign(formation_energy_per_atom=values, energy_source=np.where(values.notna(), kept["source"] + f" {energy}", None))
    return validate(named, str(path)), report


def _filtered(path: Path, settings: Filter) -> tuple[pd.DataFrame, pd.DataFrame]:
    if path.suffix == ".parquet" and path.is_file() and not is_benchmark(path) and not _lacks_space_groups(path):
        with tempfile.TemporaryDirectory() as folder:
            report = filter_parquet(path, settings, Path(folder) / "kept.parquet")
            return read_crystals(Path(folder) / "kept.parquet"), report
    return filter_polymorphs(load_source(path), settings)


def _lacks_space_groups(path: Path) -> bool:
    return pq.read_table(path, columns=["space_group"])["space_group"].null_count > 0
