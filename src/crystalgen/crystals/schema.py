"""Check what a row of the crystals table must be, on every read and write.

| column | type | meaning |
|---|---|---|
| `id` | str, unique | the crystal's name in its source |
| `formula` | str | the whole cell, e.g. `Ta1W1B6` |
| `reduced_formula` | str | e.g. `TaWB6` |
| `nsites` | int | atoms in the cell |
| `lattice` | (3, 3) float | rows are the lattice vectors, Å |
| `atomic_numbers` | (nsites,) int | 1 to 103 |
| `frac_coords` | (nsites, 3) float | fractional coordinates |
| `space_group` | int or NA | 1 to 230 |
| `symprec` | float or NaN | Å; the tolerance `space_group` was found with |
| `formation_energy_per_atom` | float or NaN | eV/atom |
| `energy_source` | str or None | where that energy comes from; required beside an energy |
| `source` | str | the data set |
| `split` | train, val, test or None | |

Further columns are kept as parquet keeps them: integers with gaps come back as floats.
"""

import numpy as np
import pandas as pd
import pandera.pandas as pa

SPLITS = ("train", "val", "test", "held_out")  # held out: for a search, seen by no model
MAX_ATOMIC_NUMBER = 103
MIN_VOLUME = 0.1  # Å^3; below it a cell is degenerate (the threshold of CDVAE's structure validity)


class CrystalTableError(ValueError):
    """A table of crystals that cannot be used; the message names file, row, column and expectation."""


SCHEMA = pa.DataFrameSchema(
    {
        "id": pa.Column(str, unique=True),
        "formula": pa.Column(str),
        "reduced_formula": pa.Column(str),
        "nsites": pa.Column("int32", pa.Check.ge(1)),
        "lattice": pa.Column(object),
        "atomic_numbers": pa.Column(object),
        "frac_coords": pa.Column(object),
        "space_group": pa.Column("Int16", pa.Check.in_range(1, 230), nullable=True),
        "symprec": pa.Column("float64", pa.Check.gt(0), nullable=True),
        "formation_energy_per_atom": pa.Column("float64", pa.Check(np.isfinite), nullable=True),
        "energy_source": pa.Column(object, nullable=True),
        "source": pa.Column(str),
        "split": pa.Column(object, pa.Check.isin(SPLITS), nullable=True),
    },
    unique_column_names=True,
)
COLUMNS = tuple(SCHEMA.columns)


def validate(table: pd.DataFrame, where: str = "crystals table") -> pd.DataFrame:
    """Return the table if every row fits the schema.

    Raises:
        CrystalTableError: naming `where`, the first bad row (number and id), the column, the value
            and what was expected.
    """
    numbered = table.reset_index(drop=True)
    try:
        SCHEMA.validate(numbered, lazy=False)
    except pa.errors.SchemaError as error:
        raise CrystalTableError(f"{where}: {_explain(error, numbered)}") from None
    for column, expected, bad in _geometry_checks(table):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise CrystalTableError(
                f"{where}: {_row(table, row)}, column '{column}': expected {expected} ({int(bad.sum())} of {len(table)} rows fail)"
            )
    return table


def _geometry_checks(table: pd.DataFrame):
    """Yield (column, expectation, bad row mask); later checks rely on earlier ones having passed."""
    count = len(table)
    nsites = table["nsites"].to_numpy()
    shapes = {
        "lattice": ("a (3, 3) array", lambda v, n: np.shape(v) == (3, 3)),
        "atomic_numbers": ("one atomic number per site", lambda v, n: np.shape(v) == (n,)),
        "frac_coords": ("a (nsites, 3) array", lambda v, n: np.shape(v) == (n, 3)),
    }
    for column, (expected, fits) in shapes.items():
        values = table[column].to_numpy()
        yield column, expected, np.array([not fits(v, n) for v, n in zip(values, nsites, strict=True)], bool)
    if count == 0:
        return
    lattices = np.stack(table["lattice"].to_numpy()).astype(float)
    yield "lattice", "finite lattice vectors", ~np.isfinite(lattices).all(axis=(1, 2))
    volumes = np.abs(np.linalg.det(lattices))
    yield "lattice", f"a cell volume above {MIN_VOLUME} Å^3", ~(volumes > MIN_VOLUME)
    starts = np.concatenate([[0], np.cumsum(nsites)[:-1]])
    numbers = np.concatenate(table["atomic_numbers"].to_numpy())
    unknown = ~((numbers >= 1) & (numbers <= MAX_ATOMIC_NUMBER) & (numbers == np.floor(numbers)))  # NaN is unknown too
    yield "atomic_numbers", f"atomic numbers from 1 to {MAX_ATOMIC_NUMBER}", np.logical_or.reduceat(unknown, starts)
    coords = np.concatenate(table["frac_coords"].to_numpy())
    broken = ~np.isfinite(coords).all(axis=1)
    yield "frac_coords", "finite fractional coordinates", np.logical_or.reduceat(broken, starts)
    unnamed = table["formation_energy_per_atom"].notna() & table["energy_source"].isna()
    yield "energy_source", "a source beside every formation energy", unnamed.to_numpy()


def _row(table: pd.DataFrame, row: int) -> str:
    name = table["id"].iloc[row] if "id" in table else "?"
    return f"row {row} (id '{name}')"


def _explain(error: pa.errors.SchemaError, table: pd.DataFrame) -> str:
    cases = error.failure_cases
    column = getattr(error.schema, "name", None)
    if column is None or not isinstance(cases, pd.DataFrame) or cases["index"].isna().all():
        return str(error).splitlines()[0]
    row = table.index.get_loc(cases["index"].iloc[0])
    check = error.check if isinstance(error.check, str) else getattr(error.check, "error", None) or error.check
    return f"{_row(table, row)}, column '{column}': got {cases['failure_case'].iloc[0]!r}, expected {check}"
