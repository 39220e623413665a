"""Crystals asked for: how they are rated and ranked, what is written, and what an error says."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from pymatgen.core import Structure
from search_case import boride_library, counted_potentials

from crystalgen.cli import main
from crystalgen.crystals import from_structures, read_crystals, write_crystals
from crystalgen.crystals.schema import COLUMNS
from crystalgen.experiments import generate_crystals, trained
from crystalgen.experiments.generate_crystals import Request
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.report.answer import answer_folder, summary, write_answer
from crystalgen.represent.tensors import matrix_tensors, save_tensors
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths

counted = pytest.fixture(counted_potentials)


@pytest.fixture
def answer(counted, tmp_path, monkeypatch):
    """Five crystals of TaWB2: the second a copy of the first, the third with overlapping atoms, the fourth the library's."""
    monkeypatch.setattr(paths, "INTERIM", tmp_path / "interim")
    library = boride_library()
    structures = [generic(10, ["Ta", "W", "B", "B"]) for _ in range(2)] + [generic(seed, ["Ta", "W", "B", "B"]) for seed in (11, 3, 12)]
    structures[1] = Structure.from_sites(list(reversed(structures[1])))
    structures[2].translate_sites([1], structures[2].frac_coords[0] - structures[2].frac_coords[1] + 0.01)
    made = from_structures(structures, "m", seed=42, asked_space_group=pd.array([1, 1, 1, 1, 187], dtype="Int16"))
    made = made.assign(asked_formation_energy_per_atom=-0.6)

    def ask(relax: bool):
        request = Request("Ta1W1B2", 5, relax=relax, workers=1)
        return generate_crystals._ranked(generate_crystals._rated(made, request, Hull(library)), library.assign(split="train"))

    return ask


@pytest.mark.parametrize("relax", [False, True])
def test_the_best_come_first_and_copies_and_invalid_ones_last(answer, relax):
    table = answer(relax)
    assert set(table["id"]) == {f"m-{i}" for i in range(5)}
    assert table["id"].iloc[-1] == "m-2" and not table["valid"].iloc[-1] and np.isnan(table["e_above_hull"].iloc[-1])
    assert table["id"].iloc[-2] in ("m-0", "m-1"), "the copy of another one"
    assert table["e_above_hull"].iloc[:3].is_monotonic_increasing
    table = table.set_index("id")
    assert table.loc[["m-0", "m-1", "m-4"], "copies"].tolist() == [1, 1, 0]
    assert table.loc["m-3", "known_id"] == "lib-3" and not table.loc["m-3", "novel"]
    assert table.loc[["m-0", "m-4"], "novel"].all()
    assert set(table.loc[["m-0", "m-4"], "status"]) == {"converged" if relax else "as generated"}


def test_an_answer_is_files_a_table_and_a_picture(answer, tmp_path):
    table = answer(False)
    page = write_answer(table, tmp_path / "out", {"composition": "Ta1W1B2"})
    shown = pd.read_csv(tmp_path / "out" / "table.csv")
    assert shown["id"].tolist() == table["id"].tolist()
    assert shown["file"].iloc[0] == "cifs/001-Ta1B2W1.cif"
    for name, volume in zip(shown["file"], [abs(np.linalg.det(m)) for m in table["lattice"]], strict=True):
        assert Structure.from_file(tmp_path / "out" / name).volume == pytest.approx(volume, rel=1e-6)
    assert (tmp_path / "out/figures/best.png").stat().st_size > 5000
    assert "Crystals of Ta1W1B2" in page.read_text() and 'class="turn"' in page.read_text()
    assert len(read_crystals(tmp_path / "out" / "crystals.parquet")) == 5
    write_answer(table.head(2), tmp_path / "out", {"composition": "Ta1W1B2"})
    assert len(list((tmp_path / "out" / "cifs").iterdir())) == 2, "of an earlier answer nothing stays"


def test_a_crystal_that_was_held_out_or_is_in_the_library_alone_is_not_new(answer, tmp_path, monkeypatch):
    """What is called new has to be new to the repository, not to training alone."""
    made = answer(False).sort_values("id", ignore_index=True)
    structures = [generic(seed, ["Ta", "W", "B", "B"]) for seed in (11, 12, 13)]  # 12 is m-4; m-3 is in the library
    own = from_structures(structures, "own", split=["train", "held_out", "val"], space_group=pd.array([1] * 3, dtype="Int16"))
    monkeypatch.setattr(paths, "PROCESSED", tmp_path)
    monkeypatch.setattr(paths, "LIBRARY", tmp_path)
    write_crystals(own, tmp_path / "demo" / "crystals.parquet")
    write_crystals(boride_library(), tmp_path / "crystals.parquet")
    model = knowing(own.assign(split="train", formation_energy_per_atom=0.0), tmp_path)
    monkeypatch.setattr(generate_crystals.Model, "load", lambda *given, **options: model)
    monkeypatch.setattr(generate_crystals, "generate_for_conditions", lambda *given: (made[[*COLUMNS, "asked_space_group"]], None))
    table, row = generate_crystals.generate_crystals("demo", Request("Ta1W1B2", 5, space_group=1, energy=-0.6, workers=1))
    table = table.set_index("id")
    assert row == "matrix_generation_flow_uniform" and (table["asked_formation_energy_per_atom"] == -0.6).all()
    assert table["known_id"].dropna().to_dict() == {"m-3": "lib-3", "m-4": "own-1"}
    assert table["novel"].to_dict() == {"m-0": True, "m-1": True, "m-2": False, "m-3": False, "m-4": False}


def test_the_summary_says_how_much_is_as_asked(answer):
    table = answer(False)
    median = table.loc[table["valid"], "formation_energy_per_atom"].median()
    text = summary(table)
    assert "5 crystals: 4 valid, 3 of them neither in the study nor in the library; 4 of the target space group" in text
    assert text.endswith(f"target formation energy -0.60 eV/atom, median {median:.2f}.")
    assert summary(table.assign(valid=False)).endswith("eV/atom, median unknown.")


def test_an_answer_to_something_else_has_a_folder_of_its_own(answer, tmp_path):
    first, other = {"composition": "Ta1W1B2", "count": 5}, {"composition": "Ta1W1B2", "count": 6}
    assert answer_folder(tmp_path, first) == tmp_path / "Ta1W1B2"
    write_answer(answer(False), tmp_path / "Ta1W1B2", first)
    assert answer_folder(tmp_path, first) == tmp_path / "Ta1W1B2", "the same again"
    assert answer_folder(tmp_path, other) == tmp_path / "Ta1W1B2-2"
    assert answer_folder(tmp_path, {"composition": "Ta(B2)2"}) == tmp_path / "Ta_B2_2", "no letters that a shell would mind"


def knowing(crystals: pd.DataFrame, folder) -> SimpleNamespace:
    """A model that was trained on these crystals, without a network."""
    save_tensors(matrix_tensors(crystals), folder / "m.safetensors")
    return SimpleNamespace(codec=MatrixData(folder / "m.safetensors").codec)


@pytest.fixture
def model(tmp_path):
    return knowing(boride_library().assign(split="train", space_group=pd.array([5, 5, 5, 9], dtype="Int16")), tmp_path)


def test_what_cannot_be_asked_is_said(model):
    hull = Hull(boride_library())
    assert len(generate_crystals._conditions(Request("Ta1W1B2", 1, space_group=9), model, hull)) == 1
    for request, message in (
        (
            Request("Ta1W1B2", 1, space_group=300, exact=False),
            r"Ta1W1B2: no training crystal has space group 300; expected one of \[5, 9\]",
        ),
        (Request("Ta1Ni1", 1), "Ta1Ni1: no training crystal has Ni; expected elements of B, Ta, W"),
        (Request("Ta50", 1), "Ta50: 50 atoms; expected at most 4, the model's longest cell"),
        (Request("Ta0.5W"), "whole numbers of atoms"),
    ):
        with pytest.raises(ValueError, match=message):
            generate_crystals._conditions(request, model, hull)
    with pytest.raises(ValueError, match="0 crystals: expected one or more"):
        generate_crystals.generate_crystals("demo", Request("Ta1W1B2", 0))


def test_a_space_group_that_the_atoms_cannot_have_is_refused_before_anything_is_loaded(capsys):
    assert main(["generate", "TaB", "--space-group", "186", "--units", "1"]) == 1
    assert "TaB in space group 186: its atoms cannot fill the positions of a primitive cell; possible with 2" in capsys.readouterr().err


def test_errors_say_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    assert main(["generate", "Ta1W1B4", "--model", "matrix_generation_flow_uniform"]) == 1
    assert "run `make reproduce` first" in capsys.readouterr().err
    assert main(["generate", "Ta1W1B4", "--study", "nothing"]) == 1
    assert "no such study; expected one of" in capsys.readouterr().err
    assert main(["generate", "Ta1W1B4", "--study", "library"]) == 1
    assert "model.json: no trained model; train it first, or see `crystalgen use-shipped --help`" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"model 'unimat': expected one of \['matrix_generation_flow_uniform'"):
        trained.conditional_model("demo", "unimat")
    assert trained.conditional_model("demo")[1] == "matrix_generation_flow_uniform"


def test_what_is_not_given_is_chosen_as_training_has_it(model):
    chosen = generate_crystals._conditions(Request("Ta1W1B2", 200), model, Hull(boride_library()))
    assert chosen["formation_energy_per_atom"].iloc[0] == pytest.approx(-0.4), "on the hull"
    assert 0.6 < (chosen["space_group"] == 5).mean() < 0.9
    given = generate_crystals._conditions(Request("Ta1W1B2", 3, space_group=9, energy=-0.6), model, Hull(boride_library()))
    assert given[["space_group", "formation_energy_per_atom"]].to_numpy().tolist() == [[9, -0.6]] * 3
