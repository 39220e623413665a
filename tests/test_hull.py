"""The library's hull: energies above it, decompositions, and sources of energy that do not mix."""

import numpy as np
import pandas as pd
import pytest
from search_case import SOURCE

from crystalgen.crystals import from_columns
from crystalgen.physics.hull import EnergySourceError, Hull


@pytest.fixture
def toy() -> pd.DataFrame:
    """Ti, Ni and TiNi at -1 eV/atom; a second Ti at 0.1."""
    numbers = [np.array(z) for z in ([22], [28], [22, 28], [22, 22])]
    coords = [np.linspace(0, 0.9, len(z))[:, None].repeat(3, axis=1) for z in numbers]
    energies = {"energy_per_atom": [-8.0, -5.5, -7.75, -7.9], "formation_energy_per_atom": [0.0, 0.0, -1.0, 0.1]}
    return from_columns([np.eye(3) * 6] * 4, numbers, coords, "toy", energy_source=[SOURCE] * 4, **energies)


def test_a_hull_known_by_hand(toy):
    hull = Hull(toy)
    assert hull.energy_at("Ti3Ni") == pytest.approx(-0.5)
    assert hull.decomposition("Ti3Ni") == pytest.approx({"Ti": 0.5, "TiNi": 0.5})
    above = hull.above(["TiNi", "Ti3Ni", "Ti3Ni", "Ti", "Ni"], [-1.0, -0.6, 0.0, 0.1, np.nan], SOURCE)
    np.testing.assert_allclose(above, [0, -0.1, 0.5, 0.1, np.nan], atol=1e-12)


def test_formation_energies_are_against_the_librarys_elements(toy):
    energies = Hull(toy).formation_energies([-8.0, -7.375], [np.array([22]), np.array([22, 22, 22, 28])], SOURCE)
    np.testing.assert_allclose(energies, [0, 0], atol=1e-12)


def test_energies_of_another_source_refuse_to_mix(toy):
    hull = Hull(toy)
    with pytest.raises(EnergySourceError, match="'PBE' on a hull of energies by '7net-l3i5'.*no energy above the hull"):
        hull.above(["TiNi"], [-1.0], "PBE")
    with pytest.raises(EnergySourceError, match="'CHGNet'"):
        hull.formation_energies([-8.0], [np.array([22])], "CHGNet")


def test_a_library_of_two_sources_has_no_hull(toy):
    toy.loc[1, "energy_source"] = "PBE"
    with pytest.raises(EnergySourceError, match="7net-l3i5.*PBE"):
        Hull(toy)


def test_a_missing_element_is_named(toy):
    with pytest.raises(ValueError, match="no crystal of the element Al"):
        Hull(toy).energy_at("TiAl")


def test_the_librarys_own_energies_above_its_hull(library):
    own = library[library["atomic_numbers"].map(lambda z: set(z) <= {5, 73, 74})]
    above = Hull(library).above(list(own["formula"]), own["formation_energy_per_atom"], SOURCE)
    np.testing.assert_allclose(above, own["e_above_hull"], atol=1e-9)
    assert (above < 1e-9).sum() > 5
