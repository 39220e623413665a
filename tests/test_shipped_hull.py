"""Hulls of the shipped single points: known phases, what is refused, and that energies are in the right order."""

import numpy as np
import pytest
from conftest import rocksalt

from crystalgen.crystals import from_structures
from crystalgen.potentials.formation import formation_energies_as_they_are
from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.potentials.shipped import shipped_energies, shipped_hull
from crystalgen.stability.hull import EnergySourceError


@pytest.mark.parametrize(
    ("elements", "formula", "phases"),
    [
        (["Ti", "B"], "TiB2", {"TiB2": 1.0}),
        (["Na", "Cl"], "NaCl", {"NaCl": 1.0}),
        (["Mg", "O"], "MgO2", {"MgO": 2 / 3, "O2": 1 / 3}),
        (["Ta", "W", "B"], "TaB2", {"TaB2": 1.0}),
    ],
)
def test_the_hull_holds_the_known_phases(elements, formula, phases):
    found = shipped_hull(elements).decomposition(formula)
    if formula == "MgO2":  # by this potential either the peroxide or the oxide and oxygen
        assert found in ({"MgO2": 1.0}, {name: pytest.approx(share) for name, share in phases.items()})
    else:
        assert found == {name: pytest.approx(share) for name, share in phases.items()}


def test_formation_energies_are_near_those_of_density_functional_theory():
    assert shipped_hull(["Ti", "B"]).energy_at("TiB2") == pytest.approx(-1.06, abs=0.08)  # Materials Project, -1.06
    assert shipped_hull(["Al", "Ni"]).energy_at("AlNi") == pytest.approx(-0.66, abs=0.08)


def test_rows_are_of_the_system_alone_and_ascend_in_energy():
    table = shipped_energies(["Ti", "B"])
    assert {"Ti", "B", "TiB2", "TiB"} <= set(table["formula"])
    assert not set(table["formula"]) & {"TiO2", "BN"}
    assert np.all(np.diff(table["energy_per_atom"]) >= 0)
    assert table["id"].is_unique
    assert set(table[table["formula"] == "TiB2"]["atomic_numbers"].map(tuple)) == {(22, 5, 5)}


def test_energies_of_another_source_are_refused():
    with pytest.raises(EnergySourceError, match="on a hull of energies by"):
        shipped_hull(["Ti", "B"]).above(["TiB2"], [-1.0], "GPAW PBE")
    assert shipped_hull(["Ti", "B"]).energy_source == ENERGY_SOURCE


def test_what_is_no_element_or_has_no_reference_is_named():
    with pytest.raises(ValueError, match="'Xx': expected symbols of elements"):
        shipped_hull(["Ti", "Xx"])
    with pytest.raises(ValueError, match="Po: the shipped table has no crystal of the element alone"):
        shipped_hull(["Ti", "Po"])


def test_energies_of_crystals_as_they_are_stand_beside_the_shipped_elements():
    crowded = rocksalt(5.6)
    crowded.translate_sites([4], [-0.48, 0, 0])
    found = formation_energies_as_they_are(from_structures([rocksalt(5.65), rocksalt(7.5), crowded], "x"))
    assert -2.3 < found[0] < -1.8, "measured: -2.13 eV/atom"
    assert found[1] > found[0] + 0.2, "as they are: what is stretched is not relaxed"
    assert np.isnan(found[2]), "atoms lie inside each other"
