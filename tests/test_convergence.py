"""Converged are electrons and ions, by the run's own criterion; what is no energy of a crystal has a status of its own."""

import gzip
import re
from pathlib import Path

import pytest
from dft_case import outcar, pwscf, read_folder, vasprun

IONS, ELECTRONS = "unconverged: ionic steps", "unconverged: electronic steps"
FIRE = "\n     Entering FIRE :    iteration =     1\n"
BFGS = "\n     BFGS Geometry Optimization\n\n     number of scf cycles    =   {}\n"
GPAW = gzip.decompress((Path(__file__).parents[1] / "data/dft/known/03-TaB2-191/static.txt.gz").read_bytes()).decode()


def _vasp(folder: Path, run: str, out: str | None) -> dict:
    (folder / "vasprun.xml").write_text(run)
    if out is not None:
        (folder / "OUTCAR").write_text(out)
    return read_folder(folder)


def _text(folder: Path, text: str, name: str = "b.out") -> dict:
    (folder / name).write_text(text)
    return read_folder(folder)


@pytest.mark.parametrize(
    ("run", "out", "status"),
    [
        ({}, {}, "converged"),
        ({"forces": 0.8}, {"before_end": " soft stop encountered!  aborting job ...\n"}, IONS),
        ({}, {"before_end": " hard stop encountered!  aborting job ...\n"}, ELECTRONS),
        ({"forces": 0.8}, {"before_end": ""}, IONS),
        ({}, {"before_end": ""}, "converged"),
        ({"forces": 0.8}, None, IONS),
        ({}, None, "converged"),
        ({"forces": 0.8, "fixed": True}, None, "converged"),  # on atoms that may not move
        ({"energies": (-6.3, -6.4)}, {"energies": (-6.3, -6.4), "end": False}, "unconverged: OUTCAR ends early"),
        ({"tags": {"NSW": 3}}, {"before_end": ""}, IONS),
        ({"tags": {"EDIFFG": 0.001}}, None, IONS),  # the last step changed the energy by 0.1 eV
        ({"tags": {"EDIFFG": 0.2}}, None, "converged"),
        ({"tags": {"EDIFFG": 0.0}}, None, IONS),
        ({"electronic": 60}, {}, ELECTRONS),
        ({"electronic": 1}, None, ELECTRONS),
        ({"forces": 0.8, "tags": {"NSW": 0, "IBRION": -1}, "energies": (-6.4,)}, {"before_end": "", "energies": (-6.4,)}, "converged"),
        ({"forces": 0.8, "tags": {"NSW": 0, "IBRION": -1}, "energies": (-6.4,), "electronic": 60}, None, ELECTRONS),
    ],
)
def test_a_run_of_vasp_converges_by_its_own_criterion(tmp_path, run, out, status):
    assert _vasp(tmp_path, vasprun(**run), None if out is None else outcar(**out))["status"] == status


@pytest.mark.parametrize(
    ("run", "what"),
    [
        ({"tags": {"IBRION": 5}}, "displaced geometries"),
        ({"tags": {"IBRION": 6}}, "displaced geometries"),
        ({"tags": {"IBRION": 8, "NSW": 1}}, "linear response"),
        ({"tags": {"IBRION": 0}}, "molecular dynamics"),
        ({"tags": {"IBRION": 44}}, "a saddle point"),
        ({"tags": {"ML_LMLFF": True}}, "energies of a machine-learned force field"),
        ({"tags": {"IMAGES": 5}}, "an image of a path"),
        ({"tags": {"LCHIMAG": True}}, "chemical shifts"),
        ({"tags": {"METAGGA": "MBJ"}}, "a potential without an energy"),
        ({"tags": {"ICHARG": 11, "NSW": 0, "IBRION": -1}}, "bands at a fixed density"),
        ({"tags": {"ALGO": "GW0", "NSW": 0, "IBRION": -1}}, "excitations or response"),
        ({"tags": {"ALGO": "Exact", "NELM": 1, "NSW": 0, "IBRION": -1}}, "excitations or response"),
        ({"a": 15.0}, "free atoms"),
        ({"energies": (1422.0, 1422.0)}, "no crystal has 711.0 eV/atom"),
    ],
)
def test_what_is_no_energy_of_a_crystal_has_a_status_of_its_own(tmp_path, run, what):
    row = _vasp(tmp_path, vasprun(**run), None)
    assert row["status"].startswith(f"other: {what}")
    assert row["energy"] == pytest.approx(run.get("energies", (-6.4,))[-1])


def test_a_vasprun_without_its_last_steps_does_not_converge(tmp_path):
    row = _vasp(tmp_path, vasprun(energies=(-6.1, -6.3)), outcar(energies=(-6.1, -6.3, -6.4)))
    assert row["status"] == "unconverged: vasprun.xml lacks the last 1 of the ionic steps of OUTCAR"
    with_response = outcar(before_end=" reached required accuracy\n  free energy    TOTEN  =      -5.00000000 eV\n")
    assert _vasp(tmp_path, vasprun(), with_response)["status"] == "converged", "an electronic step's energy is none of an ionic step"


def test_ionic_steps_are_counted_though_the_last_two_alone_are_kept(tmp_path):
    bulk = "<eigenvalues>" + "<r> **** </r>" * 200_000 + "</eigenvalues><dos><r>x</r></dos></calculation>"  # unreadable, and never read
    energies = [-6.0 - n / 100 for n in range(30)]
    row = _vasp(tmp_path, vasprun(energies=energies).replace("</calculation>", bulk, 3), outcar(energies=energies))
    assert (row["status"], row["ionic_steps"], row["energy"]) == ("converged", 30, pytest.approx(energies[-1]))


@pytest.mark.parametrize(
    ("built", "status"),
    [
        ({}, "converged"),
        ({"scf": 2, "after_scf": BFGS, "end": "     bfgs converged in   2 scf cycles and   1 bfgs steps\n"}, "converged"),
        ({"scf": 2, "after_scf": BFGS, "end": "     The maximum number of steps has been reached.\n"}, IONS),
        (
            {"scf": 2, "after_scf": BFGS, "end": "     bfgs failed after   2 scf cycles and   1 bfgs steps, convergence not achieved\n"},
            IONS,
        ),
        (
            {
                "scf": 2,
                "after_scf": BFGS,
                "end": "     history already reset at previous step: stopping\n     bfgs converged in 2 scf cycles\n",
            },
            IONS,
        ),
        ({"scf": 2, "after_scf": BFGS, "end": "     Maximum CPU time exceeded\n"}, IONS),
        ({"scf": 2, "after_scf": BFGS}, IONS),
        (
            {
                "scf": 2,
                "after_scf": "\n     Damped Dynamics Calculation\n",
                "end": "     Damped Dynamics: convergence achieved in  9 steps\n",
            },
            "converged",
        ),
        ({"scf": 2, "after_scf": "\n     Damped Dynamics Calculation\n"}, IONS),
        ({"scf": 2, "after_scf": FIRE}, IONS),
        ({"scf": 2, "after_scf": FIRE, "end": "     FIRE: convergence achieved in  9 steps\n"}, "converged"),
        ({"scf": 2, "after_scf": "\n     Entering Dynamics:    iteration =     1\n"}, "other: molecular dynamics"),
        ({"done": False}, "unconverged: the output ends early"),
    ],
)
def test_a_run_of_pwx_converges_by_its_own_words(tmp_path, built, status):
    assert _text(tmp_path, pwscf(**built))["status"] == status


def test_a_run_of_pwx_that_stopped_says_why(tmp_path):
    error = " %%%%%%\n     Error in routine readpp (1):\n     file B.UPF not found\n %%%%%%\n     stopping ...\n"
    assert (
        _text(tmp_path, pwscf(scf=0, end=error, done=False))["status"] == "failed: b.out: Error in routine readpp (1): file B.UPF not found"
    )
    assert _text(tmp_path, pwscf(end=error, done=False))["status"] == "unconverged: the output ends early"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text + text, "several documents in one file"),
        (lambda text: text.replace("<structure>", "<structure>\0\0", 1), "damaged, zero bytes in it"),
        (lambda text: text.replace("<parameters>", "<x>").replace("</parameters>", "</x>"), "a part that VASP writes is not there"),
        (lambda text: text[: text.rindex("</calculation>")], "XMLSyntaxError"),
        (lambda text: text.replace("-6.40000000", "***********"), "no finite energy"),
        (lambda text: "", "XMLSyntaxError"),
    ],
)
def test_a_broken_vasprun_says_what_is_wrong(tmp_path, change, reason):
    assert _vasp(tmp_path, change(vasprun()), outcar())["status"].startswith(f"failed: vasprun.xml: {reason}")


def test_bands_of_pwx_are_no_energy(tmp_path):
    bands = pwscf(scf=0, end="\n     Band Structure Calculation\n\n     End of band structure calculation\n")
    assert _text(tmp_path, bands)["status"] == "other: bands at a fixed density"


def test_an_unconverged_loop_of_pwx_is_told_from_a_converged_one(tmp_path):
    last = pwscf(scf=2).rpartition("     convergence has been achieved in   4 iterations")
    row = _text(tmp_path, f"{last[0]}     convergence NOT achieved after 100 iterations: stopping{last[2]}")
    assert row["status"] == ELECTRONS


def test_of_several_runs_in_one_log_the_last_counts(tmp_path):
    row = _text(tmp_path, pwscf() + pwscf(version="7.3", electrons=11.0))
    assert (row["version"], row["status"], row["ionic_steps"]) == ("7.3", "converged", 1)
    assert _text(tmp_path, pwscf() + pwscf(done=False))["status"] == "unconverged: the output ends early"


@pytest.mark.parametrize(
    "after",
    [
        "Note: The following floating-point exceptions are signalling: IEEE_DENORMAL\n",
        "[node07:12345] 3 more processes have sent help message help-mpi-btl-base.txt\n" * 500,
        "\n     Program PHONON v.7.2 starts on 26Nov2026 at  2:24:40\n\n     Self-consistent Calculation\n\n      iter #   1\n",
        "slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-26T10:00:00 DUE TO TIME LIMIT ***\n",
    ],
)
def test_lines_after_the_end_do_not_make_an_output_cut(tmp_path, after):
    for name, text in (("b.out", pwscf()), ("t.txt", GPAW)):
        folder = tmp_path / name[0]
        folder.mkdir()
        assert _text(folder, text + after, name)["status"] == "converged"


def test_a_gpaw_run_of_the_energy_alone_converges_without_forces(tmp_path):
    row = _text(tmp_path, re.sub(r"Forces in eV/Ang:\n(.+\n)+\n", "", GPAW), "t.txt")
    assert (row["status"], row["max_force"]) == ("converged", None)


def test_several_geometries_of_gpaw_with_forces_left_do_not_converge(tmp_path):
    moved = "Positions:" + GPAW.partition("Positions:")[2].replace(
        "  0 Ta    0.00000    0.00000    0.00000", "  0 Ta    0.90000    0.00000    0.00000"
    )
    assert _text(tmp_path, GPAW + moved, "t.txt")["status"] == IONS


def test_magnetisation_of_pwx_is_read(tmp_path):
    spin = "     total magnetization       =     4.26 Bohr mag/cell\n     absolute magnetization    =     4.40 Bohr mag/cell\n"
    assert _text(tmp_path, pwscf(spin=spin))["magnetisation"] == 4.26
    assert _text(tmp_path, pwscf(spin=spin.replace("4.26", "0.00     3.00     4.00")))["magnetisation"] == 5.0
    assert _text(tmp_path, pwscf())["magnetisation"] is None


def test_a_damaged_log_is_not_trusted(tmp_path):
    (tmp_path / "b.out").write_bytes(pwscf().encode().replace(b"Fermi energy is", b"Fermi\0\0\0\0energy is"))
    assert read_folder(tmp_path)["status"] == "failed: b.out: damaged, 4 zero bytes in it"
