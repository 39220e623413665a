"""The transformer over rows: what it hears, what it must not see, and batches without padding."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from crystalgen.generative.data.format import TRAIN, VAL
from crystalgen.generative.data.matrix import MatrixData, reordered
from crystalgen.generative.jobs import load_data, run_job, trained_model
from crystalgen.generative.nets.rows.model import RowTransformer, _place, ranks
from crystalgen.generative.nets.rows.settings import RowsConfig
from crystalgen.generative.settings import MatrixModel
from crystalgen.generative.train import _drop_space_groups, _item_batches
from crystalgen.represent.tensors import matrix_tensors, save_tensors

ROWS = 12


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def a_net(outputs: int = 1, rows: int = ROWS, **config) -> RowTransformer:
    net = RowTransformer(rows, RowsConfig(channels=32, blocks=2, heads=4, **config), outputs=outputs)
    for leave in (net.leave_atoms, net.leave_lattice):  # they start as zero
        nn.init.normal_(leave.weight)
    return net.eval()


def conditions() -> dict[str, torch.Tensor]:
    numbers = torch.zeros(3, ROWS, dtype=torch.long)
    for i, atoms in enumerate(([73, 5, 5, 5, 5, 5, 5, 5], [22, 22, 8, 8, 8], [26])):
        numbers[i, : len(atoms)] = torch.tensor(atoms)
    return {
        "atomic_numbers": numbers,
        "space_group": torch.tensor([225, 1, 62]),
        "energy": torch.randn(3),
        "energy_known": torch.ones(3, dtype=torch.bool),
        "start": torch.rand(3, ROWS, 3),
    }


def held(condition: dict) -> torch.Tensor:
    rows = condition["atomic_numbers"] > 0
    rows[:, -3:] = True
    return rows


@pytest.mark.parametrize("outputs", [1, 8])
@torch.no_grad()
def test_every_input_is_heard_and_samples_are_treated_apart(outputs):
    net, x, t, condition = a_net(outputs, start=True), torch.rand(3, ROWS, 3), torch.rand(3), conditions()
    out = net(x, t, condition)
    assert out.shape == ((3, ROWS, 3) if outputs == 1 else (3, ROWS, 3, outputs))
    for i in range(3):  # alone, a crystal has no padding, or less
        one = net(x[i : i + 1], t[i : i + 1], {k: v[i : i + 1] for k, v in condition.items()})
        torch.testing.assert_close(one, out[i : i + 1], atol=1e-5, rtol=1e-4)
    changes = {
        "energy": condition["energy"] + 1,
        "energy_known": ~condition["energy_known"],
        "space_group": condition["space_group"] + 1,
        "atomic_numbers": torch.where(condition["atomic_numbers"] > 0, condition["atomic_numbers"] + 7, 0),
        "start": condition["start"] + 0.2,
    }
    for name, value in changes.items():
        assert (net(x, t, condition | {name: value}) - out).abs().flatten(1).amax(dim=1).min() > 1e-3, name
    assert not torch.allclose(net(x, 1 - t, condition), out, atol=1e-3)
    for row in (0, -1):
        moved = x.clone()
        moved[:, row] += 0.3
        assert (net(moved, t, condition) - out)[held(condition)].abs().max() > 1e-3


@torch.no_grad()
def test_what_stands_in_padding_and_how_much_there_is_changes_nothing():
    net, x, t, condition = a_net(), torch.rand(3, ROWS, 3), torch.rand(3), conditions()
    means = held(condition)[..., None]
    out = net(x, t, condition)
    noisy = torch.where(means, x, torch.full_like(x, torch.nan))
    torch.testing.assert_close(net(noisy, t, condition), out, atol=1e-6, rtol=1e-5)
    assert (out * ~means == 0).all()
    kept = [*range(8), *range(ROWS - 3, ROWS)]
    trimmed = net(x[:, kept], t, condition | {"atomic_numbers": condition["atomic_numbers"][:, kept]})
    torch.testing.assert_close(trimmed, out[:, kept], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_atoms_of_an_element_may_change_places_unless_they_are_ranked():
    x, t, condition = torch.rand(3, ROWS, 3), torch.rand(3), conditions()
    order = torch.arange(ROWS).repeat(3, 1)
    order[0, 1:8] = torch.tensor([4, 2, 7, 1, 3, 6, 5])
    order[1, 2:5] = torch.tensor([4, 2, 3])
    moved = x.gather(1, order[..., None].expand_as(x))
    for ranked in (False, True):
        net = a_net(rank=ranked)
        out, other = net(x, t, condition), net(moved, t, condition)
        same = torch.allclose(other, out.gather(1, order[..., None].expand_as(out)), atol=1e-5, rtol=1e-4)
        assert same != ranked


@torch.no_grad()
def test_coordinates_are_periodic_and_hidden_ones_are_not_seen():
    net, x, t, condition = a_net(), torch.rand(3, ROWS, 3), torch.rand(3), conditions()
    turned = x.clone()
    turned[:, :-3] += torch.randint(-2, 3, (3, ROWS - 3, 3))
    torch.testing.assert_close(net(turned, t, condition), net(x, t, condition), atol=1e-4, rtol=1e-4)
    hidden = torch.rand(x.shape) < 0.5
    one, other = (torch.where(hidden, torch.nan, x), torch.where(hidden, torch.nan, torch.where(hidden, 0.7, x)))
    assert torch.equal(net(one, t, condition), net(other, t, condition))
    zero = torch.where(hidden, 0.0, x)
    assert not torch.allclose(net(zero, t, condition), net(one, t, condition), atol=1e-3), "hidden is not zero"


def test_ranks_and_places_of_elements():
    rank, place = ranks(torch.tensor([[73, 5, 5, 5, 0, 0], [8, 8, 26, 26, 8, 7]]))
    assert rank[0, :4].tolist() == [0, 0, 1, 2] and place[0, :4].tolist() == [0, 1, 1, 1]
    assert rank[1].tolist() == [0, 1, 0, 1, 2, 0] and place[1].tolist() == [0, 0, 1, 1, 0, 2]
    table = {
        1: (1, 1),
        2: (1, 18),
        4: (2, 2),
        5: (2, 13),
        14: (3, 14),
        26: (4, 8),
        57: (6, 3),
        64: (6, 3),
        72: (6, 4),
        92: (7, 3),
        118: (7, 18),
    }
    assert {z: _place(z) for z in table} == table


# Data


@pytest.fixture
def file(tmp_path, crystals):
    split = np.where(np.arange(len(crystals)) % 7 == 0, "val", "train").astype(object)
    table = crystals.assign(split=split, formation_energy_per_atom=np.linspace(-1, 1, len(crystals)), energy_source="made up")
    save_tensors(matrix_tensors(table), tmp_path / "data.safetensors")
    return tmp_path / "data.safetensors"


def test_batches_are_of_a_length_cover_an_epoch_and_go_on_where_they_were_left(file):
    data = MatrixData(file, trim=True)
    items = data.items(TRAIN)
    count = sum(-(-int(n) // 4) for n in torch.unique(data.lengths(items), return_counts=True)[1])
    batches = _item_batches(data, 4, 1, 0, by_length=True)
    epochs = [[next(batches) for _ in range(count)] for _ in range(2)]
    for epoch in epochs:
        assert sorted(torch.cat(epoch).tolist()) == items.tolist()
        for batch in epoch:
            assert len(data.lengths(batch).unique()) == 1
            assert data.batch(batch).x.shape[1] == int(data.lengths(batch)[0]) + 3
    assert [b.tolist() for b in epochs[0]] != [b.tolist() for b in epochs[1]]
    later = _item_batches(data, 4, 1, count + 3, by_length=True)
    assert next(later).tolist() == epochs[1][3].tolist()


def test_atoms_change_places_within_their_element_alone():
    numbers = torch.tensor([[73, 74, 5, 5, 5, 0, 0, 0, 0]]).repeat(400, 1)
    order = reordered(numbers, torch.Generator().manual_seed(0))
    assert torch.equal(numbers.gather(1, order), numbers)
    assert torch.equal(order.sort(dim=1).values, torch.arange(9).repeat(400, 1))
    assert torch.equal(order[:, 5:], torch.arange(5, 9).repeat(400, 1))
    found = {tuple(row) for row in order[:, 2:5].tolist()}
    assert len(found) == 6
    kept = (order == torch.arange(9)).all(dim=1).float().mean().item()
    assert kept == pytest.approx(0.5 + 0.5 / 6, abs=0.08)


def test_augmented_crystals_are_the_same_crystals(file):
    data, items = MatrixData(file, ("order",)), torch.arange(6)
    plain, other = data.batch(items), data.batch(items, torch.Generator().manual_seed(3))
    assert not torch.equal(plain.x, other.x)
    assert torch.equal(plain.condition["atomic_numbers"], other.condition["atomic_numbers"])
    for numbers, one, two in zip(plain.condition["atomic_numbers"], plain.x, other.x, strict=True):
        rows = [sorted((int(z), *site) for z, site in zip(numbers, x.tolist(), strict=True)) for x in (one, two)]
        assert rows[0] == rows[1]


def test_space_groups_are_dropped_apart_from_energies(file):
    data = MatrixData(file)
    batch = data.batch(torch.arange(40))
    dropped = _drop_space_groups(batch, 0.5, 1).condition["space_group"]
    shown = batch.condition["space_group"]
    assert ((dropped == shown) | (dropped == 0)).all()
    assert 5 < int((dropped == 0).sum() - (shown == 0).sum()) < 35
    assert _drop_space_groups(batch, 0.0, 1) is batch


# Whole runs


def a_model(objective, sampler: str, task: str = "generation") -> MatrixModel:
    return MatrixModel.model_validate({
        "task": task,
        "net": {"name": "rows", "channels": 16, "blocks": 1, "heads": 2, "start": task == "modification"},
        "objective": objective,
        "augment": ["order"],
        "training": {"steps": 6, "batch_size": 8, "warmup": 2, "batches": "length", "space_group_dropout": 0.5, "condition_dropout": 0.5,
                     "report_every": 3, "checkpoint_every": 3},
        "sampling": {"a": {"sampler": sampler, "steps": 4, "withhold": ["space_group", "formation_energy_per_atom"]}},
    })  # fmt: skip


OBJECTIVES = [
    ({"name": "flow", "wrapped": True}, "euler"),
    ({"name": "endpoint"}, "euler"),
    ({"name": "bins", "bins": 8}, "euler"),
    ({"name": "masked", "bins": 8}, "unmask"),
    ({"name": "masked", "bins": 8, "unit": "value"}, "unmask"),
]


@pytest.mark.parametrize(("objective", "sampler"), OBJECTIVES)
def test_a_run_goes_on_exactly_is_saved_and_samples_what_it_is_asked(file, tmp_path, objective, sampler, monkeypatch):
    model = a_model(objective, sampler)
    whole = run_job(model, file, tmp_path / "whole")[0]
    calls, step = [], MatrixData.batch

    def failing(self, items, generator=None):
        calls.append(generator)
        if sum(g is not None for g in calls) > 5:
            raise RuntimeError("killed")
        return step(self, items, generator)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(MatrixData, "batch", failing)
        run_job(model, file, tmp_path / "parts")
    again = run_job(model, file, tmp_path / "parts")
    assert again[0].resumed
    assert all(torch.equal(a, b) for a, b in zip(whole.net.state_dict().values(), again[0].net.state_dict().values(), strict=True))
    trained, data = trained_model(model, file, again), load_data(model, file)
    trained.save(tmp_path / "saved")
    condition = data.condition(torch.arange(5))
    drawn = type(trained).load(tmp_path / "saved").sample(condition, model.sampling["a"])
    assert drawn.shape == (5, *data.codec.shape) and drawn.isfinite().all()
    torch.testing.assert_close(drawn, trained.sample(condition, model.sampling["a"]))
    other = condition | {"space_group": torch.full((5,), 225), "energy": torch.zeros(5)}
    torch.testing.assert_close(trained.sample(other, model.sampling["a"]), drawn)


def test_training_goes_on_from_trained_weights(file, tmp_path):
    model = a_model({"name": "masked", "bins": 8}, "unmask")
    trained = run_job(model, file, tmp_path / "first")
    trained_model(model, file, trained).save(tmp_path / "saved")
    slow = model.model_copy(update={"training": model.training.model_copy(update={"learning_rate": 1e-12})})
    fresh = run_job(slow, file, tmp_path / "states")[0].net.state_dict()
    again = run_job(slow, file, tmp_path / "states", start=tmp_path / "saved")[0]
    assert not again.resumed, "a run from other weights is another run"
    for name, value in trained[0].net.state_dict().items():
        torch.testing.assert_close(again.net.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    assert any(not torch.allclose(fresh[name], value, atol=1e-4) for name, value in again.net.state_dict().items())


@pytest.mark.parametrize(
    ("objective", "sampler"),
    [
        ({"name": "flow", "prior": "structure", "wrapped": True}, "euler"),
        ({"name": "endpoint", "start_time": 0.5}, "euler"),
        ({"name": "bins", "bins": 8, "start_time": 0.5}, "euler"),
        ({"name": "masked", "bins": 8}, "unmask"),
    ],
)
def test_a_modification_is_trained_and_sampled(tmp_path, crystals, objective, sampler):
    energies = np.linspace(-1, 1, len(crystals))
    table = crystals.assign(split="train", formation_energy_per_atom=energies, energy_source="made up")
    table.loc[table["formula"] == table["formula"].mode()[0], "split"] = "val"
    save_tensors(matrix_tensors(table), tmp_path / "pairs.safetensors")
    model = a_model(objective, sampler, "modification")
    trained = trained_model(model, tmp_path / "pairs.safetensors", run_job(model, tmp_path / "pairs.safetensors", tmp_path / "states"))
    data = load_data(model, tmp_path / "pairs.safetensors")
    condition = data.condition(data.items(VAL)[:4])
    drawn = trained.sample(condition, model.sampling["a"])
    assert len(drawn) > 0 and drawn.isfinite().all()
    other = condition | {"start": condition["start"] + 0.2}
    assert not torch.allclose(trained.sample(other, model.sampling["a"]), drawn, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": "lean", "objective": {"name": "bins"}}, "gives no posteriors"),
        ({"net": "lean", "training": {"steps": 1, "batches": "length"}}, "expected net rows"),
        ({"objective": {"name": "bins"}, "sampling": {"a": {"sampler": "unmask", "steps": 1}}}, "cannot sample a bins model"),
        ({"objective": {"name": "bins", "start_time": 0.5}}, "no structure to start from"),
        ({"objective": {"name": "masked"}, "sampling": {"a": {"sampler": "unmask", "steps": 1, "speed": 2}}}, "speed of masked"),
        ({"sampling": {"a": {"sampler": "euler", "steps": 1, "withhold": ["space_group"]}}}, "withholds space_group"),
        ({"net": {"name": "rows", "channels": 24, "heads": 5}}, "do not divide"),
        ({"objective": {"name": "masked", "bins": 2}, "sampling": {"a": {"sampler": "unmask", "steps": 1}}}, "greater than or equal to 4"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    settings = {"net": "rows_cpu", "training": {"steps": 1}, "sampling": {"a": {"sampler": "euler", "steps": 1}}} | changes
    with pytest.raises(ValidationError, match=message):
        MatrixModel.model_validate(settings)
