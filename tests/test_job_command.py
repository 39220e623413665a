"""A training job without a pipeline: the files it leaves, and batches shared among processes."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_jobs import folder  # noqa: F401  (a fixture: tensors of a few crystals)

from crystalgen.generative import __main__
from crystalgen.generative.checkpoint import Model

TRAINING = {"steps": 6, "batch_size": 8, "threads": 1, "report_every": 3, "checkpoint_every": 3, "seeds": [7]}


MODEL = {
    "representation": "matrix",
    "net": {"channels": 16, "multipliers": [1]},
    "objective": {"name": "flow"},
    "training": TRAINING,
    "sampling": {"flow": {"sampler": "euler", "steps": 2}},
}


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(MODEL))
    return path


def test_a_job_leaves_a_model_a_curve_and_a_card(settings, folder):  # noqa: F811
    out = folder / "out"
    assert __main__.main([str(settings), str(folder / "matrix.safetensors"), "--out", str(out)]) == 0
    card = json.loads((out / "card.json").read_text())
    assert card["model"] == "out" and card["settings"] == "tiny.yaml" and card["seeds"] == [7] and card["gpus"] == 0
    assert (out / "curve.csv").read_text().splitlines()[0] == "step,loss,val_loss,learning_rate,seed"
    assert len((out / "curve.csv").read_text().splitlines()) == 3
    model = Model.load(out)
    assert list(model.nets) == [7] and model.settings.training.steps == 6 and not (out / "checkpoints").exists()


def test_a_model_may_stand_in_a_file_of_several_or_in_json(settings, folder):  # noqa: F811
    tensors, study = str(folder / "matrix.safetensors"), folder / "study.yaml"
    study.write_text(yaml.safe_dump({"title": "whatever", "models": {"flow": MODEL}}))
    assert __main__.main([str(study), "flow", tensors, "--out", str(folder / "one")]) == 0
    (folder / "model.json").write_bytes((folder / "one/model.json").read_bytes())
    assert __main__.main([str(folder / "model.json"), tensors, "--out", str(folder / "two")]) == 0
    one, two = (load_file(folder / name / "weights/7.safetensors") for name in ("one", "two"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        ({}, "flwo", "has no model 'flwo'; expected one of []"),
        ({"nett": "lean"}, None, "unknown key 'nett'; expected some of label"),
        ({"net": "leen"}, None, "'leen' is no preset; expected one of ['lean', 'published', 'rows_cpu', 'rows_gpu', 'rows_small']"),
        ({"objective": {"name": "diffusion"}}, None, "sampler 'euler' cannot sample a diffusion model"),
        ({"representation": "unimat"}, None, "matrix.safetensors: lacks"),
    ],
)
def test_what_is_wrong_is_one_line(settings, folder, capsys, change, name, message):  # noqa: F811
    settings.write_text(yaml.safe_dump(MODEL | change))
    given = [str(settings), *([name] if name else []), str(folder / "matrix.safetensors"), "--out", str(folder / "out")]
    assert __main__.main(given) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1


def launched(count: int, settings, tensors, out) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "--master-port=0", "--standalone"]
    command += ["-m", "crystalgen.generative", str(settings), str(tensors), "--out", str(out)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_two_processes_share_batches_and_end_where_one_does(settings, folder):  # noqa: F811
    tensors = folder / "matrix.safetensors"
    __main__.main([str(settings), str(tensors), "--out", str(folder / "one")])
    done = launched(2, settings, tensors, folder / "two")
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(folder / name / "weights/7.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=2e-5), name
    assert done.stderr.count("step 6/6") == 1, "one of them speaks"
    assert any(not torch.equal(value, two[name]) for name, value in one.items()), "another order of sums: there were two"


def test_batches_that_cannot_be_shared_evenly_are_refused(settings, folder):  # noqa: F811
    text = settings.read_text().replace("batch_size: 8", "batch_size: 7")
    settings.write_text(text)
    done = launched(2, settings, folder / "matrix.safetensors", folder / "out")
    assert done.returncode != 0 and "expected a multiple of the 2 processes" in done.stderr
