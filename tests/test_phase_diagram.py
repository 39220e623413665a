"""The phase diagram of an answer, and the table of several compounds."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, rocksalt
from pymatgen.util.string import unicodeify

from crystalgen.crystals import from_structures
from crystalgen.potentials.shipped import shipped_hull
from crystalgen.report import compound
from crystalgen.report.asked import asked_table, first_crystals
from crystalgen.report.phase_diagram import draw_phase_diagram

ANSWERS = {
    "TiB": [("TiB2", 0.0, "mp-1"), ("TiB2", 0.1, None), ("TiB2", np.nan, None)],
    "SrTiO": [("SrTiO3", 0.0, "mp-2"), ("Sr2TiO4", 0.08, None)],
    "LiFePO": [("LiFePO4", 0.02, None)],
}
ELEMENTS = {"TiB": ["Ti", "B"], "SrTiO": ["Sr", "Ti", "O"], "LiFePO": ["Li", "Fe", "P", "O"]}


def answer(system: str) -> pd.DataFrame:
    hull = shipped_hull(ELEMENTS[system])
    table = pd.DataFrame(ANSWERS[system], columns=["formula", "e_above_hull", "known_id"]).assign(uncertainty=0.03)
    energies = [hull.energy_at(formula) + height for formula, height in zip(table["formula"], table["e_above_hull"], strict=True)]
    return table.assign(reduced_formula=table["formula"], formation_energy_per_atom=energies)


def test_two_elements_are_energies_over_composition():
    ax = draw_phase_diagram(answer("TiB"), shipped_hull(["Ti", "B"]).diagram("TiB"), ["Ti", "B"]).axes[0]
    found = {line.get_label(): line.get_xydata() for line in ax.get_lines() if line.get_label().startswith("found")}
    known, new = found["found, in the shipped table"], found["found, not in it"]
    assert known[:, 0].tolist() == [pytest.approx(2 / 3)] and len(new) == 1, "one without an energy is left out"
    assert new[0, 1] - known[0, 1] == pytest.approx(0.1)
    hull = next(line.get_xydata() for line in ax.get_lines() if line.get_linestyle() == "-")
    assert np.all(np.diff(hull[:, 0]) > 0) and hull[:, 1].min() == pytest.approx(known[0, 1])
    assert hull[[0, -1]].tolist() == [[0, 0], [1, 0]]


def test_three_and_four_elements_are_compositions_with_heights():
    for system, told in (("SrTiO", ["1: SrTiO₃, 0 meV/atom", "2: Sr₂TiO₄, 80 meV/atom"]), ("LiFePO", ["1: LiFePO₄, 20 meV/atom"])):
        elements = ELEMENTS[system]
        figure = draw_phase_diagram(answer(system), shipped_hull(elements).diagram("".join(elements)), elements)
        ax = figure.axes[0]
        stars = {line.get_label(): line for line in ax.get_lines() if line.get_marker() == "*"}
        assert list(stars) == told
        named = {text.get_text() for text in ax.texts}
        assert {*elements} - {"O"} | {"O₂"} <= named
    assert {unicodeify(name) for name in shipped_hull(elements).decomposition("LiFePO4")} <= named


def test_what_cannot_be_drawn_is_said(tmp_path):
    (tmp_path / "phase_diagram.png").write_text("of an earlier answer")
    carbon = compound._phase_diagram(pd.DataFrame({"formula": ["C2"]}), tmp_path)
    assert "no phase diagram" in carbon and not (tmp_path / "phase_diagram.png").exists()
    assert "here are 5" in compound._phase_diagram(pd.DataFrame({"formula": ["Na1K1Li1Cl1O1"]}), tmp_path)


def test_several_compounds_are_a_row_each_with_the_place_of_the_known_one():
    structures = [rocksalt(5.6), caesium_chloride(3.4, "Na", "Cl"), caesium_chloride(4.1, "Cs", "Cl")]
    answers = from_structures(structures, "x").assign(
        asked=["NaCl", "NaCl", "CsCl"], asked_space_group=[221, 221, 225], rank=[1, 2, 1], e_above_hull=[0.0, 0.05, np.nan],
        uncertainty=0.02, known_id=["mp-1", None, None], sources="prototypes", space_group=pd.array([225, 221, 221], dtype="Int16"),
    )  # fmt: skip
    table = asked_table(answers).set_index("Compound")
    assert table["Known one's place"].to_dict() == {"NaCl": "2", "CsCl": "not among 1"}
    assert table.loc["NaCl", "First by rank"] == "Fm-3m (225)" and table.loc["NaCl", "Above the hull, meV/atom"] == "0 ± 20"
    assert table["In the shipped table as"].tolist() == ["mp-1", "not in it"]
    assert list(first_crystals(answers)) == ["NaCl\nFm-3m (225)\n0 meV/atom", "CsCl\nPm-3m (221)\nno energy"]
