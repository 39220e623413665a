"""The crystals table: nothing is lost in a file."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import generic

from crystalgen.crystals import (
    CrystalTableError,
    from_columns,
    from_structures,
    read_crystals,
    to_structures,
    write_crystals,
)
from crystalgen.crystals.schema import COLUMNS
from crystalgen.utils.files import atomic

NESTED = ("lattice", "atomic_numbers", "frac_coords")


def assert_same_table(one: pd.DataFrame, other: pd.DataFrame) -> None:
    flat = [c for c in one.columns if c not in NESTED]
    pd.testing.assert_frame_equal(one[flat].reset_index(drop=True), other[flat], check_exact=True)
    assert list(one.columns) == list(other.columns)
    for column in NESTED:
        for a, b in zip(one[column], other[column], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


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


def test_a_left_handed_cell_survives_parquet_and_pymatgen(tmp_path):
    left = from_structures([generic(3, ["Ta", "W", "B"], left_handed=True)], "left")
    write_crystals(left, tmp_path / "t.parquet")
    back = read_crystals(tmp_path / "t.parquet")
    assert np.linalg.det(to_structures(back)[0].lattice.matrix) < 0
    assert_same_table(left, back)
