"""A study of one's own crystals: the file that is written, and what is said where there is too little."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from crystalgen.cli import main
from crystalgen.config import load_study
from crystalgen.crystals import CrystalTableError, read_crystals, write_structure_files
from crystalgen.utils import paths
from crystalgen.workflow.own_data import write_study


@pytest.fixture
def cifs(crystals, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "STUDIES", tmp_path)
    write_structure_files(crystals, tmp_path / "My cifs")
    return tmp_path / "My cifs"


def test_a_folder_becomes_a_study_that_can_be_read(cifs):
    assert write_study(cifs, steps=40) == "my_cifs"
    study = load_study("my_cifs")
    assert study.data.path == str(cifs.resolve()) and study.data.filter.max_sites == 20
    assert {model.training.steps for model in study.models.values()} == {40}
    assert "crystals of" in study.description
    assert write_study(cifs, steps=40) == "my_cifs", "the same again is no fault"
    with pytest.raises(ValueError, match="there is such a study already"):
        write_study(cifs, steps=80)
    assert write_study(cifs, name="other", steps=80) == "other"
    with pytest.raises(ValueError, match="study 'a b/c': expected letters"):
        write_study(cifs, name="a b/c")


def test_looking_up_is_offered_where_crystals_are_alike(cifs, crystals):
    write_study(cifs, steps=40)
    study = load_study("my_cifs")
    assert study.corrector and study.corrector.scoring.epochs == 30
    few = [file for file in sorted(cifs.iterdir()) if file.is_file()][:30]
    other = cifs.parent / "few"
    other.mkdir()
    for file in few:
        shutil.copy(file, other)
    write_study(other, steps=40)
    assert load_study("few").retrieval is None and load_study("few").corrector is None


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("a: b #c", "a_b_c"),
        ('it\'s {steps} "x"', "it_s_steps_x"),
        ("m;echo RAN>F;#", "m_echo_ran_f"),
        ("結晶", "data"),
        ("1e5", "1e5_data"),
        ("evaluate", "evaluate_data"),
        ("null", "null"),
        ("- x", "x"),
    ],
)
def test_a_folder_of_any_name_becomes_a_study_of_a_plain_one(cifs, folder, name):
    data = cifs.rename(cifs.parent / folder)
    assert write_study(data, steps=40) == name
    study = load_study(name)
    assert study.data.path == str(data) and study.title == name


def test_a_folder_whose_name_dvc_would_read_otherwise_leaves_no_study(cifs):
    with pytest.raises(ValueError, match=r"data.path: .* without '\$\{'"):
        write_study(cifs.rename(cifs.parent / "${item}"), name="odd")
    assert not (paths.STUDIES / "odd/study.yaml").exists()


def test_broken_files_are_all_named_or_left_out_and_listed(cifs, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    for number in range(12):
        (cifs / f"broken-{number:02d}.cif").write_text("data_\nnonsense" if number else "")
    with pytest.raises(CrystalTableError, match=r"12 of \d+ crystals cannot be read: .*broken-00.cif.*broken-09.cif.*; and 2 more"):
        write_study(cifs)
    assert write_study(cifs, skip_broken=True) == "my_cifs"
    assert "left out: 12 of" in capsys.readouterr().out
    path = paths.ROOT / load_study("my_cifs").data.path
    assert path.resolve() == tmp_path / "raw" / "my_cifs" / "crystals.parquet"
    table = read_crystals(path)
    assert len(table) == len(list(cifs.iterdir())) - 12 and table["space_group"].notna().all()
    assert pd.read_csv(path.parent / "broken.csv")["id"].tolist() == [f"broken-{number:02d}.cif" for number in range(12)]


def test_stages_find_the_python_that_train_was_called_with(cifs, monkeypatch):
    """`.venv/bin/crystalgen train` without the environment on the path: stages are shell commands that say `python`."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    called = []
    monkeypatch.setattr(subprocess, "run", lambda command, **given: called.append(given) or subprocess.CompletedProcess(command, 1))
    monkeypatch.setattr("crystalgen.workflow.selection.select_studies", lambda names: None)
    assert main(["train", "--data", str(cifs)]) == 1
    assert Path(shutil.which("python", path=called[0]["env"]["PATH"])).parent == Path(sys.executable).parent


def test_too_few_crystals_are_an_error_that_counts_them(cifs):
    with pytest.raises(CrystalTableError, match="with at most 1 atoms; expected 20 or more"):
        write_study(cifs, max_sites=1)
    with pytest.raises(CrystalTableError, match="no such file or folder; expected a folder, .zip"):
        write_study(paths.STUDIES / "absent")
