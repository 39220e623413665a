"""A whole search: killed and resumed with potentials that count, and once with the potentials themselves."""

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from search_case import boride_library, counted_potentials, generated_crystals, search_settings

from crystalgen.experiments import search
from crystalgen.potentials import relaxation, single_point
from crystalgen.stability.hull import Hull
from crystalgen.utils.cache import compute

borides = pytest.fixture(boride_library)
counted = pytest.fixture(counted_potentials)


def test_a_killed_search_goes_on_where_it_stopped(counted, borides, tmp_path, monkeypatch):
    settings, hull = search_settings(relaxed=3), Hull(borides)

    def run(folder):
        rated = search.rate_generated(generated_crystals(), hull, folder)
        return search.relax_lowest(rated, hull, borides, settings, folder)

    expected = run(tmp_path / "whole")
    assert counted.count("relaxation") == 5  # three of each experiment, one of them in both
    whole, relax = list(counted), relaxation.minimise
    counted.clear()

    def killed(*arguments):
        if counted.count("relaxation") == 2:
            raise KeyboardInterrupt
        return relax(*arguments)

    monkeypatch.setattr(relaxation, "minimise", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    monkeypatch.setattr(relaxation, "minimise", relax)
    resumed = run(tmp_path / "killed")
    assert counted.count("relaxation") == 5, "the two that were done are only read"
    assert counted.count("energy") == whole.count("energy")
    pd.testing.assert_frame_equal(resumed, expected)
    counted.clear()
    pd.testing.assert_frame_equal(run(tmp_path / "killed"), expected)
    assert counted == [], "an unchanged rerun computes nothing"


def test_other_settings_are_other_results(counted, tmp_path):
    structures = [generic(0, ["Ta", "W"])]
    compute(single_point.rate, structures, {"min_distance": 0.5}, [], tmp_path)
    compute(single_point.rate, structures, {"min_distance": 0.4}, [], tmp_path)
    compute(single_point.rate, [generic(1, ["Ta", "W"])], {"min_distance": 0.5}, [], tmp_path)
    compute(single_point.rate, structures, {"min_distance": 0.5}, ["another version"], tmp_path)
    assert len(counted) == 4


# The potentials themselves


@pytest.fixture
def on_hull(library) -> pd.DataFrame:
    """Two crystals on the library's hull, one relaxed by it (TaW) and one not (TaB2), as if a model had made them."""
    own = library[(library["e_above_hull"] < 1e-9) & library["formula"].isin(["Ta1W1", "Ta1B2"])]
    assert sorted(own["relaxed"]) == [False, True]
    made = own.drop(columns=["energy_per_atom", "formation_energy_per_atom", "energy_source", "e_above_hull"])
    return made.assign(composition=own["formula"], row="flow", ladder="fine", library_id=own["id"], id=["made-0", "made-1"])


def test_a_crystal_on_the_librarys_hull_is_found_there(library, on_hull, tmp_path):
    pytest.importorskip("sevenn")
    pytest.importorskip("chgnet")
    hull = Hull(library)
    rated = search.rate_generated(on_hull, hull, tmp_path)
    np.testing.assert_allclose(rated["e_above_hull"], 0.0, atol=1e-5)  # eV/atom; the potential computes in single precision
    candidates = search.relax_lowest(rated, hull, library, search_settings(relax_steps=2), tmp_path)
    np.testing.assert_allclose(candidates["e_above_hull"], 0.0, atol=1e-3)
    assert (candidates["known_id"] == candidates["library_id"]).all()
    assert not candidates["new"].any()
