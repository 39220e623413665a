"""The Python that executes a notebook is this one, whatever the machine offers, and its death is one line."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from crystalgen.workflow import kernel

CELLS = {
    "exe": "import sys\nprint('EXE', sys.executable, flush=True)",
    "kill": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "segv": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
    "quit": "import os\nos._exit(3)",
}


@pytest.fixture
def workshop(tmp_path):
    """A checkout of its own, a notebook for each kind of cell."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "notebooks").mkdir()
    for name, source in CELLS.items():
        parameters = nbformat.v4.new_code_cell("fast = True", metadata={"tags": ["parameters"]})
        kernelspec = {"kernelspec": {"name": "of-the-site", "display_name": "Site", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(source)], metadata=kernelspec)
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    return tmp_path


def run(workshop: Path, name: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "crystalgen", "run", name]
    settings = {**os.environ, "CRYSTALGEN_ROOT": str(workshop), **environment}
    return subprocess.run(command, cwd=workshop, env=settings, capture_output=True, text=True)


def other_kernel(folder: Path, *argv: str) -> Path:
    """A folder of Jupyter's with a kernel python3 of another Python."""
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": [*argv, "-f", "{connection_file}"], "display_name": "of the site", "language": "python"}))
    return folder


@pytest.mark.parametrize("variable", ["JUPYTER_PATH", "JUPYTER_DATA_DIR"])
def test_a_kernel_of_the_site_or_the_user_does_not_take_over(workshop, variable):
    done = run(workshop, "exe", **{variable: str(other_kernel(workshop / "site", "false"))})
    assert done.returncode == 0, done.stderr
    assert f"EXE {sys.executable}" in done.stdout


def test_start_up_files_of_a_user_do_not_run(workshop):
    startup = workshop / "ipython/profile_default/startup/00-noise.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("print('NOISE')\nimport os\nos._exit(1)\n")
    (workshop / "start.py").write_text("print('NOISE')\n")
    done = run(workshop, "exe", IPYTHONDIR=str(workshop / "ipython"), PYTHONSTARTUP=str(workshop / "start.py"))
    assert done.returncode == 0, done.stderr
    assert "NOISE" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("kill", "killed by SIGKILL, most likely for want of memory"),
        ("segv", "killed by SIGSEGV, a fault in compiled code"),
        ("quit", "it left by itself with status 3"),
    ],
)
def test_a_kernel_that_dies_is_one_line_with_stage_cause_and_how_to_go_on(workshop, name, cause):
    done = run(workshop, name)
    lines = [line for line in done.stderr.splitlines() if line and "Fatal Python error" not in line]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (said,) = [line for line in lines if line.startswith("crystalgen: ")]
    assert f"stage {name}: its Python ended in cell 2: {cause}" in said
    assert "run the same command again, which goes on" in said
    (kept,) = re.findall(r"; (\S+\.failed\.ipynb) holds the run up to there", said)
    assert Path(kept).is_file()


def test_a_kernel_that_never_starts_says_so(workshop):
    """As where ipykernel is broken; what it printed stands above the line."""
    (workshop / "broken").mkdir()
    (workshop / "broken/ipykernel_launcher.py").write_text("raise SystemExit('no kernel here')\n")
    done = run(workshop, "exe", PYTHONPATH=os.pathsep.join([str(workshop / "broken"), os.environ.get("PYTHONPATH", "")]))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr and "no kernel here" in done.stderr
    assert last.startswith("crystalgen: stage exe: its Python ended before the first cell: it left by itself with status 1")


def test_the_death_of_a_training_says_that_it_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel.ThisPython, "status", -signal.SIGTERM)
    said = kernel.death("train", {"study": "demo", "model": "unimat"}, tmp_path / "none.ipynb", RuntimeError("Kernel died"))
    assert said.startswith("stage train (study demo, model unimat): its Python ended before the first cell: killed by SIGTERM, stopped")
    assert "which goes on from the last checkpoint" in said and "\n" not in said
    monkeypatch.setattr(kernel.ThisPython, "status", None)
    assert "No space left" in kernel.death("data", {}, tmp_path / "none.ipynb", OSError(28, "No space left on device"))


def test_the_environment_is_as_it_was_afterwards(monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", "/mine")
    before = dict(os.environ)
    with pytest.raises(KeyError), kernel.environment():
        assert os.environ["IPYTHONDIR"] != "/mine" and os.environ["PYTHONHASHSEED"] == "0"
        raise KeyError
    assert dict(os.environ) == before
