"""Read, write and make the crystals table. Parquet keeps nested columns flat, so both are vectorised."""

import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Composition, Element

from crystalgen.crystals.schema import COLUMNS, MAX_ATOMIC_NUMBER, CrystalTableError, validate
from crystalgen.utils.files import atomic

_ARROW_TYPES = {
    "lattice": pa.list_(pa.float64(), 9),
    "atomic_numbers": pa.list_(pa.int16()),
    "frac_coords": pa.list_(pa.float64()),
}


def read_crystals(path: str | Path) -> pd.DataFrame:
    """Read and check a crystals parquet.

    Raises:
        CrystalTableError: the file is missing, no parquet, lacks a column, or has a bad row.
    """
    path = Path(path)
    if not path.is_file():
        raise CrystalTableError(f"{path}: no such file; expected a crystals parquet")
    try:
        arrow = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CrystalTableError(f"{path}: not a readable parquet file ({error})") from None
    missing = [name for name in COLUMNS if name not in arrow.column_names]
    if missing:
        raise CrystalTableError(f"{path}: lacks the columns {missing}; expected {list(COLUMNS)}")
    nested = {name: _ragged(arrow[name].combine_chunks(), path, name) for name in _ARROW_TYPES}
    frame = arrow.drop_columns(list(_ARROW_TYPES)).to_pandas()
    nested["lattice"] = [_reshape(v, (3, 3)) for v in nested["lattice"]]
    nested["frac_coords"] = [_reshape(v, (-1, 3)) for v in nested["frac_coords"]]
    for name, values in nested.items():
        frame[name] = pd.Series(values, index=frame.index, dtype=object)
    return validate(_typed(frame), str(path))


def write_crystals(table: pd.DataFrame, path: str | Path) -> None:
    """Check the table and write it as parquet (zstd), atomically."""
    path = Path(path)
    validate(table, str(path))
    columns = {}
    for name in table.columns:
        if name in _ARROW_TYPES:
            flat = [np.asarray(v).reshape(-1) for v in table[name]]
            columns[name] = pa.array(flat, type=_ARROW_TYPES[name])
        else:
            columns[name] = pa.array(table[name], from_pandas=True)
    with atomic(path) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd", compression_level=15)


def from_columns(
    lattice: Sequence,
    atomic_numbers: Sequence,
    frac_coords: Sequence,
    source: str,
    id: Sequence[str] | None = None,
    **columns,
) -> pd.DataFrame:
    """Make a crystals table from per-crystal arrays; formulas and nsites are derived.

    Args:
        lattice: n arrays (3, 3), Å, rows are vectors.
        atomic_numbers: n integer arrays (nsites,).
        frac_coords: n arrays (nsites, 3).
        source: name of the data set.
        id: n unique names; `<source>-<row>` if omitted.
        **columns: any further column of the schema or beyond it.
    """
    # What does not fit becomes 0, which no element has, rather than wrapping round to another element.
    numbers = [np.where(np.abs(z) <= MAX_ATOMIC_NUMBER, z, 0).astype(np.int16) for z in map(np.asarray, atomic_numbers)]
    table = pd.DataFrame(index=range(len(numbers)))
    table["id"] = [f"{source}-{i}" for i in range(len(numbers))] if id is None else [str(i) for i in id]
    table["formula"], table["reduced_formula"] = formulas(numbers)
    table["nsites"] = [len(z) for z in numbers]
    table["lattice"] = [np.asarray(m, dtype=float) for m in lattice]
    table["atomic_numbers"] = numbers
    table["frac_coords"] = [np.asarray(x, dtype=float) for x in frac_coords]
    table["source"] = source
    for name, values in columns.items():
        table[name] = values
    return _typed(table)


def formulas(atomic_numbers: Sequence[np.ndarray]) -> tuple[list[str], list[str]]:
    """Full and reduced formulas, e.g. (`Ta1W1B6`, `TaWB6`), one look-up per distinct composition."""
    pairs = [_formula_pair(tuple(np.bincount(np.clip(z, 0, 200)).tolist())) for z in atomic_numbers]
    return [p[0] for p in pairs], [p[1] for p in pairs]


@cache
def _formula_pair(counts: tuple[int, ...]) -> tuple[str, str]:
    try:
        composition = Composition({Element.from_Z(z): n for z, n in enumerate(counts) if n})
    except ValueError:
        return "?", "?"  # an unknown atomic number: the schema check names the row
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity")  # of noble gases, by which pymatgen sorts a formula
        return composition.formula.replace(" ", ""), composition.reduced_formula


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Schema columns first, absent optional ones added, each with its type."""
    for name in ("energy_source", "split"):
        values = table[name] if name in table else pd.Series([None] * len(table), index=table.index)
        table[name] = values.astype(object).where(values.notna(), None)
    for name in ("symprec", "formation_energy_per_atom"):
        table[name] = pd.to_numeric(table[name]).astype("float64") if name in table else np.nan
    table["space_group"] = table["space_group"].astype("Int16") if "space_group" in table else pd.array([pd.NA] * len(table), dtype="Int16")
    table["nsites"] = table["nsites"].astype("int32")
    rest = [name for name in table.columns if name not in COLUMNS]
    return table[[*COLUMNS, *rest]].copy()


def _reshape(flat: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Reshape if the length allows it; otherwise leave the wrong shape for `validate` to name the row."""
    return flat.reshape(shape) if flat.size and flat.size % abs(np.prod(shape)) == 0 and (shape[0] < 0 or flat.size == 9) else flat


def _ragged(array: pa.Array, path: Path, name: str) -> list[np.ndarray]:
    """Rows of a list column as numpy views of one buffer."""
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise CrystalTableError(f"{path}: row {row}, column '{name}': empty, expected a list of numbers")
    try:
        lengths = array.value_lengths().to_numpy()
        flat = array.flatten().to_numpy(zero_copy_only=False)
    except AttributeError:
        raise CrystalTableError(f"{path}: column '{name}' has type {array.type}, expected a list of numbers") from None
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []
