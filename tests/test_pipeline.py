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

from crystalgen.config import read_study
from crystalgen.workflow.notebooks import normalise
from crystalgen.workflow.selection import select_studies, stages_of

ROOT = Path(__file__).parents[1]

# Stands in for the `crystalgen` package: writes each output of a stage as a digest of what the stage depends on.
STUB = """
import hashlib, json, os, pathlib, subprocess, sys, yaml
stages = json.loads(pathlib.Path("stages.json").read_text())
command = "python -m crystalgen " + " ".join(sys.argv[1:])
stage = stages[command]
def digest(path):
    path = pathlib.Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [hashlib.md5(f.read_bytes()).hexdigest() for f in files]
def look_up(file, key):
    value = yaml.safe_load(pathlib.Path(file).read_text())
    for part in key.split("."):
        value = value[part]
    return value
if sys.argv[1] == "clean-notebooks":
    for out in stage["outs"]:
        cells = json.loads((pathlib.Path("notebooks") / pathlib.Path(out).name).read_text())["cells"]
        pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(out).write_text(json.dumps([c["source"] for c in cells]))
elif sys.argv[1] == "asked-models":  # in earnest: whatever it writes decides what runs
    code = "import sys; from crystalgen.workflow.asked_models import write_digests; write_digests(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, sys.argv[2]], check=True, env={**os.environ, "PYTHONPATH": "src", "CRYSTALGEN_ROOT": "."})
else:
    seen = [digest(d) for d in stage["deps"]] + [look_up(f, k) for f, k in stage["params"]]
    for out in stage["outs"]:
        path = pathlib.Path(out)
        inside = ["matrix.safetensors", "unimat.safetensors"] if path.name == "tensors" else ["content.json"]
        inside = ["42.safetensors"] if path.name == "weights" else inside
        for file in [path] if path.suffix else [path / name for name in inside]:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(seen))
"""


def dvc(folder: Path, *arguments: str) -> str:
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the stages call `python`
    environment = {**os.environ, "PYTHONPATH": str(folder / "stub"), "PATH": search}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stages_run(folder: Path) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", dvc(folder, "repro")))


@pytest.fixture(scope="module")
def dry_pipeline(tmp_path_factory):
    """A copy of the pipeline whose stages only write digests, run once."""
    folder = tmp_path_factory.mktemp("pipeline")
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    select_studies(["smoke"], folder / "params.yaml")
    for name in ("notebooks", "studies", "src/crystalgen"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("data/reference", "data/dft"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "data/library").mkdir()
    for name in ("recipe.yaml", "crystals.parquet", "record.json"):
        (folder / "data/library" / name).write_text(name)
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    from dvc.repo import Repo

    with Repo(folder) as repo:
        described = {}
        for stage in repo.index.stages:
            params = [(d.def_path, k) for d in stage.deps if hasattr(d, "params") for k in d.params]
            deps = [d.def_path for d in stage.deps if not hasattr(d, "params")]
            described[stage.cmd] = {"outs": [o.def_path for o in stage.outs], "deps": deps, "params": params}
    (folder / "stages.json").write_text(json.dumps(described))
    stub = folder / "stub" / "crystalgen" / "pipeline"
    stub.mkdir(parents=True)
    (stub.parent / "__init__.py").touch()
    (stub / "__init__.py").touch()
    (stub / "__main__.py").write_text(STUB)
    assert "report@smoke" in stages_run(folder)
    return folder


def edit_study(folder: Path, change) -> None:
    path = folder / "studies/smoke.yaml"
    content = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # what models share by an anchor is no longer shared
    change(content)
    path.write_text(yaml.safe_dump(content))


MATRIX, CHANGING = "matrix_generation_flow_uniform", "matrix_modification_flow"
AFTER = {"tables-and-figures@smoke", "report@smoke", "asked-models@smoke"}
ASKING = {"sampler-steps@smoke", "search@smoke", "energies@smoke"}


def of_model(model: str, *stages: str) -> set[str]:
    return {f"{stage}@smoke-{model}" for stage in stages}


def test_nothing_changed_runs_nothing(dry_pipeline):
    assert stages_run(dry_pipeline) == set()


def test_a_training_parameter_reruns_that_training_and_what_follows(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"][MATRIX]["training"].update(learning_rate=0.5))
    assert stages_run(dry_pipeline) == of_model(MATRIX, "train-matrix", "sample", "evaluate") | AFTER | ASKING


def test_stages_that_ask_models_hear_of_those_alone(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"][CHANGING]["training"].update(learning_rate=0.5))
    assert stages_run(dry_pipeline) == of_model(CHANGING, "train-matrix", "sample", "evaluate") | AFTER


def test_the_number_of_pairs_is_a_training_parameter(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"][CHANGING].update(training=s["models"][CHANGING]["training"] | {"pairs_per_group": 3}))
    assert stages_run(dry_pipeline) == of_model(CHANGING, "train-matrix", "sample", "evaluate") | AFTER


def test_a_sampling_parameter_trains_nothing(dry_pipeline):
    edit_study(dry_pipeline, lambda s: s["models"]["unimat"]["sampling"]["unimat"].update(steps=20))
    assert stages_run(dry_pipeline) == of_model("unimat", "sample", "evaluate") | AFTER


def test_a_way_to_sample_that_the_search_uses_reruns_the_search(dry_pipeline):
    model = "matrix_generation_diffusion"
    study = yaml.safe_load((dry_pipeline / "studies/smoke.yaml").read_text())
    assert "matrix_generation_ddim" in study["search"]["rows"] and "matrix_generation_ddim" not in study["energies"]["rows"]
    edit_study(dry_pipeline, lambda s: s["models"][model]["sampling"]["matrix_generation_ddim"].update(steps=5))
    assert stages_run(dry_pipeline) == of_model(model, "sample", "evaluate") | AFTER | ASKING - {"energies@smoke"}


def test_another_network_leaves_the_first_alone(dry_pipeline):
    module = dry_pipeline / "src/crystalgen/generative/nets/unet3d.py"
    module.write_text(module.read_text() + "\n")
    unimat = of_model("unimat", "train-unimat", "sample", "evaluate") | of_model("unimat_composition", "train-unimat", "sample", "evaluate")
    assert stages_run(dry_pipeline) == unimat | AFTER | ASKING


def test_a_study_without_a_search_has_the_stages_that_it_names(dry_pipeline, tmp_path):
    study = yaml.safe_load((ROOT / "studies/smoke.yaml").read_text())
    study = {key: value for key, value in study.items() if key not in ("search", "energies", "sampler_steps")}
    study["models"] = {MATRIX: study["models"][MATRIX]}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(study))
    stages = stages_of({"plain": read_study(tmp_path / "plain.yaml")})
    assert stages["matrix_studies"] == ["plain"]
    assert not any(stages[name] for name in ("asking_studies", "sampler_studies", "search_studies", "energy_studies"))


def test_a_notebook_saved_with_outputs_reruns_its_cleaning_only(dry_pipeline):
    path = dry_pipeline / "notebooks/04-train.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="saved by hand")]
    nbformat.write(notebook, path)
    assert stages_run(dry_pipeline) == {"clean-notebooks"}


def test_every_notebook_is_cleaned_by_the_pipeline_and_has_its_shape():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    cleaned = {Path(out).name for out in stages["clean-notebooks"]["outs"]}
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert cleaned == {p.name for p in notebooks}
    for path in notebooks:
        cells = nbformat.read(path, as_version=4).cells
        assert cells[0].cell_type == "markdown", path
        assert sum("parameters" in c.metadata.get("tags", []) for c in cells) == 1, path
        assert not any(c.get("outputs") for c in cells), f"{path} holds outputs"
        assert not any(re.search(r"^\s*(class|!)", c.source, re.M) for c in cells if c.cell_type == "code"), path


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A repository of its own for running small notebooks."""
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "data/interim/notebooks").mkdir(parents=True)
    monkeypatch.setenv("CRYSTALGEN_ROOT", str(tmp_path))

    def run(*sources: str, arguments=("-p", "study=x")):
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook.cells[0].metadata = {"tags": ["parameters"]}
        nbformat.write(normalise(notebook), tmp_path / "data/interim/notebooks/small.ipynb")
        command = [sys.executable, "-m", "crystalgen", "run", "small", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    run.executed = tmp_path / "reports/x/notebooks/small.ipynb"
    return run


def test_an_executed_notebook_does_not_say_where_it_ran(workshop, tmp_path):
    shown = "from crystalgen import paths\nprint(paths.ROOT / 'data')\npaths.ROOT / 'reports/x.csv'"
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


def test_a_misspelt_study_key_is_named(tmp_path):
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    (tmp_path / "dvc.yaml").touch()
    edit_study(tmp_path, lambda s: s["models"]["unimat"]["training"].update(lerning_rate=1))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = [sys.executable, "-m", "crystalgen", "select", "smoke"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "CRYSTALGEN_ROOT": str(tmp_path)})
    assert done.returncode == 1
    assert "smoke.yaml" in done.stderr and "lerning_rate" in done.stderr
