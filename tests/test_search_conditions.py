"""What a search asks for: space groups, energies down each ladder, compositions."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride
from search_case import LADDERS, boride_library, search_settings

from crystalgen.crystals import from_structures
from crystalgen.experiments import conditions
from crystalgen.stability.hull import Hull

borides = pytest.fixture(boride_library)


@pytest.fixture
def training() -> pd.DataFrame:
    """57 training crystals in nineteen space groups, and one of another group and split."""
    groups = [*(np.arange(57) % 19 + 1), 225]
    splits = ["train"] * 57 + ["test"]
    structures = [caesium_chloride(3.0, "Ti", "Ni")] * 58
    return from_structures(structures, "study", space_group=pd.array(groups, dtype="Int16"), split=splits)


def test_there_are_as_many_conditions_as_in_the_paper(training, borides):
    """19 space groups x 21 energies x 3 compositions x 3 ladders x 2 models are the paper's 7182 structures."""
    asked = conditions.search_conditions(search_settings(), training, Hull(borides))
    assert 2 * len(asked) == 7182
    assert asked.groupby(["composition", "ladder"]).size().eq(399).all()
    assert not asked.duplicated(["composition", "ladder", "space_group", "formation_energy_per_atom"]).any()
    assert sorted(asked["space_group"].unique()) == list(range(1, 20)), "a test crystal's space group is not asked for"


def test_each_ladder_starts_beside_the_hull_and_goes_down(training, borides):
    hull = Hull(borides)
    asked = conditions.search_conditions(search_settings(compositions=("Ta1W1B2", "Ta1W1B6")), training, hull)
    for (composition, ladder), part in asked[asked["space_group"] == 7].groupby(["composition", "ladder"]):
        settings, at = LADDERS[ladder], {"Ta1W1B2": -0.4, "Ta1W1B6": -0.2}[composition]
        expected = at + settings.start - settings.step * np.arange(21)
        np.testing.assert_allclose(part["formation_energy_per_atom"], expected, atol=1e-12)


def test_a_number_of_space_groups_takes_the_most_frequent(training):
    counted = training.assign(space_group=pd.array([5] * 17 + [3] * 10 + [9] * 10 + [1] * 21, dtype="Int16"))
    assert conditions.training_space_groups(counted, 2) == [1, 5]
    assert conditions.training_space_groups(counted.head(37), 2) == [3, 5], "the lower number of two equally frequent ones"


@pytest.mark.parametrize(
    ("composition", "numbers"),
    [("Ta1W1B6", [73, 74] + [5] * 6), ("Ta1W2B5", [73, 74, 74] + [5] * 5), ("Ta2W1B5", [74, 73, 73] + [5] * 5), ("B2", [5, 5])],
)
def test_compositions_are_in_the_order_of_canonical_sites(composition, numbers):
    assert conditions.composition_numbers(composition).tolist() == numbers


@pytest.mark.parametrize("composition", ["", "Ta0.5W", "Xx2", "not one"])
def test_a_composition_that_is_none_is_named(composition):
    with pytest.raises(ValueError, match=rf"composition {composition!r}: .*expected"):
        conditions.composition_numbers(composition)
