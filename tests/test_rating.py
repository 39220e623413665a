"""Rating and relaxing what was generated, with potentials that count: failures are statuses, copies cost nothing."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure
from search_case import LADDERS, SOURCE, boride_library, counted_potentials, generated_crystals, search_settings

from crystalgen.crystals import from_structures, read_crystals, to_structures, write_crystals
from crystalgen.experiments import search, search_summary
from crystalgen.potentials import relaxation, single_point
from crystalgen.report.figures import candidate_strips
from crystalgen.stability.hull import Hull

borides = pytest.fixture(boride_library)
counted = pytest.fixture(counted_potentials)


def test_a_broken_crystal_is_a_row_with_a_status(counted, borides, tmp_path):
    rated = search.rate_generated(generated_crystals(), Hull(borides), tmp_path)
    assert rated["status"].tolist() == ["rated"] * 6 + [search.INVALID, "atoms closer than 0.5 of the sum of their radii"]
    assert rated["valid"].tolist() == [True] * 6 + [False, True]
    assert rated["energy_per_atom"].notna().tolist() == [True] * 6 + [False, False]
    assert rated["energy_source"].tolist() == [SOURCE] * 6 + [None] * 2
    write_crystals(rated, tmp_path / "rated.parquet")


@pytest.mark.parametrize(
    ("energy", "status"),
    [
        (RuntimeError("out of\nmemory"), "RuntimeError: out of memory"),
        (np.nan, "no finite energy"),
        (-90.0, "a formation energy beyond 5 eV/atom"),
    ],
)
def test_a_potential_that_fails_is_a_status(borides, tmp_path, monkeypatch, energy, status):
    def failing(structures):
        if isinstance(energy, Exception):
            raise energy
        return np.array([energy])

    monkeypatch.setattr(single_point, "energies_per_atom", failing)
    rated = search.rate_generated(generated_crystals().head(2), Hull(borides), tmp_path)
    assert rated["status"].tolist() == [status] * 2
    assert rated["e_above_hull"].isna().all()
    candidates = search.relax_lowest(rated, Hull(borides), borides, search_settings(), tmp_path)
    assert candidates.empty
    assert "no candidate" in candidate_strips(candidates.assign(model=candidates["row"])).axes[0].texts[0].get_text()


@pytest.mark.parametrize(("growth", "status"), [(6.0, "failed: the cell exploded"), (0.1, "failed: the cell collapsed")])
def test_a_cell_that_is_lost_keeps_what_was_generated(counted, borides, tmp_path, monkeypatch, growth, status):
    def explode(structure, fmax, max_steps, guard, calculator):
        guard(structure.to_ase_atoms())
        guard(structure.copy().scale_lattice(growth * structure.volume).to_ase_atoms())

    monkeypatch.setattr(relaxation, "minimise", explode)
    rated = search.rate_generated(generated_crystals(), Hull(borides), tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, search_settings(), tmp_path)
    assert set(candidates["relaxation"]) == {status}
    assert set(candidates["relaxation_steps"]) == {1}
    np.testing.assert_array_equal(candidates["e_above_hull"], candidates["generated_e_above_hull"])


def test_each_experiment_relaxes_its_lowest_different_crystals(counted, borides, tmp_path):
    rated = search.rate_generated(generated_crystals(), Hull(borides), tmp_path)
    assert rated.loc[3, "group"] == rated.loc[0, "group"], "one crystal of two experiments"
    chosen = search.choose_for_relaxation(rated, search_settings(relaxed=2))
    for ladder, part in rated[rated["status"] == "rated"].groupby("ladder"):
        expected = part.nsmallest(2, "energy_per_atom")["id"]
        assert set(chosen.loc[chosen["ladder"] == ladder, "id"]) == set(expected)
    twice = pd.concat([rated.head(3)] * 2, ignore_index=True).assign(id=[f"c{i}" for i in range(6)])
    assert len(search.choose_for_relaxation(twice, search_settings(relaxed=5))) == 3, "a copy takes no place in the budget"


@pytest.mark.parametrize(("ladder", "budget"), [("none", len(LADDERS)), ("fine", 1)])
def test_the_baseline_may_relax_as_much_as_a_models_ladders_together(counted, borides, tmp_path, ladder, budget):
    rated = search.rate_generated(generated_crystals().head(4).assign(ladder=ladder), Hull(borides), tmp_path)
    assert len(set(rated["group"])) == 3
    assert len(search.choose_for_relaxation(rated, search_settings(relaxed=1))) == budget


def test_one_crystal_of_two_experiments_is_computed_once_and_counted_in_both(counted, borides, tmp_path):
    generated = generated_crystals().iloc[[0, 3]]
    rated = search.rate_generated(generated, Hull(borides), tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, search_settings(), tmp_path)
    assert counted == ["energy", "relaxation", "energy"]
    assert set(candidates["ladder"]) == {"fine", "coarse"}
    counts = search_summary.experiment_counts(rated, candidates, generated[search.EXPERIMENT])
    assert counts[["generated", "valid", "distinct", "relaxed", "phases"]].eq(1).all(axis=None)


def test_relaxed_crystals_are_placed_above_the_hull(counted, borides, tmp_path):
    """The stand-in's energy of each relaxed cell, minus the elements' mean (-8.75), minus the hull (-0.4)."""
    rated = search.rate_generated(generated_crystals(), Hull(borides), tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, search_settings(relax_steps=50), tmp_path)
    volumes = np.array([s.volume / 4 for s in to_structures(candidates)])
    np.testing.assert_allclose(candidates["e_above_hull"], -9.0 + 1e-4 * (volumes - 10) ** 2 + 8.75 + 0.4, atol=1e-9)
    assert (candidates["geometry"] == "relaxed").all()
    assert set(candidates["relaxation"]) == {"converged"}
    assert candidates["e_above_hull"].is_monotonic_increasing
    assert set(candidates.loc[~candidates["new"], "known_id"]) <= {"lib-3"}
    unfinished = search.relax_lowest(rated, Hull(borides), borides, search_settings(relax_steps=5), tmp_path)
    assert set(unfinished["relaxation"]) == {"unconverged"}
    write_crystals(candidates, tmp_path / "candidates.parquet")
    assert read_crystals(tmp_path / "candidates.parquet")["id"].tolist() == candidates["id"].tolist()


def test_a_relaxation_that_raises_the_energy_is_not_kept(counted, borides, tmp_path, monkeypatch):
    monkeypatch.setattr(
        relaxation, "minimise", lambda s, fmax, max_steps, guard, calculator: (s.copy().scale_lattice(4 * s.volume), True, 3)
    )
    rated = search.rate_generated(generated_crystals(), Hull(borides), tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, search_settings(), tmp_path)
    assert set(candidates["geometry"]) == {"as generated"}
    np.testing.assert_array_equal(candidates["e_above_hull"], candidates["generated_e_above_hull"])


def test_what_the_library_holds_is_known(borides):
    """The library's fourth crystal comes back permuted and shifted; another one is new."""
    copy = Structure.from_sites(list(reversed(to_structures(borides)[3])))
    copy.translate_sites(range(4), [0.3, 0.1, 0.7])
    assert search.known_crystals(from_structures([copy], "x"), borides) == ["lib-3"]
    assert search.known_crystals(generated_crystals().head(1), borides) == [None]


def test_generated_crystals_need_to_say_what_they_belong_to(borides, tmp_path):
    with pytest.raises(ValueError, match=r"lack the columns \['ladder', 'row'\]"):
        search.rate_generated(generated_crystals().drop(columns=["row", "ladder"]), Hull(borides), tmp_path)
