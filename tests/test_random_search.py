"""Random crystals: the composition asked for, symmetric, apart, the same whatever else is drawn."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from crystalgen.baselines import random_search
from crystalgen.crystals.plausibility import shortest_contact
from crystalgen.represent.canonical import composition_numbers


@pytest.fixture(scope="module")
def drawn():
    return random_search.random_crystals({"Ta1B2": composition_numbers("Ta1B2"), "W2B2": composition_numbers("W2B2")}, 8, seed=3)


def test_each_crystal_has_the_composition_asked_for(drawn):
    assert drawn["composition"].value_counts().to_dict() == {"Ta1B2": 8, "W2B2": 8}
    assert set(drawn.loc[drawn["composition"] == "Ta1B2", "formula"]) == {"Ta1B2"}
    assert set(drawn["row"]) == {random_search.RANDOM}
    assert drawn["asked_space_group"].nunique() > 4


def test_more_crystals_leave_those_drawn_before_as_they_are(drawn):
    more = random_search.random_crystals({"Ta1B2": composition_numbers("Ta1B2")}, 10, seed=3, workers=2)
    for column in ("lattice", "frac_coords"):
        for before, now in zip(drawn[column], more[column], strict=False):
            np.testing.assert_array_equal(before, now)
            if len(drawn) and before is drawn[column].iloc[7]:
                break
    other = random_search.random_crystals({"Ta1B2": composition_numbers("Ta1B2")}, 1, seed=4)
    assert not np.allclose(other["lattice"][0], drawn["lattice"][0])


def test_an_attempt_that_pyxtal_gives_up_is_followed_by_another():
    """The third crystal of Ta2Ti2 by this seed meets a group in which PyXtal raises: no valid crystal within its own count."""
    assert len(random_search.random_crystals({"Ta2Ti2": composition_numbers("Ta2Ti2")}, 3, seed=0)) == 3


def test_soft_spheres_push_overlapping_atoms_apart(drawn):
    lattice, numbers = np.diag([4.0, 4.5, 5.0]), np.array([73, 74, 5, 5])
    crowded = np.array([[0.1, 0.1, 0.1], [0.15, 0.1, 0.1], [0.1, 0.2, 0.12], [0.9, 0.1, 0.1]])
    before, after = (shortest_contact(lattice, x, numbers) for x in (crowded, random_search.push_apart(lattice, numbers, crowded)))
    assert before < 0.2 and after > 0.85
    bonds = [shortest_contact(m, x, z) for m, x, z in zip(drawn["lattice"], drawn["frac_coords"], drawn["atomic_numbers"], strict=True)]
    assert min(bonds) > 0.4


def test_the_overlaps_gradient_is_its_derivative(monkeypatch):
    """Of a skewed cell, where atoms meet images of others."""
    captured = {}
    monkeypatch.setattr(random_search, "minimize", lambda function, start, **_: captured.update(f=function) or type("R", (), {"x": start}))
    lattice = np.array([[3.0, 0.2, 0.1], [0.4, 3.2, -0.3], [-0.5, 0.1, 3.4]])
    x = np.random.default_rng(1).random(9)
    random_search.push_apart(lattice, np.array([73, 5, 5]), x.reshape(3, 3))
    value, gradient = captured["f"](x)
    assert value > 0.05
    np.testing.assert_allclose(gradient, approx_fprime(x, lambda y: captured["f"](y)[0], 1e-7), atol=1e-5)
