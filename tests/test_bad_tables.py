"""Broken crystals tables: nothing broken gets through, and the error names file, row and column."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystalgen.crystals import (
    CrystalTableError,
    from_columns,
    read_crystals,
    validate,
    write_crystals,
)
from crystalgen.crystals.schema import COLUMNS

NESTED = ("lattice", "atomic_numbers", "frac_coords")
BAD_ROW = 5


# Bad rows: the table holds `value` in `column` at BAD_ROW


def _nan_coordinate(row):
    return row["frac_coords"] * np.array([np.nan, 1, 1])


BAD = {
    "NaN coordinate": ("frac_coords", _nan_coordinate),
    "infinite coordinate": ("frac_coords", lambda row: np.full_like(row["frac_coords"], np.inf)),
    "one coordinate row too many": ("frac_coords", lambda row: np.vstack([row["frac_coords"], [[0.1, 0.2, 0.3]]])),
    "no coordinates": ("frac_coords", lambda row: row["frac_coords"][:0]),
    "zero volume": ("lattice", lambda row: row["lattice"][[0, 1, 1]]),
    "NaN lattice": ("lattice", lambda row: row["lattice"] * np.nan),
    "atomic number 0": ("atomic_numbers", lambda row: row["atomic_numbers"] * np.int16(0)),
    "atomic number 110": ("atomic_numbers", lambda row: np.full_like(row["atomic_numbers"], 110)),
    "negative atomic number": ("atomic_numbers", lambda row: -row["atomic_numbers"]),
    "one atomic number too few": ("atomic_numbers", lambda row: row["atomic_numbers"][1:]),
    "space group 231": ("space_group", lambda row: 231),
    "space group 0": ("space_group", lambda row: 0),
    "split training": ("split", lambda row: "training"),
    "energy without a source": ("energy_source", lambda row: None),
    "infinite energy": ("formation_energy_per_atom", lambda row: np.inf),
    "symprec 0": ("symprec", lambda row: 0.0),
}


@pytest.fixture
def good(crystals) -> pd.DataFrame:
    return crystals.head(12).assign(formation_energy_per_atom=-0.1, energy_source="made up")


def _spoilt(table: pd.DataFrame, column: str, value) -> pd.DataFrame:
    table = table.copy()
    values = list(table[column])
    values[BAD_ROW] = value
    table[column] = pd.Series(values, index=table.index, dtype=table[column].dtype)
    return table


def _assert_names(error, path, table, column) -> None:
    message = str(error.value)
    assert message.startswith(str(path))
    assert f"row {BAD_ROW} " in message
    assert f"'{table['id'].iloc[BAD_ROW]}'" in message
    assert f"'{column}'" in message
    assert "\n" not in message


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_row_is_named_on_writing(good, tmp_path, fault):
    column, spoil = BAD[fault]
    path = tmp_path / "t.parquet"
    with pytest.raises(CrystalTableError) as error:
        write_crystals(_spoilt(good, column, spoil(good.iloc[BAD_ROW])), path)
    _assert_names(error, path, good, column)
    assert not path.exists()


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_row_is_named_on_reading(good, tmp_path, fault):
    column, spoil = BAD[fault]
    path = tmp_path / "t.parquet"
    write_crystals(good, path)
    arrow = pq.read_table(path)
    values = arrow[column].to_pylist()
    value = spoil(good.iloc[BAD_ROW])
    values[BAD_ROW] = np.ravel(value).tolist() if isinstance(value, np.ndarray) else value
    at = arrow.column_names.index(column)
    kind = pa.string() if column == "split" else arrow.schema.field(column).type
    pq.write_table(arrow.set_column(at, column, pa.array(values, type=kind)), path)
    with pytest.raises(CrystalTableError) as error:
        read_crystals(path)
    _assert_names(error, path, good, column)


@pytest.mark.parametrize("index", [None, "shifted", "repeated"])
def test_a_bad_row_has_its_position_as_number_whatever_the_index(good, index):
    bad = _spoilt(good, "split", "training")
    bad.index = {None: bad.index, "shifted": bad.index + 100, "repeated": [0] * len(bad)}[index]
    with pytest.raises(CrystalTableError) as error:
        validate(bad, "here")
    _assert_names(error, "here", good, "split")


def test_a_repeated_id_is_named(good, tmp_path):
    path = tmp_path / "t.parquet"
    write_crystals(good, path)
    arrow = pq.read_table(path)
    ids = arrow["id"].to_pylist()
    ids[BAD_ROW] = ids[2]
    pq.write_table(arrow.set_column(0, "id", pa.array(ids)), path)
    for act in (lambda: read_crystals(path), lambda: write_crystals(good.assign(id=ids), path)):
        with pytest.raises(CrystalTableError) as error:
            act()
        assert str(path) in str(error.value)
        assert ids[2] in str(error.value)
        assert "'id'" in str(error.value)
        assert "row 2 " in str(error.value) or f"row {BAD_ROW} " in str(error.value)


@pytest.mark.parametrize("column", NESTED)
def test_an_empty_entry_in_a_nested_column_is_named(good, tmp_path, column):
    """A null row, and a null number inside a row, are both refused with the row's number."""
    path = tmp_path / "t.parquet"
    write_crystals(good, path)
    arrow = pq.read_table(path)
    at, kind = arrow.column_names.index(column), arrow.schema.field(column).type
    for value in (None, [None, *arrow[column].to_pylist()[BAD_ROW][1:]]):
        values = arrow[column].to_pylist()
        values[BAD_ROW] = value
        pq.write_table(arrow.set_column(at, column, pa.array(values, type=kind)), path)
        with pytest.raises(CrystalTableError, match=f"row {BAD_ROW}.*'{column}'") as error:
            read_crystals(path)
        assert str(path) in str(error.value)


def test_an_atomic_number_beyond_the_columns_range_does_not_become_an_element():
    """26 + 2^16 is not iron (pymatgen gives a dummy species' hash as its atomic number)."""
    with pytest.raises((CrystalTableError, OverflowError)):
        validate(from_columns([np.eye(3) * 3], [np.array([26 + 2**16])], [np.zeros((1, 3))], "s"))


def test_the_number_of_bad_rows_is_told(good):
    bad = good.assign(lattice=[m * 0 if i % 2 else m for i, m in enumerate(good["lattice"])])
    with pytest.raises(CrystalTableError, match=f"6 of {len(bad)} rows fail"):
        validate(bad)


# Bad files


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CrystalTableError, match="no such file") as error:
        read_crystals(tmp_path / "absent.parquet")
    assert str(tmp_path / "absent.parquet") in str(error.value)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(crystals, tmp_path, column):
    path = tmp_path / "t.parquet"
    write_crystals(crystals, path)
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(CrystalTableError, match=f"lacks the columns \\['{column}'\\]") as error:
        read_crystals(path)
    assert str(path) in str(error.value)


def test_a_nested_column_of_another_kind_is_named(crystals, tmp_path):
    path = tmp_path / "t.parquet"
    write_crystals(crystals, path)
    arrow = pq.read_table(path)
    at = arrow.column_names.index("frac_coords")
    pq.write_table(arrow.set_column(at, "frac_coords", pa.array(["0 0 0"] * len(crystals))), path)
    with pytest.raises(CrystalTableError, match="'frac_coords' has type string"):
        read_crystals(path)


def _truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _zero_the_pages(data: bytes) -> bytes:
    return data[:4] + bytes(4000) + data[4004:]


def _spoil_the_footer(data: bytes) -> bytes:
    return data[:-200] + bytes(reversed(data[-200:-8])) + data[-8:]


@pytest.mark.parametrize("spoil", [_truncate, _zero_the_pages, _spoil_the_footer, lambda data: b"", lambda data: b"id,lattice\n1,2\n"])
def test_a_corrupted_parquet_is_one_clear_error(crystals, tmp_path, spoil):
    path = tmp_path / "t.parquet"
    write_crystals(crystals, path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CrystalTableError, match="not a readable parquet file") as error:
        read_crystals(path)
    assert str(path) in str(error.value)
