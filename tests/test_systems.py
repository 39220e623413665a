"""A chemical system asked for: which formulas are tried, and that each is answered and kept as one asked for alone."""

import pytest
from conftest import rocksalt

import crystalgen as cg
from crystalgen.api import system
from crystalgen.crystals import from_structures
from crystalgen.experiments.compounds import ranking, systems
from crystalgen.report.compound import summary
from crystalgen.utils.formulas import parse_system


def test_the_likeliest_formulas_are_those_of_known_stoichiometries():
    formulas, basis = systems.find_formulas(["Na", "Cl"])
    assert formulas[0] == "NaCl" and basis == systems.NEUTRAL
    formulas, _ = systems.find_formulas(["Li", "Fe", "P", "O"])
    assert {"LiFePO4", "LiFeP2O7"} <= set(formulas[:5]) and len(formulas) > systems.MAX_FORMULAS
    assert "Fe3O4" in systems.find_formulas(["Fe", "O"])[0], "of two valences: the shipped table has it"
    formulas, basis = systems.find_formulas(["Cu", "Au"])
    assert formulas[:3] == ["CuAu", "CuAu3", "Cu3Au"] and basis == systems.ALLOYS
    formulas, basis = systems.find_formulas(["Ti", "B"])
    assert "TiB2" in formulas[: systems.MAX_FORMULAS] and basis == systems.KNOWN


def test_formulas_share_the_crystals_and_the_likeliest_get_more():
    names = [f"Na{n}Cl" for n in range(1, 12)]
    assert list(systems.shared(names, 20).values()) == [3, 3, 3, 3, 2, 2, 2, 2]
    assert systems.shared(names, 5) == {"Na1Cl": 3, "Na2Cl": 2} and systems.shared(names, 1) == {"Na1Cl": 1}


def test_a_system_is_two_to_six_elements():
    assert parse_system("Li-Fe-P - O") == ("Li", "Fe", "P", "O")
    for text in ("Li-", "Li-Li", "Fe2O3-", "Li-Xx", "H-He-Li-Be-B-C-N", "Li--O"):
        with pytest.raises(ValueError, match="chemical system .*expected 2 to 6 different elements"):
            parse_system(text)


@pytest.fixture
def answered(monkeypatch):
    """What each formula is answered, without the sources: one crystal, higher above the hull each time."""
    asked = []

    def answer(formula, n, space_group, **settings):
        asked.append((formula, n))
        if formula == "NaO2":
            raise ValueError("no candidate is a crystal")
        height = 0.1 / len(asked)
        crystals = from_structures([rocksalt(5.0, "Na", "O")], "x").assign(e_above_hull=height, uncertainty=0.05, probability=1.0)
        crystals = crystals.assign(space_group=225, reduced_formula=formula)
        crystals.attrs = {"composition": formula, "notes": [], "removed": {"overlap": 1}, "seconds": {"candidates": 0.5}}
        if len(asked) == 3:
            crystals.attrs["notes"] = [f"{ranking.STOPPED} before all crystals were at rest."]
        return crystals

    monkeypatch.setattr(system, "answer_compound", answer)
    return asked


def test_a_stop_keeps_the_formulas_that_are_done(answered):
    crystals = cg.generate("Na-O", n=8)
    assert answered == [("NaO", 2), ("NaO2", 2), ("Na2O", 2)], "the fourth waits when the third is stopped"
    assert crystals.attrs["tried"] == {"NaO": 1, "Na2O": 1} and crystals.attrs["failed"] == {"NaO2": "no candidate is a crystal"}
    assert crystals["reduced_formula"].tolist() == ["Na2O", "NaO"] and crystals["id"].tolist() == ["Na2O-x-0", "NaO-x-0"], (
        "the lowest first"
    )
    assert crystals.attrs["removed"] == {"overlap": 2} and crystals.attrs["left_out"]["number"] >= 1
    told = " ".join(crystals.attrs["notes"])
    assert "Stopped before these were asked for: NaO3." in told and "Left out are NaO5" in told and "NaO2: no candidate" in told
    assert "2 crystals of 2 formulas" in summary(crystals, crystals.attrs)
