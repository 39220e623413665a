"""Tables of crystals as the field has them: benchmark parquets, and CSVs with a column `cif`."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pymatgen.core import Lattice

from crystalgen.crystals import CrystalTableError, from_columns, validate
from crystalgen.crystals.reading import decoded
from crystalgen.crystals.schema import COLUMNS
from crystalgen.datasets.files import unpack

_BENCHMARK_COLUMNS = {"lattice", "z", "frac"}
_NAME_COLUMNS = ("id", "material_id")
_SPACE_GROUP_COLUMNS = {"spacegroup_symprec0.1": 0.1, "spacegroup_number_symprec0.1": 0.1}  # name: symprec, Å
_MAX_UNPACKED = 1_000_000_000  # bytes of a compressed CSV


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV with a column `cif` (see `read_any_csv`).

    Raises:
        CrystalTableError: no such CSV, naming it.
    """
    frame = read_any_csv(path)
    if "cif" not in frame:
        raise CrystalTableError(f"{path}: lacks the column 'cif'; found {list(frame.columns)}")
    return frame


def read_any_csv(path: Path) -> pd.DataFrame:
    """Read a CSV in any encoding of `crystals.reading`, gzipped or not; a packed one no further than archives are.

    Raises:
        CrystalTableError: no readable CSV, naming it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CrystalTableError(f"{path}: not a readable CSV ({error.strerror})") from None
    if path.suffix.lower() == ".gz":
        content, reason = unpack(content, ".gz", _MAX_UNPACKED)
        if reason:
            raise CrystalTableError(f"{path}: not a readable CSV ({reason})")
    try:
        return pd.read_csv(io.StringIO(decoded(content)))
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise CrystalTableError(f"{path}: not a readable CSV ({error})") from None


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
    carried = carried_columns(frame, path.stem, path)
    taken = {*COLUMNS, *_BENCHMARK_COLUMNS, *_SPACE_GROUP_COLUMNS}  # formulas are derived, in one spelling
    rest = {name: frame[name].to_numpy() for name in frame if name not in taken}
    return validate(from_columns(lattices, frame["z"], coords, path.stem, names_of(frame), **carried, **rest), str(path))


def is_benchmark(path: Path) -> bool:
    """Return whether a parquet file is a benchmark table (see `read_benchmark`)."""
    try:
        return set(pq.read_schema(path).names) >= _BENCHMARK_COLUMNS
    except Exception:
        return False  # `read_crystals` says what is wrong with the file


def names_of(frame: pd.DataFrame) -> list[str]:
    """The table's own names (columns `id` or `material_id`, else row numbers), made unique by the row number where a name comes twice."""
    column = next((c for c in _NAME_COLUMNS if c in frame), None)
    names = frame[column].astype(str) if column else pd.Series(frame.index.astype(str), index=frame.index)
    return names.where(~names.duplicated(), names + "-row" + pd.Series(range(len(frame)), index=frame.index).astype(str)).tolist()


def carried_columns(frame: pd.DataFrame, source: str, where: Path) -> dict:
    """Return what a table says of its crystals beside their geometry, as columns of a crystals table: splits, energies, space groups.

    Raises:
        CrystalTableError: an energy is no number.
    """
    carried = {}
    if "split" in frame:
        carried["split"] = frame["split"].to_numpy(dtype=object)
    if "formation_energy_per_atom" in frame:
        try:
            energies = pd.to_numeric(frame["formation_energy_per_atom"])
        except (ValueError, TypeError) as error:
            raise CrystalTableError(f"{where}: column 'formation_energy_per_atom': {error}; expected numbers, eV/atom") from None
        carried["formation_energy_per_atom"] = energies.to_numpy(float)
        carried["energy_source"] = np.where(energies.notna(), source, None)
    for name, symprec in _SPACE_GROUP_COLUMNS.items():
        if name in frame:
            carried["space_group"] = frame[name].astype("Int16").array
            carried["symprec"] = np.full(len(frame), symprec)
    return carried
