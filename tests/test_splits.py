"""Splits: no formula on two sides, elements balanced, the same for the same seed."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element

from crystalgen.config import Split
from crystalgen.crystals import from_columns
from crystalgen.datasets.splits import assert_no_leak, of_systems, seen_in_training, split, split_by_formula
from crystalgen.datasets.tables import read_benchmark


@pytest.fixture(scope="module")
def big() -> pd.DataFrame:
    """About 9000 crystals of 700 formulas, 12 elements from rare to common, doubled cells among them."""
    rng = np.random.default_rng(11)
    elements = np.array([5, 6, 7, 12, 13, 14, 22, 28, 29, 42, 73, 74])
    odds = np.linspace(1, 5, 12)
    numbers = []
    for _ in range(700):
        kinds = rng.choice(elements, size=rng.integers(2, 4), replace=False, p=odds / odds.sum())
        cell = np.repeat(kinds, rng.integers(1, 4, len(kinds)))
        for copy in range(rng.integers(1, 25)):
            numbers.append(np.tile(cell, 1 + copy % 2))
    lattices, coords = [np.eye(3) * 9] * len(numbers), [np.zeros((len(z), 3)) for z in numbers]
    return from_columns(lattices, numbers, coords, "s")


def test_no_reduced_formula_is_on_two_sides(big):
    split = split_by_formula(big)
    assert all(len(set(sides)) == 1 for _, sides in split.groupby("reduced_formula")["split"])
    assert split["formula"].nunique() > split["reduced_formula"].nunique(), "doubled cells are among them"
    assert split["split"].notna().all()


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.1), (0.1, 0.3), (0.25, 0.05)])
def test_sides_have_their_shares_of_structures_and_of_each_element(big, val, test):
    split = split_by_formula(big, val, test)
    for side, share in (("train", 1 - val - test), ("val", val), ("test", test)):
        on_side = (split["split"] == side).to_numpy()
        assert on_side.mean() == pytest.approx(share, abs=0.02)
        for z in np.unique(np.concatenate(split["atomic_numbers"].to_numpy())):
            holds = split["atomic_numbers"].map(lambda numbers, z=z: z in numbers).to_numpy(bool)
            assert on_side[holds].mean() == pytest.approx(share, abs=0.05), f"element {z} on {side}"


def test_a_seed_gives_one_split_whatever_the_order_of_rows(big):
    first = split_by_formula(big, seed=3)
    shuffled = split_by_formula(big.sample(frac=1, random_state=0), seed=3)
    pd.testing.assert_series_equal(first.set_index("id")["split"], shuffled.set_index("id")["split"].loc[first["id"]])
    assert (split_by_formula(big, seed=4)["split"] != first["split"]).any()


@pytest.mark.parametrize("count", [12, 40, 100])
def test_few_crystals_of_many_elements_leave_training_its_share_and_its_elements(count):
    """Dealt out for the balance of elements, half of training went to the other sides, and with it elements that nothing else holds."""
    rng = np.random.default_rng(count)
    numbers = [np.sort(rng.choice(np.arange(1, 60), 3, replace=False)) for _ in range(count)]
    table = from_columns([np.eye(3) * 9] * count, numbers, [np.zeros((3, 3))] * count, "s")
    sides = split_by_formula(table)
    shares = sides["split"].value_counts(normalize=True)
    assert 0.75 < shares["train"] < 0.95 and shares[["val", "test"]].min() >= 1 / count
    known = set(np.concatenate(sides.loc[sides["split"] == "train", "atomic_numbers"].to_numpy()))
    lost = set(np.concatenate(numbers)) - known
    assert len(lost) <= (3 if count >= 40 else 8), "only where a side would have been empty"
    pd.testing.assert_frame_equal(sides, split_by_formula(table))


def test_rows_stay_in_place(big):
    split = split_by_formula(big)
    assert split.drop(columns="split").equals(big.drop(columns="split"))


@pytest.mark.parametrize(("val", "test"), [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5), (-0.1, 0.2), (0.2, 1.0), (float("nan"), 0.1)])
def test_fractions_out_of_range_are_refused(big, val, test):
    with pytest.raises(ValueError, match="expected fractions"):
        split_by_formula(big, val, test)


def test_too_few_formulas_are_refused(big):
    two = big[big["reduced_formula"].isin(big["reduced_formula"].unique()[:2])]
    with pytest.raises(ValueError, match="2 formulas are too few.*no formula in"):
        split_by_formula(two)


def test_a_leak_is_named(big):
    split = split_by_formula(big)
    sizes = split["reduced_formula"].value_counts()
    leaked = sizes.index[sizes > 1][0]
    row = split.index[split["reduced_formula"] == leaked][0]
    split.loc[row, "split"] = "val" if split.loc[row, "split"] == "train" else "train"
    with pytest.raises(ValueError, match=f"formula {leaked} stands in 2 splits"):
        assert_no_leak(split)


# Held out


def systems_of(table: pd.DataFrame) -> pd.Series:
    return table["atomic_numbers"].map(lambda z: frozenset(z.tolist()))


@pytest.fixture(scope="module")
def common(big) -> list[frozenset]:
    """A binary and a ternary system with many crystals."""
    counts = systems_of(big).value_counts()
    return [next(s for s in counts.index if len(s) == size) for size in (2, 3)]


def written(system: frozenset) -> str:
    return "-".join(Element.from_Z(z).symbol for z in sorted(system, reverse=True))


def test_a_held_out_system_is_on_no_side_and_the_others_are_split_as_without_it(big, common):
    split = split_by_formula(big, hold_out=tuple(map(written, common)))
    aside = systems_of(big).isin(common)
    assert 0 < aside.sum() < len(big)
    assert ((split["split"] == "held_out") == aside).all()
    rest = split_by_formula(big[~aside])
    pd.testing.assert_series_equal(split.loc[~aside, "split"], rest["split"])
    assert split.drop(columns="split").equals(big.drop(columns="split"))
    assert_no_leak(split)


def test_systems_above_and_below_a_held_out_one_stay(big, common):
    """Ta-W-B aside, Ta-W and Ta-W-B-C are still there to learn from."""
    binary, ternary = common
    mask = of_systems(big, (written(binary),))
    assert set(systems_of(big)[mask]) == {binary}
    larger = systems_of(big).map(lambda s: s > binary)
    assert larger.any() and not mask[larger].any()


def test_the_order_of_a_systems_elements_does_not_count(big, common):
    forwards, backwards = written(common[1]), "-".join(reversed(written(common[1]).split("-")))
    assert forwards != backwards
    np.testing.assert_array_equal(of_systems(big, (forwards,)), of_systems(big, (backwards,)))


@pytest.mark.parametrize(("system", "named"), [("Ta-Xx-B", "Xx"), ("ta-W", "ta"), ("Ta W", "Ta W"), ("Ta-W-", "''")])
def test_an_unknown_element_of_a_system_is_named(big, system, named):
    with pytest.raises(ValueError, match=f"{named}.*is not a valid Element"):
        split_by_formula(big, hold_out=(system,))


# The library


def test_the_library_splits_without_a_leak(library):
    split = split_by_formula(library)
    assert_no_leak(split)
    assert split["split"].value_counts(normalize=True).to_dict() == pytest.approx({"train": 0.8, "val": 0.1, "test": 0.1}, abs=0.02)


def test_the_library_holds_out_the_system_of_the_search(library):
    split = split_by_formula(library, hold_out=("Ta-W-B",))
    sides = split.assign(aside=systems_of(library) == frozenset({73, 74, 5})).groupby("aside")["split"].agg(set).to_dict()
    assert sides == {True: {"held_out"}, False: {"train", "val", "test"}}


def test_a_given_split_is_kept_and_what_models_are_judged_on_is_named_test(big):
    given = np.resize(np.array(["train", "train", "val", "train", "test"], dtype=object), len(big))
    table = split(big.assign(split=given), Split(given="val", val=0.1))
    assert (table.loc[given == "val", "split"] == "test").all()
    assert (table.loc[given == "test", "split"] == "held_out").all()
    assert set(table.loc[given == "train", "split"]) == {"train", "val"}
    assert (table["split"] == "val").sum() == round(0.1 * (given == "train").sum())
    other = split(big.assign(split=given), Split(given="test", val=0.1))
    assert (other.loc[given == "test", "split"] == "test").all()


def test_a_source_without_the_side_asked_for_is_refused(big):
    with pytest.raises(ValueError, match=r"no crystals of \['test'\]; it has \['train', 'val'\]"):
        split(big.assign(split=np.resize(np.array(["train", "val"], dtype=object), len(big))), Split(given="test"))


def test_formulas_seen_in_training_are_counted(shared_data):
    """Of Perov-5's own validation split three of five crystals have a polymorph in training; of whole formulas none has."""
    table = read_benchmark(shared_data / "perov_5.parquet")
    assert seen_in_training(table)["val"] == pytest.approx(0.598, abs=0.001)
    assert seen_in_training(split_by_formula(table))["test"] == 0
