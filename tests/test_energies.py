"""Paper A's comparisons of energies by known answers."""

import numpy as np
import pandas as pd
import pytest

from crystalgen.stability.energies import composition_pairs, energy_comparison, stable_counts
from crystalgen.stability.hull import EnergySourceError


def rated(energies: dict[str, list[float]], source: str = "potential") -> pd.DataFrame:
    rows = [(formula, energy) for formula, values in energies.items() for energy in values]
    return pd.DataFrame(rows, columns=["reduced_formula", "formation_energy_per_atom"]).assign(energy_source=source)


ONE = rated({"TaB2": [-0.6, -0.4], "WB": [-0.3], "TiB2": [-1.0], "TaW": [np.nan]})
OTHER = rated({"TaB2": [-0.5], "WB": [-0.5, -0.1], "NbB2": [-0.7], "TaW": [0.1]})


def test_pairs_are_all_of_one_composition():
    """Two crystals of TaB2 with one, one of WB with two; what only one set has, or has no energy, is in no pair."""
    pairs = composition_pairs(ONE, OTHER)
    assert sorted(pairs["reduced_formula"]) == ["TaB2", "TaB2", "WB", "WB"]
    found = energy_comparison(pairs)
    assert found["delta_e"]["value"] == pytest.approx(np.mean([-0.1, 0.1, 0.2, -0.2]))
    assert found["reduction_rate"]["value"] == 0.5
    assert found["delta_e"]["n"] == 4 and found["delta_e"]["compositions"] == 2


def test_the_lowest_of_each_composition_stand_for_it():
    pairs = composition_pairs(ONE, OTHER, lowest=True)
    assert len(pairs) == 2
    found = energy_comparison(pairs)
    assert found["delta_e"]["value"] == pytest.approx(np.mean([-0.1, 0.2]))
    assert found["reduction_rate"]["value"] == 0.5


def test_the_other_way_round_is_the_opposite():
    there, back = (energy_comparison(composition_pairs(*tables)) for tables in ((ONE, OTHER), (OTHER, ONE)))
    assert there["delta_e"]["value"] == pytest.approx(-back["delta_e"]["value"])
    assert there["reduction_rate"]["value"] + back["reduction_rate"]["value"] == 1
    assert there["delta_e"]["low"] <= there["delta_e"]["value"] <= there["delta_e"]["high"]


def test_a_set_against_itself_is_no_better():
    lower = ONE.assign(formation_energy_per_atom=ONE["formation_energy_per_atom"] - 0.25)
    found = energy_comparison(composition_pairs(lower, ONE, lowest=True))
    assert found["delta_e"]["value"] == pytest.approx(-0.25)
    assert found["reduction_rate"]["value"] == 1
    assert energy_comparison(composition_pairs(ONE, ONE, lowest=True))["reduction_rate"]["value"] == 0


def test_energies_of_two_sources_are_refused():
    with pytest.raises(EnergySourceError, match="'DFT' and by 'potential'"):
        composition_pairs(ONE, rated({"TaB2": [-0.5]}, "DFT"))


def test_nothing_in_common_has_no_comparison():
    assert energy_comparison(composition_pairs(ONE, rated({"MoB": [-0.2]}))) == {}


def test_stable_is_below_the_hull_and_metastable_within_25_mev():
    assert stable_counts([-0.1, 0.0, 0.0249, 0.025, 0.3, np.nan]) == {"stable": 1, "metastable": 3, "unknown": 1, "n": 6}
