"""What `relax` refuses, before any potential is imported or called: coincident and dense cells, elements that none was trained on."""

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

import crystalgen as cg
from crystalgen.crystals import from_structures, read_crystals
from crystalgen.potentials import refusals
from crystalgen.potentials.registry import POTENTIALS
from crystalgen.potentials.single_point import rate_table
from crystalgen.utils import paths
from crystalgen.utils.elements import SYMBOLS

DENSE = Structure(  # 13 atoms in 11 Å^3, in a very oblique cell
    Lattice.from_parameters(3.1, 3.0, 4.8, 31, 32, 33),
    "Li Sc Be Zn In Ga Sb Ar B N He C Tb".split(),
    [[0.11, 0.05, 0.92], [0.54, 0.72, 0.31], [0.02, 0.01, 0.03], [0.41, 0.22, 0.47], [0.45, 0.39, 0.55], [0.57, 0.52, 0.33],
     [0.38, 0.47, 0.16], [0.07, 0.21, 0.12], [0.63, 0.81, 0.71], [0.88, 0.13, 0.64], [0.29, 0.94, 0.28], [0.75, 0.61, 0.87],
     [0.21, 0.5, 0.42]],
)  # fmt: skip
TEN = Structure(
    Lattice.orthorhombic(1.7, 1.7, 1.75), ["B"] * 4 + ["W"] * 2 + ["Ta"] * 2 + ["Ti"] * 2, np.linspace(0, 0.97, 30).reshape(10, 3)
)


def pair(distance: float, symbol: str = "W", edge: float = 8.0) -> Structure:
    return Structure(Lattice.cubic(edge), [symbol] * 2, [[0.99, 0, 0], [0.99 + distance / edge, 0, 0]])


def fluorite(metal: str) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.5), [metal, "O"], [[0, 0, 0], [0.25, 0.25, 0.25]])


def rows(*structures: Structure) -> pd.DataFrame:
    return from_structures(list(structures), "t")


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        (DENSE, "atoms too close: 13 in 11.1 Å^3, 10 times the volume"),
        (TEN, "atoms too close: 10 in 5.1 Å^3"),
        (pair(0.0), "atoms too close: at 0.00 of the sum of their radii"),
        (pair(1e-6), "atoms too close: at 0.00"),
        (pair(0.3), "atoms too close: at 0.09"),
        (pair(0.7), "atoms too close: at 0.22"),
        (pair(7.6), "atoms too close: at 0.12"),  # by an image
        (Structure(Lattice.orthorhombic(0.5, 30, 30), ["W"], [[0, 0, 0]]), "atoms too close: at 0.15"),  # an atom and its own image
        (Structure(Lattice([[9, 0, 0], [8.9, 0.2, 0], [0, 0, 20]]), ["C"], [[0, 0, 0]]), "atoms too close"),
        (fluorite("Po"), "CHGNet 0.3.0 and 7net-l3i5 do not know Po"),
        (fluorite("Ra"), "do not know Ra"),
        (fluorite("Am"), "do not know Am"),
        (Structure(Lattice.cubic(6), ["Fr", "At"], [[0, 0, 0], [0.5, 0.5, 0.5]]), "do not know At, Fr"),
    ],
)
def test_what_no_potential_is_asked_is_said(structure, said):
    start = time.perf_counter()
    (reason,) = refusals.refusals(rows(structure), "chgnet", "7net-l3i5")
    assert said in reason and time.perf_counter() - start < 0.5


def test_two_coincident_atoms_are_found_in_a_large_cell_at_once():
    large = Structure(Lattice.cubic(4), ["Cu"] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) * (10, 10, 10)
    start = time.perf_counter()
    assert refusals.refusals(rows(large), "chgnet", "7net-l3i5")[0] == ""
    large.append("Cu", large[17].frac_coords)
    assert "at 0.00" in refusals.refusals(rows(large), "chgnet", "7net-l3i5")[0]
    assert time.perf_counter() - start < 3


def test_ordinary_crystals_are_not_refused():
    """The library's, hydrogen, high pressure, and a molecule far from its images."""
    library = read_crystals(paths.LIBRARY / "crystals.parquet").sample(400, random_state=0)
    assert not [reason for reason in refusals.refusals(library, "chgnet", "7net-l3i5") if reason]
    others = [
        pair(0.74, "H"),
        pair(0.9),
        Structure(Lattice.cubic(2.2), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        Structure(Lattice.cubic(3.3), ["Cs", "Cs"], [[0, 0, 0], [0.5, 0.5, 0.5]]),  # at about 200 GPa
        fluorite("Pu"),
        fluorite("Ac"),
    ]
    assert refusals.refusals(rows(*others), "mace-mp-0", "mattersim").tolist() == [""] * len(others)


def test_potentials_know_the_elements_of_the_materials_project():
    strange = {SYMBOLS.index(symbol) + 1 for symbol in ("Po", "At", "Rn", "Fr", "Ra", "Am")}
    for potential in POTENTIALS.values():
        assert len(potential.elements) == 89 and not strange & potential.elements


def test_refused_crystals_are_rows_in_their_place_and_the_others_are_relaxed(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "INTERIM", tmp_path / "interim")
    asked = []

    def relax(structure, **settings):
        asked.append(structure.formula)
        return {"status": "converged", "steps": 3, "max_force": 0.01, "volume_change": 0.0, "lattice": structure.lattice.matrix.tolist(),
                "frac_coords": structure.frac_coords.tolist(), "energy_per_atom": -8.0}  # fmt: skip

    monkeypatch.setattr("crystalgen.potentials.relaxation.relax", relax)
    monkeypatch.setattr("crystalgen.api.relaxation._hull", lambda *given: None)
    table = cg.relax([DENSE, fluorite("Ce"), fluorite("Po")], workers=1, out=tmp_path / "out")
    assert asked == [fluorite("Ce").formula]
    assert table["relaxation"].str.split(":").str[0].tolist() == ["failed", "converged", "failed"]
    assert table["relaxation"].iloc[2] == "failed: CHGNet 0.3.0 and 7net-l3i5 do not know Po"
    assert table["steps"].tolist() == [0, 3, 0] and table["energy_per_atom"].isna().tolist() == [True, False, True]
    assert table["structure"].iloc[2].composition.reduced_formula == "PoO2", "as it was given"
    assert len(pd.read_csv(tmp_path / "out/relaxation.csv")) == 3


def test_an_energy_is_not_asked_of_a_potential_that_does_not_know_the_element(tmp_path):
    class NoHull:
        def place(self, table, source):
            return table.assign(formation_energy_per_atom=np.nan, e_above_hull=np.nan, energy_source=None)

    table = rate_table(rows(fluorite("Po")), NoHull(), tmp_path)
    assert table["status"].tolist() == ["7net-l3i5 does not know Po"] and np.isnan(table["energy_per_atom"].iloc[0])


def test_a_refusal_at_the_command_line_imports_no_potential(tmp_path):
    DENSE.to(str(tmp_path / "dense.vasp"), fmt="poscar")
    fluorite("Po").to(str(tmp_path / "po.vasp"), fmt="poscar")
    code = f"""
import sys
from crystalgen.cli import main
status = main(["relax", {str(tmp_path)!r}, "--out", {str(tmp_path / "out")!r}])
loaded = {{"torch", "chgnet", "sevenn", "pymatgen.analysis.phase_diagram"}} & set(sys.modules)
sys.exit(status or (f"imported {{loaded}}" if loaded else 0))
"""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 failed: CHGNet 0.3.0 and 7net-l3i5 do not know Po" in done.stdout and "atoms too close" in done.stdout
    assert time.perf_counter() - start < 8, "two seconds, on an idle machine"
