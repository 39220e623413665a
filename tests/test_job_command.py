"""A training job without a pipeline: the files it leaves, and batches shared among processes."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from conftest import ROOT
from safetensors.torch import load_file
from test_jobs import folder  # noqa: F401  (a fixture: tensors of a few crystals)

from crystalgen.config import read_study
from crystalgen.config.compose import compose
from crystalgen.generative import __main__
from crystalgen.generative.jobs import load_data, load_nets
from crystalgen.generative.settings import MatrixModel

TRAINING = {"steps": 6, "batch_size": 8, "threads": 1, "report_every": 3, "checkpoint_every": 3, "seeds": [7]}


@pytest.fixture
def study(tmp_path):
    content = compose(ROOT / "studies/smoke/study.yaml")
    model = content["models"]["matrix_generation_flow_uniform"]
    content["models"] = {"flow": model | {"training": TRAINING, "sampling": {"flow": {"sampler": "euler", "steps": 2}}}}
    content |= {"search": None, "energies": None, "sampler_steps": None}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def test_a_job_leaves_weights_a_curve_and_a_card(study, folder, capsys):  # noqa: F811
    out = folder / "out"
    assert __main__.main([str(study), "flow", str(folder / "matrix.safetensors"), "--out", str(out)]) == 0
    card = json.loads((out / "card.json").read_text())
    assert card["model"] == "flow" and card["study"] == "tiny" and card["seeds"] == [7] and card["gpus"] == 0
    assert (out / "curve.csv").read_text().splitlines()[0] == "step,loss,val_loss,learning_rate,seed"
    assert len((out / "curve.csv").read_text().splitlines()) == 3
    model = read_study(study).models["flow"]
    assert isinstance(model, MatrixModel)
    nets = load_nets(model, load_data(model, folder / "matrix.safetensors"), out / "weights")
    assert list(nets) == [7] and not (out / "checkpoints").exists()


def test_an_unknown_model_is_named(study, folder, capsys):  # noqa: F811
    with pytest.raises(SystemExit):
        __main__.main([str(study), "flwo", str(folder / "matrix.safetensors"), "--out", str(folder / "out")])
    assert "no model 'flwo'; expected one of ['flow']" in capsys.readouterr().err


def launched(count: int, study, tensors, out) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "--master-port=0", "--standalone"]
    command += ["-m", "crystalgen.generative", str(study), "flow", str(tensors), "--out", str(out)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_two_processes_share_batches_and_end_where_one_does(study, folder):  # noqa: F811
    tensors = folder / "matrix.safetensors"
    __main__.main([str(study), "flow", str(tensors), "--out", str(folder / "one")])
    done = launched(2, study, tensors, folder / "two")
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(folder / name / "weights/7.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=2e-5), name
    assert done.stderr.count("step 6/6") == 1, "one of them speaks"
    assert any(not torch.equal(value, two[name]) for name, value in one.items()), "another order of sums: there were two"


def test_batches_that_cannot_be_shared_evenly_are_refused(study, folder):  # noqa: F811
    text = study.read_text().replace("batch_size: 8", "batch_size: 7")
    study.write_text(text)
    done = launched(2, study, folder / "matrix.safetensors", folder / "out")
    assert done.returncode != 0 and "expected a multiple of the 2 processes" in done.stderr
