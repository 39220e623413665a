"""The training loop: what is killed goes on, what is wrong is said, what repeats is the same."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crystalgen.config import Flow, MatrixModel, Sampling, Training, UNet1dConfig
from crystalgen.nets.build import build_net, load_net, save_net
from crystalgen.objectives import build_objective
from crystalgen.represent.tensors import matrix_tensors, save_tensors
from crystalgen.tensors import VAL, load_data
from crystalgen.training import _ema, _row_batches, train

JOB = """
import sys
from pathlib import Path
from crystalgen.config import MatrixModel
from crystalgen.nets.build import build_net, save_net
from crystalgen.objectives import build_objective
from crystalgen.tensors import load_data
from crystalgen.training import train
folder, config = Path(sys.argv[1]), MatrixModel.model_validate_json(sys.argv[2])
data = load_data("matrix", folder / "data.safetensors")
done = train(lambda: build_net(config, data), build_objective(config.objective), data, config.training, folder / "run.pt", "same")
save_net(done.net, folder / sys.argv[3])
print("resumed" if done.resumed else "fresh")
"""


def small_model(**training) -> MatrixModel:
    settings = {"steps": 12, "batch_size": 8, "warmup": 2, "ema": 0.9, "threads": 1, "report_every": 4, "checkpoint_every": 4} | training
    net = UNet1dConfig(channels=16, multipliers=(1, 2), blocks=1, attention=(1,), heads=2, dropout=0.1)
    return MatrixModel(net=net, objective=Flow(), training=Training(**settings), sampling=Sampling(sampler="euler", steps=5))


@pytest.fixture
def job(tmp_path, crystals):
    """A folder with a data file for training."""
    split = np.where(np.arange(len(crystals)) % 5 == 0, "val", "train").astype(object)
    energies = np.linspace(-1, 1, len(crystals))
    save_tensors(matrix_tensors(crystals.assign(split=split, formation_energy_per_atom=energies)), tmp_path / "data.safetensors")
    return tmp_path


def run(folder: Path, model: MatrixModel, fingerprint: str = "same"):
    data = load_data("matrix", folder / "data.safetensors")
    objective = build_objective(model.objective)
    return train(lambda: build_net(model, data), objective, data, model.training, folder / "run.pt", fingerprint)


def command(folder: Path, model: MatrixModel, result: str) -> list[str]:
    return [sys.executable, "-c", JOB, str(folder), model.model_dump_json(), result]


def test_a_killed_training_ends_in_the_same_weights(job):
    """SIGKILL at an arbitrary moment after the first checkpoint, with dropout on, then run again."""
    model = small_model(steps=400)
    whole = subprocess.run(command(job, model, "whole.safetensors"), check=True, capture_output=True, text=True)
    assert "fresh" in whole.stdout
    process = subprocess.Popen(command(job, model, "resumed.safetensors"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (job / "run.pt").exists():
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.005)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (job / "resumed.safetensors").exists()
    again = subprocess.run(command(job, model, "resumed.safetensors"), check=True, capture_output=True, text=True)
    assert "resumed" in again.stdout
    expected, found = load_file(job / "whole.safetensors"), load_file(job / "resumed.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not (job / "run.pt").exists()


def test_a_checkpoint_of_another_run_is_not_taken_up(job):
    model = small_model()
    expected = run(job, model, "this").net.state_dict()
    partial = small_model(steps=13, checkpoint_every=4)
    data = load_data("matrix", job / "data.safetensors")
    stop = RuntimeError("stop")

    class Stops:
        def __init__(self):
            self.inner, self.calls = build_objective(model.objective), 0

        def corrupt(self, x, generator):
            self.calls += 1
            if self.calls > 10:
                raise stop
            return self.inner.corrupt(x, generator)

    with pytest.raises(RuntimeError, match="stop"):
        train(lambda: build_net(model, data), Stops(), data, partial.training, job / "run.pt", "other")
    assert (job / "run.pt").exists()
    found = run(job, model, "this")
    assert not found.resumed
    assert all(torch.equal(value, found.net.state_dict()[name]) for name, value in expected.items())


def test_seeds_decide_the_weights(job):
    first, again, other = (run(job, small_model(seed=seed)).net.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_training_learns(job):
    curve = run(job, small_model(steps=300, batch_size=32, learning_rate=3e-3, report_every=50, checkpoint_every=300)).curve
    assert curve[-1]["loss"] < 0.6 * curve[0]["loss"]
    assert [row["step"] for row in curve] == [50, 100, 150, 200, 250, 300]
    assert all(math.isfinite(row["val_loss"]) for row in curve)


def test_a_loss_that_is_not_finite_names_the_step(job):
    class Broken:
        def corrupt(self, x, generator):
            return x, torch.zeros(len(x)), torch.full_like(x, torch.nan)

    model, data = small_model(), load_data("matrix", job / "data.safetensors")
    with pytest.raises(FloatingPointError, match="step 0"):
        train(lambda: build_net(model, data), Broken(), data, model.training, job / "run.pt", "x")


def test_gradients_are_clipped(job):
    """One step of plain size: Adam's first step is independent of the gradient's size, so look at the gradient itself."""
    model = small_model(steps=1, clip=1e-3, warmup=1)
    norms = []

    def make_net():
        net = build_net(model, load_data("matrix", job / "data.safetensors"))
        original = torch.optim.AdamW.step

        def spy(self, *args, **kwargs):
            norms.append(torch.nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None]))
            return original(self, *args, **kwargs)

        make_net.restore = original
        torch.optim.AdamW.step = spy
        return net

    data = load_data("matrix", job / "data.safetensors")
    try:
        train(make_net, build_objective(model.objective), data, model.training, job / "run.pt", "x")
    finally:
        torch.optim.AdamW.step = make_net.restore
    assert 0 < norms[0] <= 1.001e-3


def test_each_epoch_sees_every_row_once_in_an_order_of_its_own():
    rows, settings = torch.arange(100, 140), small_model(batch_size=8).training
    batches = _row_batches(rows, settings, 0)
    first, second = (torch.cat([next(batches) for _ in range(5)]) for _ in range(2))
    assert torch.equal(first.sort().values, rows) and torch.equal(second.sort().values, rows)
    assert not torch.equal(first, second)


def test_batches_taken_up_in_the_middle_are_those_of_a_whole_run():
    rows, settings = torch.arange(37), small_model(batch_size=8).training
    whole, later = _row_batches(rows, settings, 0), _row_batches(rows, settings, 6)
    skipped = [next(whole) for _ in range(10)][6:]
    assert all(torch.equal(a, next(later)) for a in skipped)


def test_the_average_reaches_its_decay_and_forgets_its_start():
    average, value = [torch.zeros(1)], [torch.ones(1)]
    update = _ema(0.9)
    for count in range(1, 60):
        update(average, value, torch.tensor(count))
    assert average[0].item() == pytest.approx(1.0, abs=0.01)
    update(average, [torch.zeros(1)], torch.tensor(1000))
    assert average[0].item() == pytest.approx(0.9, abs=0.01)


def test_saved_weights_give_the_same_network(job):
    model, data = small_model(), load_data("matrix", job / "data.safetensors")
    net = run(job, model).net
    save_net(net, job / "weights.safetensors")
    loaded = load_net(model, data, job / "weights.safetensors")
    batch = data.batch(data.rows(VAL))
    t = torch.full((len(batch.x),), 0.3)
    assert torch.equal(net(batch.x, t, batch.condition), loaded(batch.x, t, batch.condition))


def test_missing_weights_say_what_to_run(job):
    with pytest.raises(FileNotFoundError, match="run the training stage"):
        load_net(small_model(), load_data("matrix", job / "data.safetensors"), job / "none.safetensors")
