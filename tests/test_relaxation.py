"""A table of crystals relaxed: a row whatever happens, places above a hull, and the command."""

import time

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from pymatgen.core import Lattice, Structure
from search_case import boride_library, counted_potentials

from crystalgen.cli import main
from crystalgen.crystals import from_structures, read_crystals, write_crystals
from crystalgen.potentials import calculators, potentials, single_point
from crystalgen.potentials.relaxation import COLUMNS, Relaxation, relax_table

counted = pytest.fixture(counted_potentials)
SETTINGS = Relaxation(max_steps=50)


def test_every_crystal_is_a_row(counted, tmp_path, monkeypatch):
    crystals = from_structures([generic(seed, ["Ta", "W", "B", "B"]) for seed in range(3)], "s")
    whole = potentials.relax

    def second_explodes(structure, *arguments):
        if abs(structure.volume - generic(1, ["Ta", "W", "B", "B"]).volume) < 1e-6:
            raise RuntimeError("no memory")
        return whole(structure, *arguments)

    monkeypatch.setattr(potentials, "relax", second_explodes)
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
    monkeypatch.setattr(potentials, "relax", lambda *arguments: time.sleep(30))
    table = relax_table(from_structures([generic(0, ["Ta", "W"])], "s"), Relaxation(limit=0.2), tmp_path)
    assert table["relaxation"].tolist() == ["failed: took longer than 0.2 s"]


def test_potentials_are_known_by_name(tmp_path):
    with pytest.raises(ValueError, match="potential 'pbe': expected one of"):
        calculators.calculator("pbe")
    with pytest.raises(ModuleNotFoundError, match="MatterSim v1 needs mattersim: pip install mattersim"):
        calculators.calculator("mattersim")
    with pytest.raises(ModuleNotFoundError, match="mace-torch is not installed"):
        single_point.basis("mace-mp-0")


def test_another_potential_for_forces_and_energy():
    """7net-0 by both: a squeezed crystal of tungsten comes back to its volume."""
    tungsten = Structure(Lattice.cubic(3.0), ["W", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = single_point.relax(tungsten, 0.5, 0.02, 60, geometry="7net-0", energy="7net-0")
    assert found["status"] == "converged" and found["max_force"] < 0.02
    assert (found["volume_change"] + 1) * 27 == pytest.approx(2 * 16.1, rel=0.03)  # Å^3, PBE
    assert found["energy_per_atom"] == pytest.approx(-12.95, abs=0.3)  # eV, PBE by VASP


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
