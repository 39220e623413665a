"""The polymorph filter keeps what its definition says, checked by counting by hand."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element

from crystalgen.config import Filter
from crystalgen.crystals import from_columns
from crystalgen.data.polymorphs import describe, filter_polymorphs


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


def test_nothing_that_could_stay_is_dropped(many):
    """The same rules applied one row set at a time, in plain Python, end with the same crystals."""
    rows = many[many["nsites"].between(SETTINGS.min_sites, SETTINGS.max_sites)]
    while True:
        before = len(rows)
        elements = Counter(z for numbers in rows["atomic_numbers"] for z in set(numbers.tolist()))
        groups = Counter(rows["space_group"].dropna().tolist())
        least = SETTINGS.min_share * len(rows) - 1e-9
        fits = [
            not pd.isna(g) and groups[g] >= least and all(elements[i] >= least for i in z)
            for z, g in zip(rows["atomic_numbers"], rows["space_group"], strict=True)
        ]
        rows = rows[fits]
        sizes = Counter(rows["formula"])
        rows = rows[[SETTINGS.min_group <= sizes[f] <= SETTINGS.max_group for f in rows["formula"]]]
        if len(rows) == before:
            break
    assert filter_polymorphs(many, SETTINGS)[0]["id"].tolist() == rows["id"].tolist()


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
