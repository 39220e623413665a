"""What the browser of structures lists and shows."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, rocksalt

from crystalgen.crystals import from_structures
from crystalgen.report.browser import StructureBrowser, closed_cell_pdb, structure_view
from crystalgen.report.browsing import DATA, browsable, chosen, shown_crystals
from crystalgen.utils import paths


@pytest.fixture
def table():
    salts = from_structures([rocksalt(5.6), rocksalt(4.2, "Li", "F"), caesium_chloride(4.1, "Cs", "Cl")], "salt")
    rows = [row for _, row in salts.iterrows()]
    return pd.DataFrame(
        {
            "made_by": [DATA, DATA, "a model", "a model"],
            "formula": ["Na4Cl4", "Li4F4", "Cs1Cl1", "Na4Cl4"],
            "space_group": pd.array([225, 225, 221, None], dtype="Int16"),
            "formation_energy_per_atom": [-2.1, -3.1, -2.2, np.nan],
            "matched": pd.Series([None, None, True, False], dtype=object),
            "crystal": pd.Series([rows[0], rows[1], rows[2], rows[1]], dtype=object),
            "target": pd.Series([None, None, rows[2], rows[0]], dtype=object),
        }
    )


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ({}, [0, 1, 2, 3]),
        ({"formula": "Cl"}, [0, 2, 3]),
        ({"formula": "Na-Cl"}, [0, 3]),
        ({"formula": "C"}, [0, 2, 3]),
        ({"formula": "C-"}, []),
        ({"space_group": 225}, [0, 1]),
        ({"energies": (-2.15, 0)}, [0]),
        ({"made_by": "a model", "matched": True}, [2]),
        ({"matched": False}, [3]),
    ],
)
def test_filters(table, filters, places):
    numbered = table.assign(place=range(len(table)))
    assert chosen(numbered, **filters)["place"].tolist() == places


def test_the_browser_lists_what_passes_and_shows_target_beside_generated(table):
    browser = StructureBrowser(table)
    assert browser.count.value == "4 of 4 crystals"
    assert len(browser.views.children) == 1 and "Na" in browser.legend.value
    browser.made_by.value = "a model"
    assert [label.split()[0] for label, _ in browser.listing.options] == ["Cs1Cl1", "Na4Cl4"]
    assert "no match" in browser.listing.options[1][0] and "space group" not in browser.listing.options[1][0]
    browser.listing.value = 1
    assert list(shown_crystals(browser.selected())) == ["target", "generated"]
    assert len(browser.views.children) == 2
    assert bytes(browser.picture.value).startswith(b"\x89PNG")
    browser.space_group.value = "cubic"
    assert "expected a number" in browser.count.value
    browser.space_group.value = "7"
    assert browser.count.value == "0 of 4 crystals" and browser.selected() is None and browser.views.children == ()


def test_a_view_holds_the_atoms_of_the_closed_supercell(table):
    text = closed_cell_pdb(table["crystal"].iloc[2], repeats=2)
    atoms = [line.split()[-1] for line in text.splitlines() if line.startswith(("ATOM", "HETATM"))]
    assert sorted(atoms) == ["CL"] * 8 + ["CS"] * 27
    structure_view(table["crystal"].iloc[2], repeats=2)


def test_a_study_that_was_not_run_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "PROCESSED", tmp_path)
    with pytest.raises(FileNotFoundError, match="make reproduce STUDIES=demo"):
        browsable("demo")
