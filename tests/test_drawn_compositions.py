"""Compositions drawn from the training crystals with elements exchanged: what stays, and what comes out."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, perovskite

from crystalgen.crystals import from_structures
from crystalgen.experiments.drawn_compositions import _balanced, draw_compositions, exchanged_templates
from crystalgen.experiments.scaffolds import own_scaffolds
from crystalgen.metrics.validity import composition_validity


@pytest.fixture
def training() -> pd.DataFrame:
    """Halides alike in all but the alkali and the halogen, a perovskite, an alloy."""
    structures = [caesium_chloride(3.5, one, other) for one in ("Cs", "Rb", "K") for other in ("Cl", "Br", "I")]
    structures += [perovskite(3.9, "Sr", "Ti", "O"), perovskite(4.0, "Ba", "Ti", "O"), caesium_chloride(3.0, "Ti", "Ni")]
    groups = pd.array([221] * len(structures), dtype="Int16")
    return from_structures(structures, "t", space_group=groups, split="train", formation_energy_per_atom=np.nan)


def test_stoichiometry_and_space_group_stay_and_some_element_changes(training):
    drawn = draw_compositions(training, 60, seed=1)
    templates = training.set_index("id").loc[drawn["template_id"]]
    for new, sites, old in zip(drawn["atomic_numbers"], drawn["template_numbers"], templates["atomic_numbers"], strict=True):
        assert sorted(Counter(new.tolist()).values()) == sorted(Counter(old.tolist()).values())
        assert sorted(new) == sorted(sites) and sorted(new) != sorted(old)
    assert drawn["space_group"].eq(221).all()
    assert draw_compositions(training, 60, seed=1).equals(drawn)


def test_what_was_neutral_stays_so(training):
    drawn = draw_compositions(training, 200, seed=0)
    made = exchanged_templates(drawn, training)
    salts = drawn["template_id"].isin(training["id"][:9])
    assert salts.sum() > 50 and composition_validity(made)[salts].all()


def test_exchanged_templates_keep_positions_and_scale_the_volume(training):
    drawn = draw_compositions(training, 40)
    made = exchanged_templates(drawn, training)
    templates = training.set_index("id").loc[drawn["template_id"]]
    assert all(np.array_equal(a, b) for a, b in zip(made["frac_coords"], templates["frac_coords"], strict=True))
    assert (np.abs(np.linalg.det(np.stack(made["lattice"].to_numpy()))) > 1).all()


def test_an_element_that_exchanges_made_common_is_taken_back():
    """Three of four draws are fluorides, half of the training crystals are; the mean number of elements stays as well."""
    oxide, fluoride, binary = (np.array(z, dtype=np.int16) for z in ([38, 22, 8, 8, 8], [19, 12, 9, 9, 9], [20, 8]))
    numbers = [oxide] * 40 + [fluoride] * 50 + [binary] * 10
    chances = _balanced([oxide] * 15 + [fluoride] * 75 + [binary] * 30, np.array(numbers, dtype=object))
    assert chances.sum() == pytest.approx(1)
    assert [chances[:15].sum(), chances[15:90].sum(), chances[90:].sum()] == pytest.approx([0.4, 0.5, 0.1], abs=0.01)
    assert np.ptp(chances[:15]) == pytest.approx(0, abs=1e-12)


def test_a_set_of_one_element_keeps_its_compositions(training):
    carbon = training.iloc[:2].assign(atomic_numbers=[np.array([6, 6], dtype=np.int16), np.full(4, 6, dtype=np.int16)])
    drawn = draw_compositions(carbon, 40)
    assert {tuple(numbers) for numbers in drawn["atomic_numbers"]} == {(6, 6), (6, 6, 6, 6)}


def test_drawn_crystals_have_scaffolds_of_their_templates(training):
    drawn = draw_compositions(training, 20)
    for row, scaffold in zip(drawn.itertuples(), own_scaffolds(exchanged_templates(drawn, training), drawn["space_group"]), strict=True):
        assert scaffold.space_group == 221 and scaffold.numbers.tolist() == row.atomic_numbers.tolist()
        assert len(scaffold.rotations) == 48
    skewed = exchanged_templates(drawn, training).head(1)
    skewed["lattice"] = [skewed["lattice"].iloc[0] @ np.diag([1.0, 1.0, 1.3])]
    assert own_scaffolds(skewed, [221])[0].space_group == 123, "what it does not show is not made up"
