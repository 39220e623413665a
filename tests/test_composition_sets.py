"""Held-out compositions by models, templates and a random search: what is asked, how sets are relaxed, what is compared."""

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from search_case import boride_library, counted_potentials

from crystalgen.config import Energies
from crystalgen.crystals import from_structures
from crystalgen.experiments.composition_sets import composition_conditions
from crystalgen.experiments.relaxed_sets import relax_sets
from crystalgen.report import energy_tables
from crystalgen.report.figures import composition_differences, decomposition_histograms
from crystalgen.stability.hull import Hull

counted = pytest.fixture(counted_potentials)
SETTINGS = Energies(rows=("flow",), compositions=2, per_composition=5, relax_steps=20, workers=1)

LABELS = {"flow": "Flow", "random_search": "Random search"}


def _sets() -> pd.DataFrame:
    """Three of a model's crystals, the last with atoms on each other, and two of a random search."""
    structures = [generic(seed, ["Ta", "W", "B", "B"]) for seed in range(5)]
    structures[2].translate_sites([1], structures[2].frac_coords[0] - structures[2].frac_coords[1] + 0.01)
    return from_structures(structures, "s", composition="Ta1W1B2", row=["flow"] * 3 + ["random_search"] * 2)


def test_a_matrix_model_is_asked_for_the_groups_of_training_on_a_hull_without_what_is_held_out():
    library = boride_library()
    crystals = pd.concat([library.assign(split="train", space_group=[1, 5, 5, 5]).head(3), library.tail(1).assign(split="test")])
    asked = composition_conditions(["Ta1W1B2"], SETTINGS, crystals, library)
    assert len(asked) == 5 and set(asked["space_group"]) <= {1, 5}
    assert asked["formation_energy_per_atom"].abs().max() < 1e-9, "of the elements: the library's TaWB2 at -0.4 is held out"
    again = composition_conditions(["Ta1W1B2"], SETTINGS, crystals, library)
    pd.testing.assert_frame_equal(asked.drop(columns="atomic_numbers"), again.drop(columns="atomic_numbers"))
    known = composition_conditions(["Ta1W1B2"], SETTINGS, crystals.assign(split="train"), library)
    assert known["formation_energy_per_atom"].max() == pytest.approx(-0.4)


def test_sets_are_relaxed_alike_and_an_invalid_crystal_has_no_energy(counted, tmp_path):
    sets, hull = _sets(), Hull(boride_library())
    relaxed = relax_sets(sets, hull, SETTINGS, tmp_path)
    assert relaxed["id"].tolist() == sets["id"].tolist()
    assert relaxed["relaxation"].tolist() == ["converged"] * 2 + ["invalid: atoms within 0.5 Å or an empty cell"] + ["converged"] * 2
    assert relaxed["e_above_hull"].notna().tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(relaxed["e_above_hull"].dropna(), relaxed["energy_per_atom"].dropna() + 8.75 + 0.4, atol=1e-9)
    assert counted.count("relaxation") == 4


def test_what_is_compared_is_paper_as(counted, tmp_path):
    library = boride_library()
    hull = Hull(library)
    relaxed = relax_sets(_sets(), hull, SETTINGS, tmp_path)
    table = energy_tables.energy_table(relaxed, 50, LABELS).set_index("Method")
    assert table[["Crystals", "Valid", "With an energy"]].to_numpy().tolist() == [[3, 2, 2], [2, 2, 2]]
    energies = relaxed["e_above_hull"].to_numpy()
    gaps = energies[:2, None] - energies[None, 3:]
    assert table["ΔE_f to random search, eV/atom"].iloc[0].startswith(f"{gaps.mean():.3g}"[:6])
    assert float(table["Rate"].iloc[0].split()[0]) == pytest.approx((gaps < 0).mean())
    lowest = energy_tables.lowest_energies(relaxed, library, hull, LABELS).set_index("row")
    assert lowest.loc["flow", "difference"] == pytest.approx(energies[:2].min() - energies[3:].min())
    assert lowest.loc["flow", "library_e_above_hull"] == pytest.approx(0, abs=1e-9)
    assert energy_tables.show_lowest(lowest.reset_index())["Composition"].tolist() == ["Ta1W1B2"]
    figure = decomposition_histograms(relaxed.assign(model=relaxed["row"]))
    assert sorted(text.get_text() for text in figure.legends[0].get_texts()) == ["flow (n = 2)", "random_search (n = 2)"]
    ax = composition_differences(lowest.reset_index()).axes[0]
    assert sum(len(dots.get_offsets()) for dots in ax.collections) == 2, "the flow's crystal and the library's, not random search itself"
    assert "no composition" in composition_differences(lowest.reset_index().head(0)).axes[0].texts[0].get_text()
