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

from crystalgen.generative.data.format import TRAIN, VAL
from crystalgen.generative.data.matrix import Batch, MatrixData
from crystalgen.generative.data.pairs import PairData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.generative.objectives.settings import Flow
from crystalgen.generative.settings import MatrixModel, Sampling, Training, UniMatModel
from crystalgen.generative.train import _drop_conditions, _item_batches, ema, train
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors

JOB = """
import sys
from pathlib import Path
from safetensors.torch import save_file
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.settings import MatrixModel
from crystalgen.generative.train import train
folder, config = Path(sys.argv[1]), MatrixModel.model_validate_json(sys.argv[2])
data, checkpoint = MatrixData(folder / "data.safetensors"), folder / sys.argv[4]
done = train(lambda: config.net.build(data.codec), config.objective.build(), data, config.training, 42, checkpoint, "same")
save_file(done.net.state_dict(), folder / sys.argv[3])
print("resumed" if done.resumed else "fresh")
"""


def small_model(**training) -> MatrixModel:
    settings = {"steps": 12, "batch_size": 8, "warmup": 2, "ema": 0.9, "threads": 1, "report_every": 4, "checkpoint_every": 4} | training
    net = UNet1dConfig(channels=16, multipliers=(1, 2), blocks=1, attention=(1,), heads=2, dropout=0.1)
    return MatrixModel(net=net, objective=Flow(), training=Training(**settings), sampling={"a": Sampling(sampler="euler", steps=5)})


@pytest.fixture
def job(tmp_path, crystals):
    """A folder with a data file for training; whole formulas are on one side, as polymorph pairs need it."""
    split = np.where(crystals.groupby("formula").ngroup() % 5 == 0, "val", "train").astype(object)
    energies = np.linspace(-1, 1, len(crystals))
    table = crystals.assign(split=split, formation_energy_per_atom=energies, energy_source="made up")
    save_tensors(matrix_tensors(table), tmp_path / "data.safetensors")
    save_tensors(unimat_tensors(table), tmp_path / "unimat.safetensors")
    return tmp_path


def run(folder: Path, model: MatrixModel, fingerprint: str = "same", seed: int = 42, data=None, objective=None, file: str = "run.pt"):
    data = data or MatrixData(folder / "data.safetensors")
    objective = objective or model.objective.build()
    return train(lambda: model.net.build(data.codec), objective, data, model.training, seed, folder / file, fingerprint)


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


class Spy:
    """An objective that notes what it is shown, and may fail at a call."""

    def __init__(self, settings, fails_at: int | None = None):
        self.inner, self.fails_at, self.conditions = settings.build(), fails_at, []
        self.loss = self.inner.loss

    def corrupt(self, x, condition, generator):
        if len(self.conditions) == self.fails_at:
            raise RuntimeError("stop")
        self.conditions.append(condition)
        return self.inner.corrupt(x, condition, generator)


# Killed, and taken up again


def command(folder: Path, model: MatrixModel, result: str, checkpoint: str) -> list[str]:
    return [sys.executable, "-c", JOB, str(folder), model.model_dump_json(), result, checkpoint]


def test_a_killed_training_ends_in_the_same_weights(job):
    """SIGKILL at an arbitrary moment after the first checkpoint, with dropout on, then run again."""
    model = small_model(steps=250)
    whole = subprocess.run(command(job, model, "whole.safetensors", "whole.pt"), check=True, capture_output=True, text=True)
    assert "fresh" in whole.stdout
    started = command(job, model, "resumed.safetensors", "run.pt")
    process = subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (job / "run.pt").exists():
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.005)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (job / "resumed.safetensors").exists()
    again = subprocess.run(started, check=True, capture_output=True, text=True)
    assert "resumed" in again.stdout
    expected, found = load_file(job / "whole.safetensors"), load_file(job / "resumed.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_finished_run_is_taken_up_without_a_step(job):
    model = small_model()
    first = run(job, model)
    assert (job / "run.pt").exists(), "until whoever has saved the result removes it"
    spy = Spy(model.objective)
    again = run(job, model, objective=spy)
    assert spy.conditions == []
    assert again.resumed and not first.resumed
    assert again.curve == first.curve
    assert again.seconds == first.seconds
    assert same_weights(first.net, again.net)


def test_a_checkpoint_between_two_reports_loses_no_loss(job):
    model = small_model(steps=12, report_every=4, checkpoint_every=3)
    expected = run(job, model, file="whole.pt")
    with pytest.raises(RuntimeError, match="stop"):
        run(job, model, objective=Spy(model.objective, fails_at=8))  # with one batch of validation, in step 8
    assert torch.load(job / "run.pt", weights_only=True)["state"]["step"] == 6
    found = run(job, model)
    assert found.resumed
    assert found.curve == expected.curve


def test_nothing_to_train_on_is_said(job, monkeypatch):
    monkeypatch.setattr(MatrixData, "epoch", lambda self, generator: self.items(TRAIN)[:0])
    with pytest.raises(ValueError, match="nothing to train on"):
        run(job, small_model())


def test_a_checkpoint_of_another_run_is_not_taken_up(job):
    model = small_model()
    expected = run(job, model, "this", file="whole.pt")
    with pytest.raises(RuntimeError, match="stop"):
        run(job, model, "other", objective=Spy(model.objective, fails_at=10))
    assert (job / "run.pt").exists()
    found = run(job, model, "this")
    assert not found.resumed
    assert same_weights(expected.net, found.net)


def test_a_run_that_failed_goes_on_from_its_checkpoint(job):
    model = small_model()
    expected = run(job, model, file="whole.pt")
    with pytest.raises(RuntimeError, match="stop"):
        run(job, model, objective=Spy(model.objective, fails_at=12))
    found = run(job, model)
    assert found.resumed
    assert found.curve == expected.curve
    assert same_weights(expected.net, found.net)


# Seeds


def test_seeds_decide_the_weights(job):
    first, again, other = (run(job, small_model(), seed=seed, file=f"{i}.pt") for i, seed in enumerate((1, 1, 2)))
    assert same_weights(first.net, again.net)
    assert not same_weights(first.net, other.net)
    assert (first.seed, other.seed) == (1, 2)


@pytest.mark.parametrize("seed", [0, 20_260_131, 2**31 - 1])
def test_any_seed_will_do(job, seed):
    assert len(run(job, small_model(steps=1), seed=seed).curve) == 1


# Learning


def test_training_learns(job):
    curve = run(job, small_model(steps=300, batch_size=32, learning_rate=3e-3, report_every=50, checkpoint_every=300)).curve
    assert curve[-1]["loss"] < 0.6 * curve[0]["loss"]
    assert [row["step"] for row in curve] == [50, 100, 150, 200, 250, 300]
    assert all(math.isfinite(row["val_loss"]) for row in curve)


def test_a_loss_that_is_not_finite_names_the_step(job):
    class Broken(Spy):
        def corrupt(self, x, condition, generator):
            x_t, t, target, scale = super().corrupt(x, condition, generator)
            return x_t, t, target * torch.nan, scale

    with pytest.raises(FloatingPointError, match="step 0"):
        run(job, small_model(), objective=Broken(Flow()))


def test_gradients_are_clipped(job, monkeypatch):
    """Adam's first step is independent of the gradient's size, so look at the gradient itself."""
    norms, original = [], torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in parameters]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    run(job, small_model(steps=1, clip=1e-3, warmup=1))
    assert 0 < norms[0] <= 1.001e-3


def test_the_average_reaches_its_decay_and_forgets_its_start():
    average, value = [torch.zeros(1)], [torch.ones(1)]
    update = ema(0.9)
    for count in range(1, 60):
        update(average, value, torch.tensor(count))
    assert average[0].item() == pytest.approx(1.0, abs=0.01)
    update(average, [torch.zeros(1)], torch.tensor(1000))
    assert average[0].item() == pytest.approx(0.9, abs=0.01)


# Epochs


def test_each_epoch_sees_every_item_once_in_an_order_of_its_own(job):
    data = MatrixData(job / "data.safetensors")
    items = len(data.epoch(torch.Generator()))
    batches = _item_batches(data, 1, 42, 0)
    first, second = (torch.cat([next(batches) for _ in range(items)]) for _ in range(2))
    assert torch.equal(first.sort().values, second.sort().values) and len(first.unique()) == items
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", [MatrixData, lambda path: PairData(path, per_group=2)])
def test_batches_taken_up_in_the_middle_are_those_of_a_whole_run(job, kind):
    data = kind(job / "data.safetensors")
    whole, later = _item_batches(data, 7, 42, 0), _item_batches(data, 7, 42, 16)
    skipped = [next(whole) for _ in range(25)][16:]
    assert len(data.epoch(torch.Generator())) < 16 * 7, "so that whole epochs are skipped"
    assert all(torch.equal(a, next(later)) for a in skipped)


def test_a_training_set_smaller_than_a_batch_is_taken_whole(job):
    data = MatrixData(job / "data.safetensors")
    items = len(data.epoch(torch.Generator()))
    assert len(next(_item_batches(data, 10 * items, 42, 0))) == items
    assert len(run(job, small_model(batch_size=10 * items)).curve) == 3


def test_pairs_are_drawn_anew_for_each_epoch_of_training(job):
    """B's published code drew them once. Here the batches of each epoch hold other pairs, of the training side alone."""
    data, seen = PairData(job / "data.safetensors", per_group=1), []
    draw, take = data.epoch, data.batch
    per_epoch = len(draw(torch.Generator()))
    drawn = []
    data.epoch = lambda generator: drawn.append(draw(generator)) or drawn[-1]
    data.batch = lambda items, generator=None: seen.append(items) or take(items, generator)
    model = small_model(steps=per_epoch // 4 * 3, batch_size=4, report_every=10**6, checkpoint_every=10**6)
    run(job, model, data=data)
    batches = per_epoch // 4
    validation = {tuple(pair) for pair in data.items(VAL).tolist()}
    assert batches > 1 and validation
    epochs = [{tuple(pair) for items in seen[i * batches : (i + 1) * batches] for pair in items.tolist()} for i in range(3)]
    assert not any(epoch & validation for epoch in epochs)
    assert {tuple(pair) for items in seen[3 * batches :] for pair in items.tolist()} == validation
    for one, other in ((0, 1), (1, 2)):
        assert len(epochs[one] - epochs[other]) > 0.2 * per_epoch
    assert len({tuple(sorted(map(tuple, items.tolist()))) for items in drawn}) >= 3


# Energies withheld


def _batch(count: int) -> Batch:
    condition = {"energy": torch.randn(count), "energy_known": torch.ones(count, dtype=torch.bool)}
    return Batch(torch.zeros(count, 2, 3), torch.ones(1), condition)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_about_that_share_of_energies_is_withheld_and_again_the_same(share):
    batch = _batch(4000)
    known = _drop_conditions(batch, share, 3).condition["energy_known"]
    assert known.float().mean().item() == pytest.approx(1 - share, abs=0.03)
    assert torch.equal(known, _drop_conditions(batch, share, 3).condition["energy_known"])
    if share in (0.1, 0.5):
        assert not torch.equal(known, _drop_conditions(batch, share, 4).condition["energy_known"])
    assert batch.condition["energy_known"].all(), "the data are left alone"


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_energies_are_withheld_in_training_and_never_in_validation(job, share):
    """The validation loss stays comparable, and only then the vector for an unknown energy is learnt."""
    model, spy = small_model(steps=24, condition_dropout=share, report_every=24, checkpoint_every=24), Spy(Flow())
    net = run(job, model, objective=spy).net
    known = [condition["energy_known"] for condition in spy.conditions]
    assert torch.cat(known[:24]).float().mean().item() == pytest.approx(1 - share, abs=0.15)
    assert len(known) > 24 and torch.cat(known[24:]).all()
    assert bool((net.energy.unknown != 0).any()) == (share > 0)


def test_a_model_without_an_energy_has_none_to_drop_conditions(job):
    data = UniMatData(job / "unimat.safetensors")
    model = UniMatModel.model_validate(
        {
            "net": {"channels": 8, "multipliers": [1], "heads": 2},
            "training": {"steps": 2, "batch_size": 4, "condition_dropout": 0.5, "threads": 1, "report_every": 2},
            "sampling": {"a": {"sampler": "ddim", "steps": 2}},
        }
    )
    assert math.isfinite(run(job, model, data=data).curve[-1]["loss"])
