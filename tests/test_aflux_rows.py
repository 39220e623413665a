"""AFLUX's rows: each becomes a valid crystal, once, or is counted and listed with its reason."""

import json
import random

import pyarrow.parquet as pq
import pytest
from aflux_service import SIZE, Service, entry, run

from crystalgen.crystals import read_crystals, validate
from crystalgen.datasets import aflux
from crystalgen.datasets.aflux_rows import crystals_of, read_page
from crystalgen.datasets.download import BadAnswer


def test_an_auid_is_kept_once_within_and_across_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(aflux, "ROW_GROUP", 4)
    rows = [entry(i) for i in (0, 1, 2, 1, 3, 0, 4, 5, 6, 2, 7)]
    with Service(rows) as service:
        record = run(service, tmp_path)
    assert read_crystals(tmp_path / "crystals.parquet")["id"].tolist() == [entry(i)["auid"] for i in range(8)]
    assert pq.ParquetFile(tmp_path / "crystals.parquet").num_row_groups > 1
    assert record["reasons"] == {"duplicate auid": 3}
    assert [(r["page"], r["row"], r["auid"]) for r in record["rejected"]] == [
        (1, 3, entry(1)["auid"]),
        (2, None, entry(0)["auid"]),
        (2, None, entry(2)["auid"]),
    ]


MISSING, TEXT = "Field required", "unable to parse string as an integer"
MALFORMED = [
    (None, "not an object"),
    ("text", "not an object"),
    ({"auid": None}, f"auid: {MISSING}"),
    ({"auid": 7}, "auid: Input should be a valid string"),
    ({"auid": "aflow:\ud800"}, "auid: no plain text"),
    ({"geometry": ""}, f"geometry: {MISSING}"),
    ({"enthalpy_formation_atom": None}, f"enthalpy_formation_atom: {MISSING}"),
    ({"enthalpy_formation_atom": "nan"}, "enthalpy_formation_atom: Input should be a finite number"),
    ({"enthalpy_formation_atom": [1.0, 2.0]}, "enthalpy_formation_atom: Input should be a valid number"),
    ({"natoms": "2.5"}, f"natoms: Input should be a valid integer, {TEXT}"),
    ({"natoms": "many"}, f"natoms: Input should be a valid integer, {TEXT}"),
    ({"natoms": 10**400}, "composition and natoms disagree"),
    ({"natoms": 3, "composition": "1,2"}, "positions_fractional and natoms disagree"),
    ({"species": "Ta,Xx"}, "species, an item: unknown element"),
    ({"species": [["Ta"], "W"]}, "species, an item: Input should be a valid string"),
    ({"species": "Ta"}, "species and composition disagree"),
    ({"composition": "1.5,0.5"}, f"composition, an item: Input should be a valid integer, {TEXT}"),
    ({"composition": "2,0"}, "composition, an item: Input should be greater than 0"),
    ({"composition": {"Ta": 1}}, "composition, an item: Input should be a valid integer"),
    ({"composition": "1,2"}, "composition and natoms disagree"),
    ({"positions_fractional": "0,0,0;0.5,0.5"}, f"positions_fractional, an item: {MISSING}"),
    (
        {"positions_fractional": "0,0,0,0.5,0.5,0.5"},
        "positions_fractional, an item: Tuple should have at most 3 items after validation, not 6",
    ),
    ({"positions_fractional": [[0, 0, 0], [0, None, 0]]}, "positions_fractional, an item: Input should be a valid number"),
    ({"geometry": "4,4,4,90,90"}, f"geometry, an item: {MISSING}"),
    ({"geometry": "4,4,-4,90,90,90"}, "geometry, an item: Input should be greater than 0"),
    ({"geometry": "4,4,4,60,60,150"}, "geometry is no cell"),
    ({"geometry": [4, 4, 4, 90, 90, 180]}, "geometry, an item: Input should be less than 180"),
    ({"spacegroup_relax": 231}, "spacegroup_relax: Input should be less than or equal to 230"),
    ({"spacegroup_relax": "Fm-3m"}, f"spacegroup_relax: Input should be a valid integer, {TEXT}"),
]


def plain(**changes) -> dict:
    base = {"species": "Ta,W", "composition": "1,1", "natoms": "2.0", "positions_fractional": "0,0,0;0.5,0.5,0.5;"}
    return entry(1, **{**base, "geometry": "4,4,4,90,90,90", **changes})


def test_malformed_rows_are_counted_and_listed(tmp_path):
    bad = [plain(**change) if isinstance(change, dict) else change for change, _ in MALFORMED]
    rows = [plain(auid="aflow:first"), *bad, plain(auid="aflow:last")]
    with Service(rows) as service:
        record = run(service, tmp_path)
    assert read_crystals(tmp_path / "crystals.parquet")["id"].tolist() == ["aflow:first", "aflow:last"]
    assert (record["received"], record["kept"]) == (len(rows), 2)
    assert [((r["page"] - 1) * SIZE + r["row"] - 1, r["reason"]) for r in record["rejected"]] == list(
        enumerate(reason for _, reason in MALFORMED)
    )
    assert sum(record["reasons"].values()) == len(MALFORMED)
    assert record == json.loads((tmp_path / "record.json").read_text())
    assert all(len(r["found"]) <= 80 for r in record["rejected"])


def test_whatever_a_row_holds_it_is_a_valid_crystal_or_rejected():
    values = [None, "", "x", "1", "0", "-1", "1e999", "nan", True, {}, [], [[]], [None], ["Ta"], 0, 1.5, 1e308, -2, [[0, 0, 0]], "0,0,0"]
    values += ["4,4,4,90,90,90", [1e-300] * 6, [4, 4, 4, 1e-300, 90, 90], [1e200, 1e200, 1e200, 90, 90, 90], "Ta,W", "\ud800", "Ta_pv"]
    values += [[1e-9, 1e-9, 1e-9, 90, 90, 90], [4, 4, 4, 179.999, 179.999, 179.999], [[4, 4, 4], [90, 90, 90]], 10**30, "1;1", "9" * 500]
    generator = random.Random(0)
    rows = []
    for number in range(4000):
        row = plain(auid=f"aflow:{number}")
        for key in generator.sample(sorted(row), generator.choice((1, 1, 2, 3))):
            row[key] = generator.choice(values)
        rows.append(row)
    table, rejected = crystals_of(rows)
    validate(table)
    assert len(table) + len(rejected) == len(rows)
    assert len(table) > 100
    json.dumps(rejected, ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", [None, "", 5, "PAW\n", []])
def test_without_a_functional_the_energy_is_aflows(kind):
    table, _ = crystals_of([plain(dft_type=kind)])
    assert table["energy_source"].tolist() == ["AFLOW"]


@pytest.mark.parametrize("body", [b"", b"1", b'"text"', b"[1", b"[" * 100_000, b'{"a": 1}', b'{"1 of 2": 1, "x": 2}'])
def test_what_is_no_page_is_a_bad_answer(body):
    with pytest.raises(BadAnswer):
        read_page(body)


def test_keyed_rows_are_in_the_order_of_their_numbers():
    page = read_page(b'{"10 of 912": "b", "9 of 912": "a", "11 of 912": "c"}')
    assert page == (["a", "b", "c"], 912)
