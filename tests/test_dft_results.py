"""The repository's calculations: what was planned, one hull by one set of settings, and potentials that never meet DFT's energies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crystalgen.crystals import to_structures
from crystalgen.dft import results as dft
from crystalgen.dft import targets
from crystalgen.dft.ase_inputs import SETTINGS, same_input, settings_id
from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.report import dft_tables
from crystalgen.report.figures.dft import convergence_curves, parity, potential_parity
from crystalgen.stability.hull import EnergySourceError
from crystalgen.utils import paths

ROOT = Path(__file__).parents[1]
DONE = ("00-B-166", "01-Ta-229", "02-W-229", "03-TaB2-191", "04-TaB-63", "06-Ta2B-140")


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Some known phases; TaB2 as a candidate, as a second setting and, without results, as a third."""
    root = tmp_path_factory.mktemp("dft")
    for name in DONE:
        shutil.copytree(ROOT / "data" / "dft" / "known" / name, root / "known" / name)
    tab2 = root / "known" / "03-TaB2-191"
    shutil.copytree(tab2, root / "candidates" / "01-Ta1W1B6-template")
    for name in ("as-used", "cutoff-400"):
        for phase in DONE[:4]:
            shutil.copytree(root / "known" / phase, root / "convergence" / name / phase)
    for file in (root / "convergence" / "cutoff-400").rglob("static.txt.gz"):
        file.unlink()
    return root


@pytest.fixture(scope="module")
def results(few, tmp_path_factory):
    return dft.read_results(few, tmp_path_factory.mktemp("cache"), workers=1)


@pytest.fixture(scope="module")
def opinions(results):
    return dft.opinions(dft.dft_crystals(results, dft.KNOWN), dft.dft_crystals(results, dft.CANDIDATES))


def test_every_folder_is_a_row_whatever_its_state(results):
    assert len(results) == len(DONE) + 1 + 8
    assert results.groupby("group")["status"].value_counts()["convergence"].to_dict() == {"converged": 4, "not begun": 4}
    assert set(results["setting"]) == {"", "as-used", "cutoff-400"}
    assert (results.loc[results["status"] == "converged", "seconds"] > 1).all()


def test_the_hull_is_that_of_the_phases(opinions):
    known = opinions["GPAW PBE"][0].set_index("id")
    for name, expected in (("03-TaB2-191", -0.649), ("04-TaB-63", -0.813), ("06-Ta2B-140", -0.524)):  # the Materials Project's
        assert known.loc[name, "formation_energy_per_atom"] == pytest.approx(expected, abs=0.02)
    assert known.loc["04-TaB-63", "e_above_hull"] == pytest.approx(0, abs=1e-9)
    tie = known.loc["04-TaB-63", "formation_energy_per_atom"] * 2 / 3
    assert known.loc["06-Ta2B-140", "e_above_hull"] == pytest.approx(known.loc["06-Ta2B-140", "formation_energy_per_atom"] - tie, abs=1e-6)
    assert opinions["GPAW PBE"][1]["e_above_hull"].abs().max() < 1e-9, "the candidate is TaB2 itself"


def test_each_potential_has_a_hull_of_its_own(opinions):
    for source, (known, _) in opinions.items():
        assert set(known["energy_source"]) == {source}
        assert known["formation_energy_per_atom"].iloc[:3].abs().max() < 1e-9, "the elements"
    gap = opinions[ENERGY_SOURCE][0]["formation_energy_per_atom"] - opinions["GPAW PBE"][0]["formation_energy_per_atom"]
    assert gap.abs().max() < 0.04


def test_other_settings_do_not_share_a_hull(results):
    mixed = results.assign(settings_id=np.where(results["name"] == "02-W-229", "other", results["settings_id"]))
    with pytest.raises(EnergySourceError, match="known: calculations of the settings"):
        dft.dft_crystals(mixed, dft.KNOWN)


def test_tables_and_figures_of_what_is_there(results, opinions):
    phases = dft_tables.phase_table(opinions, paths.REFERENCE / "known_structures.yaml")
    assert phases["Phase"].tolist() == ["α-B", "bcc Ta", "bcc W", "TaB2", "TaB", "Ta2B"]
    reference = {"experiments": [{"values": {"Ta1W1B6": [3.0, -1.5]}}]}
    table3 = dft_tables.table3_by_dft(opinions, results, reference, {})
    assert table3["Ta1W1B6, meV/atom"].tolist() == [0.0, -1.5] and table3["Ta1W1B6 computed"][0] == "1 of 1"
    assert "6 of the 6 phases" in dft_tables.hull_state(results)
    unfinished = results.assign(status=results["status"].mask(results["name"] == "06-Ta2B-140", "not run"))
    assert "5 of the 6 phases that make the hull; those" in dft_tables.hull_state(unfinished)
    assert dft_tables.table3_by_dft(opinions, unfinished, reference, {})["Ta1W1B6, at least, meV/atom"].tolist() == [0.0, -1.5]
    search = pd.DataFrame({"file": ["01-Ta1W1B6-template.cif"], "e_above_hull": [0.02]})
    assert dft_tables.candidate_table(opinions, search, {})["7net-l3i5, library's hull, meV/atom"].tolist() == [20.0]
    moved = dft.convergence(results)
    assert dft_tables.convergence_table(moved)["Phases"].tolist() == [4]
    assert dft_tables.run_table(results)["Calculations"].sum() == len(results)
    assert dft_tables.code_table(results).empty
    assert len(parity(opinions)) == 2 * (len(DONE) + 1)
    assert potential_parity(parity(opinions)).axes[0].get_title() == f"n = {len(DONE) + 1} crystals"
    assert convergence_curves(moved).axes[0].get_lines()
    assert convergence_curves(moved.head(0)).axes[0].texts[0].get_text() == "nothing is computed"


def test_targets_are_those_that_the_repository_holds(library, tmp_path):
    """Written anew they are the same, so that no committed result belongs to another input."""
    written = targets.write_targets(library, paths.REFERENCE / "known_structures.yaml", ROOT / "data" / "dft" / "found", tmp_path)
    for file in written:
        ours, kept = (json.loads(path.read_text()) for path in (file, ROOT / "data" / "dft" / file.relative_to(tmp_path)))
        assert ours["settings_id"] == settings_id(ours["settings"])
        assert same_input(ours, kept), file
    assert len([file for file in written if file.parent.parent.name == "known"]) >= 20
    known = targets.known_phases(library, paths.REFERENCE / "known_structures.yaml").set_index("name")
    assert known.loc["Ta3B4", "nsites"] == 14 and known.loc["W2B5", "nsites"] == 21, "conventional cells"
    structure = to_structures(known.loc[["WB2"]])[0]
    assert structure.get_space_group_info(0.01)[1] == 194
    assert SETTINGS["gpaw"]["static"]["cutoff_ev"] == 520
