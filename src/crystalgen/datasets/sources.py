"""Sources of crystals: each reader returns a checked crystals table."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pymatgen.core import Lattice

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import Filter
from crystalgen.crystals import (
    CrystalTableError,
    from_columns,
    from_structures,
    read_crystals,
    structure_from_file,
    structure_from_text,
    validate,
)
from crystalgen.crystals.convert import is_structure_file
from crystalgen.crystals.schema import COLUMNS
from crystalgen.datasets.polymorphs import filter_parquet, filter_polymorphs

_BENCHMARK_COLUMNS = {"lattice", "z", "frac"}
_NAMED = 10  # broken files in an error
_NAME_COLUMNS = ("id", "material_id")
_SPACE_GROUP_COLUMNS = {"spacegroup_symprec0.1": 0.1, "spacegroup_number_symprec0.1": 0.1}  # name: symprec, Å


def load_source(path: str | Path, symprec: float = 0.1) -> pd.DataFrame:
    """Read crystals from whatever `path` is, with space groups found where they are missing.

    A folder is read as structure files, a `.csv` by its `cif` column, a `.parquet` as a crystals table
    or as a benchmark table (columns `lattice`, `z`, `frac`).

    Raises:
        CrystalTableError: naming the path, and the row or file, and what was expected.
    """
    path = Path(path)
    if path.is_dir():
        table = read_folder(path)
    elif path.suffix == ".csv":
        table = read_csv(path)
    elif path.suffix == ".parquet" and path.is_file():
        table = read_benchmark(path) if is_benchmark(path) else read_crystals(path)
    else:
        raise CrystalTableError(f"{path}: expected a folder of structure files, a .csv with a 'cif' column or a .parquet")
    missing = table["space_group"].isna()
    if missing.any():
        found = find_space_groups(table[missing], symprec)
        table.loc[missing, ["space_group", "symprec"]] = found[["space_group", "symprec"]]
    return table


def load_polymorphs(path: str | Path, settings: Filter) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`polymorphs.filter_polymorphs` of a source: the kept crystals and the report.

    Of a crystals parquet only what the filter keeps is ever in memory, so that all of AFLOW can be filtered.
    """
    path = Path(path)
    if path.suffix == ".parquet" and path.is_file() and not is_benchmark(path) and not _lacks_space_groups(path):
        with tempfile.TemporaryDirectory() as folder:
            report = filter_parquet(path, settings, Path(folder) / "kept.parquet")
            return read_crystals(Path(folder) / "kept.parquet"), report
    return filter_polymorphs(load_source(path), settings)


def read_folder(folder: str | Path) -> pd.DataFrame:
    """Read every CIF, POSCAR/CONTCAR and extxyz below `folder`; ids are paths within it.

    Raises:
        CrystalTableError: there is none, or some cannot be read; naming them.
    """
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and is_structure_file(p))
    if not files:
        raise CrystalTableError(f"{folder}: no structure files; expected .cif, POSCAR or .extxyz")
    structures, broken = [], []
    for file in files:
        try:
            structures.append(structure_from_file(file))
        except CrystalTableError as error:
            broken.append(str(error))
    if broken:
        more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        raise CrystalTableError(f"{len(broken)} of {len(files)} files cannot be read: {'; '.join(broken[:_NAMED])}{more}")
    return validate(from_structures(structures, folder.name, [str(p.relative_to(folder)) for p in files]), str(folder))


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a CSV with a `cif` column; `material_id`/`id`, `split` and `formation_energy_per_atom` are taken along."""
    path = Path(path)
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise CrystalTableError(f"{path}: not a readable CSV ({error})") from None
    if "cif" not in frame:
        raise CrystalTableError(f"{path}: lacks the column 'cif'; found {list(frame.columns)}")
    ids = names_of(frame)
    structures = [
        structure_from_text(str(text), "cif", f"{path}: row {row} (id '{i}')")
        for row, (text, i) in enumerate(zip(frame["cif"], ids, strict=True))
    ]
    table = from_structures(structures, path.stem, ids, **_carried(frame, path.stem))
    return validate(table, str(path))


def read_benchmark(path: str | Path) -> pd.DataFrame:
    """Read a benchmark parquet: `id`, `lattice` (a, b, c, Å; α, β, γ, degrees), `z`, `frac` (flat), properties.

    No structure is parsed, so this runs at tens of thousands of rows a second.
    """
    path = Path(path)
    frame = pd.read_parquet(path)
    try:
        lattices = [Lattice.from_parameters(*parameters).matrix for parameters in frame["lattice"]]
        coords = [np.asarray(x, dtype=float).reshape(-1, 3) for x in frame["frac"]]
    except (ValueError, TypeError) as error:
        raise CrystalTableError(f"{path}: 'lattice' must hold a, b, c, α, β, γ and 'frac' three numbers per atom ({error})") from None
    carried = _carried(frame, path.stem)
    taken = {*COLUMNS, *_BENCHMARK_COLUMNS, *_SPACE_GROUP_COLUMNS}  # formulas are derived, in one spelling
    rest = {name: frame[name].to_numpy() for name in frame if name not in taken}
    return validate(from_columns(lattices, frame["z"], coords, path.stem, names_of(frame), **carried, **rest), str(path))


def names_of(frame: pd.DataFrame) -> list[str]:
    """The table's own names (columns `id` or `material_id`, else row numbers), made unique by the row number where a name comes twice."""
    column = next((c for c in _NAME_COLUMNS if c in frame), None)
    names = frame[column].astype(str) if column else pd.Series(frame.index.astype(str), index=frame.index)
    return names.where(~names.duplicated(), names + "-row" + pd.Series(range(len(frame)), index=frame.index).astype(str)).tolist()


def _carried(frame: pd.DataFrame, source: str) -> dict:
    carried = {}
    if "split" in frame:
        carried["split"] = frame["split"].to_numpy(dtype=object)
    if "formation_energy_per_atom" in frame:
        energies = pd.to_numeric(frame["formation_energy_per_atom"])
        carried["formation_energy_per_atom"] = energies.to_numpy(float)
        carried["energy_source"] = np.where(energies.notna(), source, None)
    for name, symprec in _SPACE_GROUP_COLUMNS.items():
        if name in frame:
            carried["space_group"] = frame[name].astype("Int16").array
            carried["symprec"] = symprec
    return carried


def _lacks_space_groups(path: Path) -> bool:
    return pq.read_table(path, columns=["space_group"])["space_group"].null_count > 0


def is_benchmark(path: Path) -> bool:
    """Return whether a parquet file is a benchmark table (see `read_benchmark`)."""
    try:
        return set(pq.read_schema(path).names) >= _BENCHMARK_COLUMNS
    except Exception:
        return False  # `read_crystals` says what is wrong with the file
