"""Training jobs: seeds apart and in order, nothing finished is trained again, and what makes a run another run."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from crystalgen.generative import jobs
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.data.pairs import PairData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.jobs import load_data, load_task, run_job, save_job, training_fingerprint
from crystalgen.generative.nets.conditioning import AuxiliaryEmbedding
from crystalgen.generative.objectives.flow import FlowMatching
from crystalgen.generative.settings import MatrixModel, UniMatModel
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors

STEPS = 6
SETTINGS = {
    "net": {"channels": 8, "multipliers": [1], "blocks": 1, "attention": [1], "heads": 2, "dropout": 0.1},
    "objective": {"name": "flow"},
    "training": {"steps": STEPS, "batch_size": 8, "threads": 1, "report_every": 2, "checkpoint_every": 2, "seeds": [7, 3]},
    "sampling": {"a": {"sampler": "euler", "steps": 2}},
}

KILLED = """
import os, signal, sys
from pathlib import Path
from crystalgen.generative.jobs import run_job
from crystalgen.generative.objectives.flow import FlowMatching
from crystalgen.generative.settings import MatrixModel

corrupt, calls = FlowMatching.corrupt, []

def deadly(*given):
    calls.append(1)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return corrupt(*given)

FlowMatching.corrupt = deadly
folder = Path(sys.argv[1])
run_job(MatrixModel.model_validate_json(sys.argv[2]), folder / "matrix.safetensors", folder / "checkpoints")
"""


def changed(where: tuple[str, ...] = (), **values) -> MatrixModel:
    """The small model with some values of the settings at `where` replaced."""
    settings = json.loads(json.dumps(SETTINGS))
    inner = settings
    for key in where:
        inner = inner.setdefault(key, {})
    inner.update(values)
    return MatrixModel.model_validate(settings)


@pytest.fixture
def folder(tmp_path, crystals):
    split = np.where(crystals.groupby("formula").ngroup() % 5 == 0, "val", "train").astype(object)
    table = crystals.assign(split=split, formation_energy_per_atom=np.linspace(-1, 1, len(crystals)), energy_source="made up")
    save_tensors(matrix_tensors(table), tmp_path / "matrix.safetensors")
    save_tensors(unimat_tensors(table), tmp_path / "unimat.safetensors")
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """How many batches objectives were shown in this process."""
    seen, corrupt = [], FlowMatching.corrupt
    monkeypatch.setattr(FlowMatching, "corrupt", lambda *given: seen.append(1) or corrupt(*given))
    return seen


def start(folder, model: MatrixModel, checkpoints: str = "checkpoints"):
    return run_job(model, folder / "matrix.safetensors", folder / checkpoints)


def same_weights(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.net.state_dict().values(), other.net.state_dict().values(), strict=True))


# Seeds


def test_seeds_are_trained_apart_in_their_order_however_many_at_a_time(folder):
    one_by_one = start(folder, changed(), checkpoints="a")
    together = start(folder, changed(("training",), processes=2), checkpoints="b")
    assert [run.seed for run in one_by_one] == [run.seed for run in together] == [7, 3]
    assert not same_weights(*one_by_one)
    for one, other in zip(one_by_one, together, strict=True):
        assert same_weights(one, other)
        assert one.curve == other.curve


def test_a_seed_alone_is_trained_as_among_others(folder):
    (alone,) = start(folder, changed(("training",), seeds=[3], processes=4), checkpoints="a")
    assert same_weights(alone, start(folder, changed(), checkpoints="b")[1])


# Killed jobs


def test_a_job_killed_in_its_second_seed_trains_the_first_no_more(folder, calls):
    """SIGKILL after the second seed's first checkpoint."""
    expected = start(folder, changed(), checkpoints="whole")
    per_seed = len(calls) // 2
    command = [sys.executable, "-c", KILLED, str(folder), changed().model_dump_json(), str(per_seed + 5)]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert sorted(path.name for path in (folder / "checkpoints").glob("*.pt")) == ["3.pt", "7.pt"]
    calls.clear()
    found = start(folder, changed())
    assert 0 < len(calls) < per_seed, "the rest of the second seed alone"
    assert [run.resumed for run in found] == [True, True]
    assert all(same_weights(a, b) and a.curve == b.curve for a, b in zip(expected, found, strict=True))


def test_checkpoints_of_another_job_are_not_taken_up(folder, calls):
    start(folder, changed())
    whole = len(calls)
    found = start(folder, changed(("training",), learning_rate=5e-4))
    assert len(calls) == 2 * whole
    assert not any(run.resumed for run in found)


def test_a_saved_job_leaves_its_weights_and_no_checkpoints(folder):
    model = changed()
    trained = start(folder, model)
    assert len(list((folder / "checkpoints").iterdir())) == 2
    save_job(model, folder / "matrix.safetensors", trained, folder / "out", folder / "checkpoints")
    assert not (folder / "checkpoints").exists()
    assert sorted(path.name for path in (folder / "out/weights").iterdir()) == ["3.safetensors", "7.safetensors"]
    loaded = Model.load(folder / "out")
    assert list(loaded.nets) == [7, 3] and list(Model.load(folder / "out", count=1).nets) == [7]
    for run in trained:
        assert all(torch.equal(value, loaded.nets[run.seed].state_dict()[name]) for name, value in run.net.state_dict().items())
        assert not loaded.nets[run.seed].training


# Data


def test_a_model_gets_the_data_of_its_task(folder):
    modification = {"task": "modification", "objective": {"name": "regression"}, "sampling": {"a": {"sampler": "one_step", "steps": 1}}}
    unimat = UniMatModel.model_validate({"training": {"steps": 1}, "sampling": {"a": {"sampler": "ddim", "steps": 2}}})
    matrix_file = folder / "matrix.safetensors"
    assert type(load_data(changed(), matrix_file)) is type(load_task("generation", matrix_file)) is MatrixData
    assert type(load_data(unimat, folder / "unimat.safetensors")) is UniMatData
    settings = changed(("training",), pairs_per_group=3).model_dump(mode="json") | modification
    pairs = load_data(MatrixModel.model_validate(settings), matrix_file)
    assert type(pairs) is type(load_task("modification", matrix_file)) is PairData
    assert pairs.per_group == 3


# What decides a run


@pytest.mark.parametrize(
    ("where", "values"),
    [
        (("training",), {"seeds": [1]}),
        (("training",), {"processes": 2}),
        (("sampling", "a"), {"steps": 9, "seed": 4}),
        (("sampling",), {"b": {"sampler": "euler", "steps": 3}}),
    ],
)
def test_what_does_not_decide_a_seeds_weights_leaves_the_fingerprint(folder, where, values):
    file = folder / "matrix.safetensors"
    assert changed(where, **values) != changed()
    assert training_fingerprint(changed(where, **values), file) == training_fingerprint(changed(), file)


@pytest.mark.parametrize(
    ("where", "values"),
    [
        (("training",), {"steps": 7}),
        (("training",), {"batch_size": 9}),
        (("training",), {"condition_dropout": 0.1}),
        (("training",), {"threads": 2}),
        (("net",), {"channels": 16}),
        (("net",), {"periodic": True}),
        (("objective",), {"prior": "normal"}),
        (("objective",), {"wrapped": True}),
        (("training",), {"pairs_per_group": 3}),
        ((), {"task": "modification", "objective": {"name": "flow", "prior": "structure"}}),
    ],
)
def test_what_decides_the_weights_decides_the_fingerprint(folder, where, values):
    file = folder / "matrix.safetensors"
    assert training_fingerprint(changed(where, **values), file) != training_fingerprint(changed(), file)


def test_other_data_are_another_run(folder):
    file = folder / "matrix.safetensors"
    before = training_fingerprint(changed(), file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert training_fingerprint(changed(), file) != before


class Told(torch.nn.Module):
    def __init__(self, *names: str, width: int = 4):
        super().__init__()
        self.body, self.auxiliary = torch.nn.Linear(width, width), AuxiliaryEmbedding(names, 4)


def test_a_network_takes_up_one_that_was_told_less_and_no_other(tmp_path):
    trained, file = Told(), tmp_path / "42.safetensors"
    save_file(trained.state_dict(), file)
    more = Told("formation_energy_per_atom")
    jobs._take_up(more, file)
    assert torch.equal(more.body.weight, trained.body.weight)
    with pytest.raises(ValueError, match="42.safetensors: weights of another network: .*size mismatch for body.weight"):
        jobs._take_up(Told(width=8), file)
    save_file(more.state_dict(), file)
    with pytest.raises(ValueError, match="another network: auxiliary.scalars.*only `input.conditions` may differ"):
        jobs._take_up(Told(), file)
