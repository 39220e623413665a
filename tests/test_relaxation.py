"""A table of crystals relaxed: a row whatever happens, places above a hull, and the command."""

import time

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from pymatgen.core import Lattice, Structure
from search_case import boride_library, counted_potentials

from crystalgen.cli import main
from crystalgen.config import load_study
from crystalgen.crystals import from_structures, read_crystals, write_crystals
from crystalgen.metrics.validity import structure_validity
from crystalgen.potentials import registry, relaxation, single_point
from crystalgen.potentials.relaxation import COLUMNS, Relaxation, relax_table
from crystalgen.utils import paths

counted = pytest.fixture(counted_potentials)
SETTINGS = Relaxation(max_steps=50)


def test_every_crystal_is_a_row(counted, tmp_path, monkeypatch):
    crystals = from_structures([generic(seed, ["Ta", "W", "B", "B"]) for seed in range(3)], "s")
    whole = relaxation.minimise

    def second_explodes(structure, *arguments):
        if abs(structure.volume - generic(1, ["Ta", "W", "B", "B"]).volume) < 1e-6:
            raise RuntimeError("no memory")
        return whole(structure, *arguments)

    monkeypatch.setattr(relaxation, "minimise", second_explodes)
    table = relax_table(crystals, SETTINGS, tmp_path)
    assert set(COLUMNS) <= set(table)
    assert table["relaxation"].tolist() == ["converged", "failed: RuntimeError: no memory", "converged"]
    np.testing.assert_allclose(table["volume_change"], [-0.1, np.nan, -0.1], atol=1e-9)
    assert table["energy_per_atom"].notna().tolist() == [True, False, True]
    np.testing.assert_array_equal(table["lattice"][1], crystals["lattice"][1])
    counted.clear()
    pd.testing.assert_frame_equal(relax_table(crystals, SETTINGS, tmp_path), table)
    assert counted == []


def test_a_relaxation_that_takes_too_long_is_a_status(counted, tmp_path, monkeypatch):
    monkeypatch.setattr(relaxation, "minimise", lambda *arguments: time.sleep(30))
    table = relax_table(from_structures([generic(0, ["Ta", "W"])], "s"), Relaxation(limit=0.2), tmp_path)
    assert table["relaxation"].tolist() == ["failed: took longer than 0.2 s"]


def test_potentials_are_known_by_name(tmp_path):
    with pytest.raises(ValueError, match="potential 'pbe': expected one of"):
        registry.calculator("pbe")
    with pytest.raises(ModuleNotFoundError, match="MatterSim v1 needs mattersim: pip install mattersim"):
        registry.calculator("mattersim")
    with pytest.raises(ModuleNotFoundError, match="mace-torch is not installed"):
        single_point.basis("mace-mp-0")


def test_another_potential_for_forces_and_energy():
    """7net-0 by both: a squeezed crystal of tungsten comes back to its volume."""
    tungsten = Structure(Lattice.cubic(3.0), ["W", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = relaxation.relax(tungsten, 0.5, 0.02, 60, geometry="7net-0", energy="7net-0")
    assert found["status"] == "converged" and found["max_force"] < 0.02
    assert (found["volume_change"] + 1) * 27 == pytest.approx(2 * 16.1, rel=0.03)  # Å^3, PBE
    assert found["energy_per_atom"] == pytest.approx(-12.95, abs=0.3)  # eV, PBE by VASP


def test_shipped_relaxations_are_found_and_come_out_again(tmp_path, monkeypatch):
    """Each of the study's valid crystals; two are computed anew, and are the same to the potentials' rounding."""
    settings, home = load_study("library_energies").energies, paths.shipped("library_energies")
    sets = read_crystals(home / "sets.parquet")
    sets = sets[structure_validity(sets)].reset_index(drop=True)
    with monkeypatch.context() as patched:
        patched.setattr(relaxation, "minimise", None)
        how = Relaxation(settings.fmax, settings.relax_steps, settings.limit)
        found = relax_table(sets.sample(50, random_state=1).reset_index(drop=True), how, tmp_path, shipped=home / "relaxations")
    assert found["relaxation"].eq("converged").mean() > 0.5 and not list(tmp_path.rglob("*.json"))
    quick = found[found["steps"].between(2, 10)].head(2)
    again = relax_table(sets.set_index("id").loc[quick["id"]].reset_index(), how, tmp_path)
    np.testing.assert_allclose(again["energy_per_atom"], quick["energy_per_atom"], atol=1e-4)


def test_the_command_relaxes_and_places_above_a_hull(counted, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("crystalgen.utils.paths.INTERIM", tmp_path / "interim")
    write_crystals(from_structures([generic(seed, ["Ta", "W", "B", "B"]) for seed in range(2)], "s"), tmp_path / "mine.parquet")
    write_crystals(boride_library(), tmp_path / "hull.parquet")
    command = ["relax", str(tmp_path / "mine.parquet"), "--workers", "1", "--out", str(tmp_path / "out")]
    assert main([*command, "--reference", str(tmp_path / "hull.parquet")]) == 0
    assert "2 converged" in capsys.readouterr().out
    relaxed = read_crystals(tmp_path / "out" / "crystals.parquet")
    np.testing.assert_allclose(relaxed["e_above_hull"], relaxed["energy_per_atom"] + 8.75 + 0.4, atol=1e-6)
    assert list(pd.read_csv(tmp_path / "out" / "relaxation.csv")["id"]) == ["s-0", "s-1"]
    assert main([*command, "--potential", "pbe"]) == 2
    assert "'pbe' is not one of" in capsys.readouterr().err
