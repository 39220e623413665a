"""The polymorph filter keeps what its definition says, checked by counting by hand."""

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Element

from crystalgen.config import Filter
from crystalgen.crystals import CrystalTableError, from_columns, read_crystals, write_crystals
from crystalgen.datasets import polymorphs
from crystalgen.datasets.polymorphs import describe, filter_parquet, filter_polymorphs, made_of


def _table(crystals: list[tuple[list[int], int | None]]) -> pd.DataFrame:
    """Crystals by atomic numbers and space group; geometry plays no part in the filter."""
    numbers = [np.array(z) for z, _ in crystals]
    groups = pd.array([g for _, g in crystals], dtype="Int16")
    return from_columns([np.eye(3) * 9] * len(numbers), numbers, [np.zeros((len(z), 3)) for z in numbers], "s", space_group=groups)


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """3000 crystals of skewed elements, sizes and space groups, so that every step drops something and one pass is not enough."""
    rng = np.random.default_rng(5)
    elements = np.array([5, 6, 13, 22, 28, 73, 74, 29, 42, 12])
    odds = 1 / np.arange(1, 11) ** 1.7
    crystals = []
    for _ in range(3000):
        kinds = np.unique(rng.choice(elements, size=rng.integers(1, 4), p=odds / odds.sum()))
        crystals.append((np.repeat(kinds, rng.integers(1, 4, len(kinds))).tolist(), int(np.ceil(rng.exponential(9)))))
    crystals[7] = (crystals[7][0], None)
    return _table(crystals)


SETTINGS = Filter(min_sites=2, max_sites=7, min_share=0.02, min_group=5, max_group=120)


def _offences(table: pd.DataFrame, settings: Filter) -> list[str]:
    """Rows against the definition, counted row by row."""
    least = settings.min_share * len(table)
    elements = Counter(z for numbers in table["atomic_numbers"] for z in set(numbers.tolist()))
    groups = Counter(table["space_group"].tolist())
    formulas = Counter(table["formula"])
    found = [f"element {z}" for z, n in elements.items() if n < least - 1e-9]
    found += [f"group {g}" for g, n in groups.items() if pd.isna(g) or n < least - 1e-9]
    found += [f for f, n in formulas.items() if not settings.min_group <= n <= settings.max_group]
    found += [f"{n} sites" for n in table["nsites"] if not settings.min_sites <= n <= settings.max_sites]
    return found


def test_the_result_fits_the_definition(many):
    kept, report = filter_polymorphs(many, SETTINGS)
    assert _offences(many, SETTINGS) != []
    assert _offences(kept, SETTINGS) == []
    assert 0 < len(kept) < len(many)
    assert len(report) > 6, "this table takes more than one pass"


def _naive(table: pd.DataFrame, settings: Filter) -> pd.DataFrame:
    """The same rules applied one row at a time, in plain Python."""
    rows = table[table["nsites"].between(settings.min_sites, settings.max_sites)]
    if settings.elements is not None:
        allowed = {Element(s).Z for s in settings.elements}
        rows = rows[[set(z.tolist()) <= allowed for z in rows["atomic_numbers"]]]
    while True:
        before = len(rows)
        elements = Counter(z for numbers in rows["atomic_numbers"] for z in set(numbers.tolist()))
        groups = Counter(rows["space_group"].dropna().tolist())
        least = settings.min_share * len(rows) - 1e-9
        fits = [
            not pd.isna(g) and groups[g] >= least and all(elements[i] >= least for i in z)
            for z, g in zip(rows["atomic_numbers"], rows["space_group"], strict=True)
        ]
        rows = rows[fits]
        sizes = Counter(rows["formula"])
        rows = rows[[settings.min_group <= sizes[f] <= settings.max_group for f in rows["formula"]]]
        if len(rows) == before:
            return rows


def test_nothing_that_could_stay_is_dropped(many):
    assert filter_polymorphs(many, SETTINGS)[0]["id"].tolist() == _naive(many, SETTINGS)["id"].tolist()


@pytest.mark.parametrize("seed", range(12))
def test_random_tables_end_as_the_plain_rules_say(seed):
    """Elements up to 103, so that both halves of the bits are in use."""
    rng = np.random.default_rng(seed)
    elements = rng.choice(np.arange(1, 104), 12, replace=False)
    odds = rng.dirichlet(np.full(12, 0.7))
    crystals = []
    for _ in range(400):
        kinds = rng.choice(elements, size=rng.integers(1, 4), p=odds)
        crystals.append((rng.permutation(np.repeat(kinds, rng.integers(1, 3, len(kinds)))).tolist(), int(rng.geometric(0.2))))
    settings = Filter(
        min_sites=int(rng.integers(1, 3)),
        max_sites=int(rng.integers(3, 7)),
        min_share=float(rng.choice([0.0, 0.02, 0.05])),
        min_group=int(rng.integers(1, 5)),
        max_group=int(rng.integers(20, 80)),
        elements=tuple(Element.from_Z(int(z)).symbol for z in elements[:10]) if seed % 2 else None,
    )
    table = _table(crystals)
    expected = _naive(table, settings)["id"].tolist()
    assert 0 < len(expected) < len(table)
    assert filter_polymorphs(table, settings)[0]["id"].tolist() == expected


# Files


@pytest.mark.parametrize("batch", [64, 999, 10_000])
def test_a_file_is_filtered_as_its_table_is(many, tmp_path, monkeypatch, batch):
    monkeypatch.setattr(polymorphs, "BATCH", batch)
    table = many.assign(prototype=[f"p{i % 5}" for i in range(len(many))])
    write_crystals(table, tmp_path / "all.parquet")
    report = filter_parquet(tmp_path / "all.parquet", SETTINGS, tmp_path / "kept.parquet")
    kept, expected = filter_polymorphs(read_crystals(tmp_path / "all.parquet"), SETTINGS)
    pd.testing.assert_frame_equal(report, expected)
    pd.testing.assert_frame_equal(read_crystals(tmp_path / "kept.parquet"), kept)


def test_a_file_of_which_nothing_is_left_writes_nothing(many, tmp_path):
    write_crystals(many, tmp_path / "all.parquet")
    with pytest.raises(ValueError, match="nothing after '50-60 atoms'"):
        filter_parquet(tmp_path / "all.parquet", Filter(min_sites=50), tmp_path / "kept.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["all.parquet"]


def test_what_is_no_crystals_parquet_is_named(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(CrystalTableError, match="t.parquet: not a readable parquet"):
        filter_parquet(path, SETTINGS, tmp_path / "kept.parquet")
    path.write_bytes(b"PAR1")
    with pytest.raises(CrystalTableError, match="t.parquet: not a readable parquet"):
        filter_parquet(path, SETTINGS, tmp_path / "kept.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(CrystalTableError, match="t.parquet: lacks the columns.*'id'"):
        filter_parquet(path, SETTINGS, tmp_path / "kept.parquet")
    write_crystals(_table([([5], 1)]).head(0).astype({n: object for n in ("lattice", "atomic_numbers", "frac_coords")}), path)
    with pytest.raises(CrystalTableError, match="t.parquet: holds no crystals"):
        filter_parquet(path, SETTINGS, tmp_path / "kept.parquet")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("nsites", [2, 3, 2], "row 1, column 'atomic_numbers': expected one atomic number per site"),
        ("atomic_numbers", [[5, 74], None, [5, 74]], "row 1, column 'atomic_numbers': expected one"),
        ("atomic_numbers", [[5, 74], [5, 74], [5, 104]], "row 2, column 'atomic_numbers': expected atomic numbers from 1 to 103"),
        ("space_group", [225, 225, 231], "row 2, column 'space_group': expected an International number"),
    ],
)
def test_a_bad_row_of_a_file_is_named(tmp_path, monkeypatch, column, values, message):
    monkeypatch.setattr(polymorphs, "BATCH", 2)
    path = tmp_path / "t.parquet"
    write_crystals(_table([([5, 74], 225)] * 3), path)
    arrow = pq.read_table(path)
    place = arrow.schema.get_field_index(column)
    pq.write_table(arrow.set_column(place, column, pa.array(values, arrow.schema.field(column).type)), path)
    with pytest.raises(CrystalTableError, match=message):
        filter_parquet(path, SETTINGS, tmp_path / "kept.parquet")


# The definition, by examples


def test_the_result_is_a_fixed_point(many):
    kept, _ = filter_polymorphs(many, SETTINGS)
    again, report = filter_polymorphs(kept, SETTINGS)
    assert again["id"].tolist() == kept["id"].tolist()
    assert set(report["structures"]) == {len(kept)}


def test_the_report_goes_from_everything_to_the_result(many):
    kept, report = filter_polymorphs(many, SETTINGS)
    assert report.iloc[0].to_dict() == describe("all", many)
    assert report.iloc[-1].to_dict() == describe(report["step"].iloc[-1], kept)
    assert report["structures"].is_monotonic_decreasing
    assert report["step"].is_unique


def test_only_the_asked_elements_are_kept(many):
    symbols = ("B", "C", "Al")
    kept, _ = filter_polymorphs(many, SETTINGS.model_copy(update={"elements": symbols}))
    assert set(np.concatenate(kept["atomic_numbers"].to_numpy())) <= {Element(s).Z for s in symbols}
    assert made_of(kept, symbols).all()
    assert made_of(kept.head(0), symbols).tolist() == []


def test_a_crystal_without_a_space_group_is_dropped():
    table = _table([([5, 74], 225)] * 10 + [([5, 74], None)] * 10)
    kept, _ = filter_polymorphs(table, Filter(min_sites=2, min_group=1))
    assert kept["id"].tolist() == [f"s-{i}" for i in range(10)]


def test_a_share_of_exactly_the_least_is_kept():
    """7 of 100 rows are not less than 0.07 of them, though 0.07 * 100 is above 7 in floating point."""
    table = _table([([5, 74], 225)] * 93 + [([5, 74], 221)] * 7)
    kept, _ = filter_polymorphs(table, Filter(min_sites=2, min_share=0.07, min_group=1, max_group=100))
    assert len(kept) == 100


def test_group_sizes_are_of_the_full_formula_and_their_bounds_are_kept():
    table = _table([([5, 74], 225)] * 7 + [([5, 5, 74, 74], 225)] * 6 + [([5, 5, 74], 225)] * 71 + [([5, 74, 74], 225)] * 72)
    kept, _ = filter_polymorphs(table, Filter(min_sites=2))
    assert kept["formula"].value_counts().to_dict() == {table["formula"][0]: 7, table["formula"][13]: 71}


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        (Filter(min_sites=50), "50-60 atoms"),
        (Filter(min_sites=2, elements=("He",)), "elements"),
        (Filter(min_sites=2, min_share=0.9), "rare elements"),
        (Filter(min_sites=2, min_share=0.0, min_group=4000, max_group=5000), "group size"),
    ],
)
def test_an_empty_result_names_the_step_that_emptied_it(many, settings, step):
    with pytest.raises(ValueError, match=f"nothing after '[^']*{step}"):
        filter_polymorphs(many, settings)


def test_describe_counts():
    row = describe("x", _table([([5, 74], 225)] * 2 + [([5, 5, 74], None)]))
    assert row == {"step": "x", "structures": 3, "groups": 2, "min_group": 1, "max_group": 2, "space_groups": 1, "elements": 2}


def test_without_polymorphs_size_and_elements_alone_decide(many):
    settings = Filter(polymorphs=False, min_sites=3, max_sites=5, elements=("B", "Ta", "W"))
    kept, report = filter_polymorphs(many, settings)
    allowed = many["nsites"].between(3, 5) & many["atomic_numbers"].map(lambda z: set(z.tolist()) <= {5, 73, 74})
    assert kept["id"].tolist() == many.loc[allowed, "id"].tolist() and len(report) == 2
