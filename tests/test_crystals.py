"""The crystals table: nothing is lost in a file, nothing broken gets through."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import generic
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalgen.crystals import (
    CrystalTableError,
    from_columns,
    from_structures,
    read_crystals,
    structure_from_file,
    structure_from_text,
    to_structures,
    validate,
    write_crystals,
    write_structure_files,
)
from crystalgen.crystals.schema import COLUMNS
from crystalgen.files import atomic
from crystalgen.represent.canonical import canonicalise

NESTED = ("lattice", "atomic_numbers", "frac_coords")
BAD_ROW = 5


def assert_same_table(one: pd.DataFrame, other: pd.DataFrame) -> None:
    flat = [c for c in one.columns if c not in NESTED]
    pd.testing.assert_frame_equal(one[flat].reset_index(drop=True), other[flat], check_exact=True)
    assert list(one.columns) == list(other.columns)
    for column in NESTED:
        for a, b in zip(one[column], other[column], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


# Parquet


def test_parquet_gives_back_every_bit(crystals, tmp_path):
    crystals["split"] = np.resize(np.array(["train", "val", "test", None], dtype=object), len(crystals))
    write_crystals(crystals, tmp_path / "t.parquet")
    assert_same_table(crystals, read_crystals(tmp_path / "t.parquet"))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1.5, np.nan, -0.0], id="float with NaN"),
        pytest.param(["a", None, "ü"], id="text with None"),
        pytest.param([True, False, True], id="bool"),
        pytest.param([2**60, -1, 0], id="int"),
    ],
)
def test_extra_columns_are_kept_as_they_are(crystals, tmp_path, values):
    table = crystals.head(3).assign(extra=values)
    write_crystals(table, tmp_path / "t.parquet")
    assert_same_table(table, read_crystals(tmp_path / "t.parquet"))


def test_a_table_without_rows_survives(crystals, tmp_path):
    write_crystals(crystals.head(0), tmp_path / "t.parquet")
    back = read_crystals(tmp_path / "t.parquet")
    assert len(back) == 0
    assert list(back.columns) == list(crystals.columns)


def test_a_filtered_table_is_written_in_its_own_order(crystals, tmp_path):
    table = crystals.iloc[[40, 3, 17]]
    write_crystals(table, tmp_path / "t.parquet")
    assert_same_table(table, read_crystals(tmp_path / "t.parquet"))


def test_a_parquet_of_many_row_groups_reads_as_one_table(crystals, tmp_path):
    write_crystals(crystals, tmp_path / "t.parquet")
    pq.write_table(pq.read_table(tmp_path / "t.parquet"), tmp_path / "groups.parquet", row_group_size=7)
    assert_same_table(crystals, read_crystals(tmp_path / "groups.parquet"))


def test_absent_optional_columns_are_filled_with_nothing():
    table = from_columns([np.eye(3) * 3], [[26]], [[[0, 0, 0]]], "s")
    assert tuple(table.columns) == COLUMNS
    assert table.loc[0, ["space_group", "symprec", "formation_energy_per_atom", "energy_source", "split"]].isna().all()
    assert table.loc[0, "id"] == "s-0"


def test_a_write_that_dies_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic(path) as partial:
        partial.write_text("whole")
    with pytest.raises(KeyboardInterrupt), atomic(path) as partial:
        partial.write_text("ha")
        raise KeyboardInterrupt
    assert path.read_text() == "whole"


def test_a_refused_table_does_not_touch_the_file_that_was_there(crystals, tmp_path):
    path = tmp_path / "t.parquet"
    write_crystals(crystals, path)
    with pytest.raises(CrystalTableError):
        write_crystals(crystals.assign(split="training"), path)
    assert_same_table(crystals, read_crystals(path))


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


# Structures and structure files


def test_structures_come_back_as_they_were(crystals):
    structures = to_structures(crystals)
    back = from_structures(structures, "test", crystals["id"].tolist())
    for column in NESTED:
        for a, b in zip(crystals[column], back[column], strict=True):
            np.testing.assert_array_equal(a, b)
    assert back["formula"].tolist() == crystals["formula"].tolist()
    assert [s.composition.reduced_formula for s in structures] == crystals["reduced_formula"].tolist()


@pytest.mark.parametrize(("format", "digits"), [("cif", 6), ("poscar", 10), ("extxyz", 7)])
def test_structure_files_give_the_crystals_back(crystals, tmp_path, format, digits):
    paths = write_structure_files(crystals, tmp_path, format)
    assert len(set(paths)) == len(crystals)
    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.05, primitive_cell=False, scale=False)
    for path, before in zip(paths, to_structures(crystals), strict=True):
        after = structure_from_file(path)
        assert after.formula == before.formula
        assert matcher.fit(before, after)
        tolerance = 10.0**-digits
        sign = np.sign(np.linalg.det(before.lattice.matrix))  # a left-handed basis is written right-handed, all vectors turned round
        for z, x in zip(before.atomic_numbers, sign * before.frac_coords, strict=True):  # a CIF orders sites by element
            difference = after.frac_coords[np.array(after.atomic_numbers) == z] - x
            assert np.abs(difference - np.round(difference)).max(axis=1).min() < tolerance
        np.testing.assert_allclose(after.lattice.parameters, before.lattice.parameters, atol=20 * tolerance)


@pytest.mark.parametrize("format", ["cif", "poscar", "extxyz"])
def test_a_left_handed_cell_keeps_its_handedness_in_a_file(tmp_path, format):
    """The crystal has no symmetry: with its coordinates on a mirrored basis it would be its mirror image."""
    left = from_structures([generic(3, ["Ta", "W", "B", "Ti", "Ni"], left_handed=True)], "left")
    assert np.linalg.det(left["lattice"].iloc[0]) < 0
    (path,) = write_structure_files(left, tmp_path, format)
    back = from_structures([structure_from_file(path)], "back")
    before, after = canonicalise(left).iloc[0], canonicalise(back).iloc[0]
    np.testing.assert_allclose(after["lattice"], before["lattice"], atol=1e-4)
    np.testing.assert_allclose(after["frac_coords"], before["frac_coords"], atol=1e-4)


def test_a_left_handed_cell_survives_parquet_and_pymatgen(tmp_path):
    left = from_structures([generic(3, ["Ta", "W", "B"], left_handed=True)], "left")
    write_crystals(left, tmp_path / "t.parquet")
    back = read_crystals(tmp_path / "t.parquet")
    assert np.linalg.det(to_structures(back)[0].lattice.matrix) < 0
    assert_same_table(left, back)


def test_each_crystal_gets_a_file_of_its_own(crystals, tmp_path):
    table = crystals.head(3).assign(id=["set/1", "set_1", "1"])
    paths = write_structure_files(table, tmp_path)
    assert len(set(paths)) == 3
    assert [structure_from_file(p).formula for p in paths] == [s.formula for s in to_structures(table)]


def test_a_crystal_with_partial_occupancies_is_named():
    alloy = Structure(Lattice.cubic(3), [{"Ta": 0.5, "W": 0.5}], [[0, 0, 0]])
    with pytest.raises(CrystalTableError, match="'x-0'.*partial occupancies"):
        from_structures([alloy], "x")


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("cif", "no crystal at all"),
        ("cif", "data_x\n_cell_length_a 3\n"),
        ("poscar", "title\n1.0\n3 0 0\n0 3 0\n"),
        ("extxyz", "1\nno lattice\nFe 0 0 0\n"),
        ("extxyz", '2\nLattice="3 0 0 0 3 0 0 0 3" pbc="T T T"\nFe 0 0 0\n'),
        ("extxyz", '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3\nXx 0 0 0\n'),
    ],
)
def test_a_text_that_is_no_crystal_is_one_clear_error(format, text):
    with pytest.raises(CrystalTableError, match=f"some place: not a readable {format} crystal") as error:
        structure_from_text(text, format, "some place")
    assert "\n" not in str(error.value)
