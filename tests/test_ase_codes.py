"""What the runner hands to Quantum ESPRESSO, and starts from a potential's minimum; stand-ins for the program and for the potential."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from crystalgen.cli import main
from crystalgen.crystals import from_structures
from crystalgen.dft import ase_run, prerelax
from crystalgen.dft.ase_inputs import SETTINGS, write_ase_inputs
from crystalgen.utils import paths

COMPUTED = paths.DFT / "codes" / "espresso" / "B-139"
PROGRAM = """#!/bin/sh
outdir=$(sed -n "s/ *outdir *= *'\\(.*\\)'/\\1/p" "$2")
mkdir "$outdir" || exit 1   # as pw.x does: no parents
cat {output}
exit {status}
"""


@pytest.fixture
def boron(tmp_path, monkeypatch):
    """A folder to compute without relaxing, below the working directory, and a way to set what pw.x says."""
    given = json.loads((COMPUTED / "input.json").read_text())
    given["settings"] |= {"relax": None}
    folder = Path("runs") / "B-139"
    monkeypatch.chdir(tmp_path)
    folder.mkdir(parents=True)
    (folder / "input.json").write_text(json.dumps(given))
    program = tmp_path / "pw.x"
    monkeypatch.setenv("ESPRESSO_COMMAND", str(program))

    def says(text, status=0):
        (tmp_path / "said").write_text(text)
        program.write_text(PROGRAM.format(output=tmp_path / "said", status=status))
        program.chmod(0o755)
        return folder

    return says


def test_espresso_runs_in_its_scratch_and_its_output_is_kept(boron):
    text = gzip.decompress((COMPUTED / "static.txt.gz").read_bytes()).decode()
    folder = boron(text)
    ase_run.main(["runs"])
    assert json.loads((folder / "record.json").read_text())["status"] == "finished"
    assert gzip.decompress((folder / "static.txt.gz").read_bytes()).decode().splitlines() == text.splitlines()
    assert not (folder / "scratch").exists()


def test_what_espresso_said_before_it_failed_is_kept_and_no_folder_of_the_machine(boron, tmp_path):
    folder = boron("Error in routine readpp (1):\n file B.UPF not found\n", status=1)
    ase_run.main(["runs"])
    status = json.loads((folder / "record.json").read_text())["status"]
    assert status.startswith("failed: ") and str(folder.resolve()) not in status
    assert "file B.UPF not found" in gzip.decompress((folder / "static.txt.gz").read_bytes()).decode()


@pytest.fixture
def alloy(tmp_path, monkeypatch):
    """Tetragonal CuAu, stretched; energies of code and potential by EMT."""
    structure = Structure(Lattice.tetragonal(2.9, 3.9), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    write_ase_inputs(from_structures([structure], "m", ["alloy"]), tmp_path / "relaxed", SETTINGS["gpaw"])
    write_ase_inputs(from_structures([structure], "m", ["alloy"]), tmp_path / "fixed", SETTINGS["gpaw"] | {"relax": None})

    def code(atoms, settings, stage, folder, name):
        (folder / f"{name}.txt").write_text("")
        return EMT()

    monkeypatch.setitem(ase_run.CODES, "gpaw", code)
    monkeypatch.setattr(prerelax, "calculator", lambda name: EMT())
    return tmp_path


def test_a_relaxation_from_a_potentials_minimum_is_short_and_says_so(alloy):
    shutil.copytree(alloy / "relaxed", alloy / "plain")
    written = list(prerelax.prerelax([alloy / "relaxed", alloy / "fixed"], "7net-l3i5"))
    assert [folder for folder, _ in written] == [alloy / "relaxed" / "alloy"] and written[0][1] > 2
    start = json.loads((alloy / "relaxed" / "alloy" / "geometry.json").read_text())
    exact = Structure(start["cell"], ["Cu", "Au"], start["frac_coords"])
    assert exact.get_space_group_info(1e-8)[1] == 123
    ase_run.main([str(alloy)])
    records = {name: json.loads((alloy / name / "alloy" / "record.json").read_text()) for name in ("plain", "relaxed", "fixed")}
    assert {name: record["start"] for name, record in records.items()} == {"plain": "input", "relaxed": "7net-l3i5", "fixed": "input"}
    assert records["relaxed"]["relax_steps"] < records["plain"]["relax_steps"] > 2
    cells = [
        np.abs(np.linalg.det(json.loads((alloy / name / "alloy" / "geometry.json").read_text())["cell"])) for name in ("plain", "relaxed")
    ]
    assert cells[0] == pytest.approx(cells[1], rel=0.01)


def test_a_crystal_without_symmetry_starts_from_the_potentials_stiffness_too(tmp_path, alloy):
    """From the potential that the energies are of, one Newton step from its minimum is nothing, and from a shifted start it is home."""
    skewed = Structure([[3.0, 0.1, 0], [0.2, 3.6, 0.1], [0, 0.3, 4.1]], ["Cu", "Au", "Pt"], [[0, 0, 0], [0.45, 0.5, 0.2], [0.1, 0.4, 0.65]])
    write_ase_inputs(from_structures([skewed], "m", ["skewed"]), tmp_path / "other", SETTINGS["gpaw"])
    folder = tmp_path / "other" / "skewed"
    list(prerelax.prerelax([folder], "7net-l3i5"))
    assert not (alloy / "relaxed" / "alloy" / "hessian.json").exists()
    hessian = np.array(json.loads((folder / "hessian.json").read_text()))
    assert hessian.shape == (18, 18) and np.linalg.eigvalsh(hessian).min() > 0.99 * prerelax.SOFTEST
    start = json.loads((folder / "geometry.json").read_text())
    start["cell"] = (np.array(start["cell"]) @ (np.eye(3) + 0.01 * np.array([[1, 0.5, 0], [0.5, -1, 0], [0, 0, 1]]))).tolist()
    start["frac_coords"][1][0] += 0.01
    (folder / "geometry.json").write_text(json.dumps(start))
    steps = {}
    for name in ("with", "without"):
        shutil.copytree(folder, tmp_path / name / "skewed")
        if name == "without":
            (tmp_path / name / "skewed" / "hessian.json").unlink()
        ase_run.main([str(tmp_path / name)])
        steps[name] = json.loads((tmp_path / name / "skewed" / "record.json").read_text())["relax_steps"]
        assert not (tmp_path / name / "skewed" / "hessian.json").exists()
    assert steps["with"] <= steps["without"] / 2


def test_nothing_begun_is_begun_anew(alloy):
    ase_run.main([str(alloy / "relaxed")])
    assert list(prerelax.prerelax([alloy], "7net-l3i5")) == []


def test_a_potential_that_nobody_knows_is_refused_before_anything_runs(alloy, capsys):
    assert main(["dft-run", str(alloy), "--python", "false", "--prerelax", "dft"]) == 1
    assert "potential 'dft': expected one of" in capsys.readouterr().err
