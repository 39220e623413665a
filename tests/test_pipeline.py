"""The pipeline: what reruns, what fails clearly, and what gives the same bytes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from crystalgen.config import load_study
from crystalgen.utils import paths
from crystalgen.utils.compose import compose
from crystalgen.workflow.notebooks import normalise
from crystalgen.workflow.stages import concrete, study_stages

ROOT = Path(__file__).parents[1]

# Stands in for the `crystalgen` package: writes each output of a stage as a digest of what the stage depends on.
STUB = """
import hashlib, json, os, pathlib, subprocess, sys
command = "python -m crystalgen " + " ".join(sys.argv[1:])
def digest(path):
    path = pathlib.Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [hashlib.md5(f.read_bytes()).hexdigest() for f in files]
if sys.argv[1] in ("clean-notebooks", "digests", "settings"):  # in earnest: what they write decides what runs
    environment = {**os.environ, "PYTHONPATH": "src", "CRYSTALGEN_ROOT": "."}
    raise SystemExit(subprocess.run([sys.executable, "-m", "crystalgen", *sys.argv[1:]], env=environment).returncode)
stage = json.loads(pathlib.Path("stages.json").read_text())[command]
seen = [digest(d) for d in stage["deps"]]
for out in stage["outs"]:
    path = pathlib.Path(out)
    inside = ["matrix.safetensors", "unimat.safetensors"] if path.name == "tensors" else ["content.json"]
    for file in [path] if path.suffix else [path / name for name in inside]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(seen))
"""


def dvc(folder: Path, *arguments: str, fails: bool = False) -> str:
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the stages call `python`
    environment = {**os.environ, "PYTHONPATH": str(folder / "stub"), "PATH": search}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def stages_run(folder: Path) -> set[str]:
    """Names of the stages that `dvc repro` ran, the study's without its file."""
    return {name.split(":")[-1] for name in re.findall(r"Running stage '([^']+)'", dvc(folder, "repro"))}


def compile_in(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "CRYSTALGEN_ROOT": str(folder)}
    subprocess.run([sys.executable, "-m", "crystalgen", "select", STUDY], cwd=folder, env=environment, check=True)
    from dvc.repo import Repo

    with Repo(folder) as repo:
        described = {}
        for stage in repo.index.stages:
            outs, deps = ([file.def_path for file in files] for files in (stage.outs, stage.deps))
            described[stage.cmd] = {"outs": outs, "deps": deps}
    (folder / "stages.json").write_text(json.dumps(described))


@pytest.fixture(scope="module")
def dry_pipeline(tmp_path_factory):
    """A copy of the pipeline whose stages only write digests, run once."""
    folder = tmp_path_factory.mktemp("pipeline")
    for name in ("dvc.yaml", "dvc.lock", ".dvcignore", "studies/presets.yaml", f"studies/{STUDY}/study.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("notebooks", "src/crystalgen", "data/dft", "data/library"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    stub = folder / "stub" / "crystalgen"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    (stub / "__main__.py").write_text(STUB)
    compile_in(folder)
    assert {"report", f"reports@{STUDY}"} <= stages_run(folder)
    return folder


def edit_study(folder: Path, change) -> None:
    path = folder / "studies" / STUDY / "study.yaml"
    content = json.loads(json.dumps(compose(path)))  # what models share by a preset is no longer shared
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def edit_module(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "src/crystalgen" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


STUDY = "smoke"
MATRIX, CHANGING = "matrix_generation_flow_uniform", "matrix_modification_flow"
AFTER = {"results", "report", f"reports@{STUDY}"}
ASKING = {"sampler-steps", "search", "energies"}
MODELS = load_study(STUDY).models


def of_model(model: str, *stages: str) -> set[str]:
    return {f"{stage}@{model}" for stage in stages}


def test_nothing_changed_runs_nothing(dry_pipeline):
    assert stages_run(dry_pipeline) == set()


def test_a_training_parameter_reruns_that_training_and_what_follows(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"][MATRIX]["training"].update(learning_rate=0.5))
    assert stages_run(dry_pipeline) == of_model(MATRIX, "train", "sample", "evaluate") | AFTER | ASKING | {"settings"}


def test_stages_that_sample_models_depend_on_those_alone(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"][CHANGING]["objective"].update(wrapped=True))
    assert stages_run(dry_pipeline) == of_model(CHANGING, "train", "sample", "evaluate") | AFTER | {"settings"}


def test_a_sampling_parameter_trains_nothing(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"]["unimat"]["sampling"]["unimat"].update(steps=20))
    assert stages_run(dry_pipeline) == of_model("unimat", "sample") | of_model("unimat", "evaluate") | AFTER | {"settings"}


def test_a_way_to_sample_that_the_search_uses_reruns_the_search(dry_pipeline):
    model = "matrix_generation_diffusion"
    study = load_study(STUDY)
    assert "matrix_generation_ddim" in study.search.rows and "matrix_generation_ddim" not in study.energies.rows
    edit_study(dry_pipeline, lambda s: s["models"][model]["sampling"]["matrix_generation_ddim"].update(steps=5))
    assert stages_run(dry_pipeline) == of_model(model, "sample", "evaluate") | AFTER | {"search", "sampler-steps", "settings"}


def test_a_label_trains_and_samples_nothing(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"]["unimat"].update(label="Ours"))
    assert stages_run(dry_pipeline) == AFTER | ASKING | {"settings"}


def test_a_default_that_no_study_spells_out_reruns_what_reads_it(dry_pipeline):
    weight_decay = "weight_decay: Annotated[Number, Field(ge=0, lt=1)] = 0."
    edit_module(dry_pipeline, "generative/settings.py", f"{weight_decay}0", f"{weight_decay}1")
    ran = stages_run(dry_pipeline)
    assert {name for model in MODELS for name in of_model(model, "train", "sample", "evaluate")} <= ran
    assert ran & {"data", "representations", "dft", "library-card", "baseline@template", "evaluate@template"} == set()
    edit_module(dry_pipeline, "config/study.py", "limit: Positive = 300.0", "limit: Positive = 200.0")
    assert stages_run(dry_pipeline) == {"digests", "settings", "energies"} | AFTER


def test_comments_and_docstrings_rerun_nothing(dry_pipeline):
    for file in (dry_pipeline / "src/crystalgen").rglob("*.py"):
        file.write_text(file.read_text().replace('    """', '    """Newly said: ', 1) + "# a comment\n")
    assert stages_run(dry_pipeline) == {"digests"}


def test_a_statement_reruns_the_stages_that_reach_it(dry_pipeline):
    edit_module(dry_pipeline, "generative/losses.py", "import torch\n", "import torch\n\nNEW = 1\n")
    ran = stages_run(dry_pipeline)
    assert {name for model in MODELS for name in of_model(model, "train")} <= ran
    assert ran & {"data", "representations", "library-card", "dft", "clean-notebooks"} == set()


def test_a_notebook_saved_with_outputs_or_renumbered_reruns_its_cleaning_only(dry_pipeline):
    path = dry_pipeline / "notebooks/04-train.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="saved by hand")]
    nbformat.write(notebook, path.with_name("05-train.ipynb"))
    path.unlink()
    assert stages_run(dry_pipeline) == {"clean-notebooks"}


def test_a_study_with_another_model_is_compiled_before_it_runs(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"].pop(CHANGING))
    said = dvc(dry_pipeline, "repro", fails=True)
    assert f"out of date with study.yaml; run `crystalgen compile {STUDY}`" in said and "Traceback" not in said
    assert set(re.findall(r"Running stage '[^']*?([^':]+)'", said)) == {"settings"}
    compile_in(dry_pipeline)
    assert stages_run(dry_pipeline) == {"settings"} | AFTER


def test_a_study_without_a_search_has_the_stages_that_it_names():
    left_out = {"search": None, "energies": None, "sampler_steps": None, "retrieval": None, "baselines": {}}
    study = load_study(STUDY).model_copy(update=left_out)
    study = study.model_copy(update={"models": {MATRIX: study.models[MATRIX]}})
    stages = study_stages("plain", study, [])
    assert set(stages) == {"settings", "data", "representations", "train", "sample", "evaluate", "results", "report"}
    assert set(concrete(stages)) & {f"train@{MATRIX}", f"evaluate@{MATRIX}"} == {f"train@{MATRIX}", f"evaluate@{MATRIX}"}


def test_every_notebook_has_its_shape_and_stages_take_overrides():
    studies = {name: load_study(name) for name in ("smoke", "smoke_unimat", "mp_20", "demo")}
    commands = [what["cmd"] for name, study in studies.items() for what in concrete(study_stages(name, study, [])).values()]
    stages = {command.split()[4] for command in commands if " run " in command}
    assert stages < set(paths.notebooks())
    for key, path in paths.notebooks().items():
        cells = nbformat.read(path, as_version=4).cells
        assert cells[0].cell_type == "markdown", path
        (parameters,) = [c.source for c in cells if "parameters" in c.metadata.get("tags", [])]
        assert ("overrides = {}" in parameters) == (key in stages), path
        assert (f'prepare("{key}", study' in "".join(c.source for c in cells)) == (key in stages), path
        assert not any(c.get("outputs") for c in cells), f"{path} holds outputs"
        assert not any(re.search(r"^\s*(class|!)", c.source, re.M) for c in cells if c.cell_type == "code"), path


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A repository of its own for running small notebooks."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("CRYSTALGEN_ROOT", str(tmp_path))

    def run(*sources: str, arguments=("-p", "study=x")):
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook.cells[0].metadata = {"tags": ["parameters"]}
        nbformat.write(normalise(notebook), tmp_path / "notebooks/03-small.ipynb")
        command = [sys.executable, "-m", "crystalgen", "run", "small", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    run.executed = tmp_path / "reports/x/notebooks/small.ipynb"
    return run


def test_an_executed_notebook_does_not_say_where_it_ran(workshop, tmp_path):
    shown = "from crystalgen.utils import paths\nprint(paths.ROOT / 'data')\npaths.ROOT / 'reports/x.csv'"
    page = "from IPython.display import HTML\nHTML(f'<td>{paths.ROOT}/a</td>')"
    assert workshop("study = 'y'", shown, page).returncode == 0
    outputs = [output for cell in nbformat.read(workshop.executed, as_version=4).cells for output in cell.outputs]
    assert [output.get("text") or output["data"] for output in outputs] == [
        "data\n",
        {"text/plain": "PosixPath('reports/x.csv')"},
        {"text/html": "<td>a</td>", "text/plain": "<IPython.core.display.HTML object>"},
    ]
    assert str(tmp_path) not in workshop.executed.read_text()


def test_the_same_run_gives_the_same_bytes(workshop):
    cells = [
        "study = 'y'",
        "import sys\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])",
        "print(study)\nprint('5 s', file=sys.stderr)\n{'b', 'a'}",
    ]
    assert workshop(*cells).returncode == 0
    first = workshop.executed.read_bytes()
    assert workshop(*cells).returncode == 0
    assert workshop.executed.read_bytes() == first
    outputs = [o for c in nbformat.read(workshop.executed, as_version=4).cells for o in c.get("outputs", [])]
    assert any(o.get("text") == "x\n" for o in outputs)
    assert not any(o.get("name") == "stderr" for o in outputs)


def test_a_misspelt_parameter_is_refused_by_name(workshop):
    done = workshop("study = 'y'", arguments=("-p", "stduy=x"))
    assert done.returncode == 1
    assert "unknown parameter ['stduy']" in done.stderr and "['study']" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failing_cell_is_the_last_thing_seen(workshop):
    done = workshop("study = 'y'", "def deep():\n    raise ArithmeticError('the reason')\ndeep()", "print('never')")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "ArithmeticError: the reason"
    assert not workshop.executed.exists()
    assert "never" not in done.stdout


def test_values_are_yaml_where_the_notebook_has_no_text(workshop):
    assert workshop("study = 'y'\ncount = 1", "print([study, count])", arguments=("-p", "study=x", "-p", "count=3")).returncode == 0
    assert any("['x', 3]" in str(c.get("outputs")) for c in nbformat.read(workshop.executed, as_version=4).cells)
    done = workshop("study = 'y'\ncount = 1", arguments=("-p", "count=[3"))
    assert done.returncode == 1 and "parameter count: '[3': not YAML: line 1" in done.stderr and len(done.stderr.splitlines()) == 1


def test_an_unknown_notebook_is_named(workshop):
    workshop("study = 'y'")
    done = subprocess.run([sys.executable, "-m", "crystalgen", "run", "nosuch"], capture_output=True, text=True)
    assert done.returncode == 1 and "no notebook 'nosuch'; expected one of ['small']" in done.stderr
