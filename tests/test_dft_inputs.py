"""Folders for VASP: the papers' settings, hashes that hold, and a script that runs where there is no VASP."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar, Kpoints, Poscar

from crystalgen.cli import main
from crystalgen.crystals import from_structures, to_structures
from crystalgen.dft.inputs import write_inputs


@pytest.fixture(scope="module")
def candidates():
    tab2 = Structure(Lattice.hexagonal(3.1, 3.2), ["Ta", "B", "B"], [[0, 0, 0], [1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    oxide = Structure(Lattice.cubic(4.2), ["Fe", "Li", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])
    return from_structures([tab2, oxide], "candidates")


def test_the_settings_are_the_papers(candidates, tmp_path):
    write_inputs(candidates, tmp_path / "A", "A")
    write_inputs(candidates, tmp_path / "B", "B")
    folders = [path.name for path in sorted((tmp_path / "A").iterdir()) if path.is_dir()]
    assert folders == ["0000-Ta1B2", "0001-Li1Fe1O1"]
    for folder in folders:
        assert sorted(path.name for path in (tmp_path / "A" / folder).iterdir()) == ["relax1", "relax2", "static"]
        relax, static = (Incar.from_file(tmp_path / "A" / folder / step / "INCAR") for step in ("relax1", "static"))
        assert relax["ENCUT"] == static["ENCUT"] == 520
        assert relax["ISIF"] == 3 and static["NSW"] == 0 and relax["ISPIN"] == 2
        assert "EDIFF = 0.00015\n" in (tmp_path / "A" / folder / "relax1" / "INCAR").read_text(), "5e-5 an atom, without the float's tail"
        ours = Incar.from_file(tmp_path / "B" / folder / "relax" / "INCAR")
        assert (ours["ENCUT"], ours["EDIFF"], ours["EDIFFG"]) == (500, 1e-5, -1e-2)
    assert Incar.from_file(tmp_path / "A" / folders[1] / "relax1" / "INCAR")["LDAU"], "iron in an oxide has its U"
    assert not Incar.from_file(tmp_path / "B" / folders[1] / "relax" / "INCAR").get("LDAU", False)
    assert Kpoints.from_file(tmp_path / "A" / folders[0] / "relax1" / "KPOINTS").style.name == "Gamma", "of a hexagonal cell"


def test_no_potential_is_shipped_and_every_hash_holds(candidates, tmp_path):
    manifest = json.loads(write_inputs(candidates, tmp_path, "A").read_text())
    assert not list(tmp_path.rglob("POTCAR"))
    assert manifest["crystals"][1]["potentials"]["Li_sv"] == "later release"
    assert manifest["crystals"][0]["potentials"] == {"Ta_pv": "PBE", "B": "PBE"}
    hashes = {name: value for crystal in manifest["crystals"] for name, value in crystal["sha256"].items()}
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]
    assert len(hashes) == len(files) == 2 * 3 * 4
    for path in files:
        assert hashes[str(path.relative_to(tmp_path))] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_script_runs_every_step_without_vasp(candidates, tmp_path):
    """A stand-in for VASP that copies its input; killed after a step, the script goes on with the next."""
    write_inputs(candidates, tmp_path / "runs", "A")
    for symbol in ("Ta_pv", "B"):
        (tmp_path / "potentials" / symbol).mkdir(parents=True)
        (tmp_path / "potentials" / symbol / "POTCAR").write_text(f"{symbol}\n")
    environment = os.environ | {"VASP_POTENTIALS": str(tmp_path / "potentials"), "VASP_COMMAND": "cp POSCAR CONTCAR"}
    command = ["bash", str(tmp_path / "runs" / "run.sh"), "0"]
    subprocess.run(command, check=True, env=environment)
    home = next((tmp_path / "runs").glob("0000-*"))
    assert all((home / step / "done").exists() for step in ("relax1", "relax2", "static"))
    assert (home / "static" / "POTCAR").read_text() == "Ta_pv\nB\n"
    assert Poscar.from_file(home / "static" / "CONTCAR").structure.matches(Poscar.from_file(home / "relax1" / "POSCAR").structure)
    (home / "static" / "done").unlink()
    subprocess.run(command, check=True, env=environment | {"VASP_COMMAND": "touch CONTCAR again"})
    assert (home / "static" / "again").exists() and not (home / "relax2" / "again").exists()
    failed = subprocess.run(["bash", str(tmp_path / "runs" / "run.sh"), "1"], env=environment, capture_output=True)
    assert failed.returncode != 0, "the potentials of the second crystal are not there"


def test_bad_calls_say_what_was_expected(candidates, tmp_path, capsys):
    with pytest.raises(ValueError, match="preset 'C': expected one of"):
        write_inputs(candidates, tmp_path / "x", "C")
    with pytest.raises(ValueError, match="no crystals"):
        write_inputs(candidates.head(0), tmp_path / "x", "A")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        write_inputs(candidates, tmp_path / "full", "A")
    (tmp_path / "cifs").mkdir()
    candidates_file = tmp_path / "cifs" / "a.cif"
    Structure(Lattice.cubic(3.2), ["W"], [[0, 0, 0]]).to(filename=str(candidates_file), fmt="cif")
    assert main(["dft-inputs", str(tmp_path / "cifs"), "--preset", "B", "--out", str(tmp_path / "out")]) == 0
    assert "1 crystal" in capsys.readouterr().out


def test_a_flow_has_the_papers_steps_one_from_the_other(candidates):
    pytest.importorskip("atomate2", reason="an optional extra: pip install atomate2")
    from crystalgen.dft.flows import crystal_flow

    structure = to_structures(candidates)[0]
    flow = crystal_flow(structure, "A")
    assert [job.name for job in flow.jobs] == ["relax1", "relax2", "static"] and flow.name == "TaB2"
    for before, job in zip(flow.jobs, flow.jobs[1:], strict=False):
        assert job.function_args[0].uuid == before.uuid and job.function_kwargs["prev_dir"].uuid == before.uuid
    inputs = flow.jobs[0].maker.input_set_generator
    assert inputs.user_incar_settings["ENCUT"] == 520 and inputs.force_gamma
    assert [job.name for job in crystal_flow(structure, "B").jobs] == ["relax"]
    with pytest.raises(ValueError, match="preset 'C'"):
        crystal_flow(structure, "C")


def test_without_atomate2_it_is_named(candidates, monkeypatch):
    from crystalgen.dft.flows import crystal_flow

    monkeypatch.setitem(sys.modules, "atomate2", None)
    monkeypatch.setitem(sys.modules, "atomate2.vasp.jobs.base", None)
    with pytest.raises(ModuleNotFoundError, match="flows need atomate2: pip install atomate2"):
        crystal_flow(to_structures(candidates)[0])
