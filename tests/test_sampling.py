"""Sampling: a sample follows from the seed and its number, whatever the batches, and batches fit into memory."""

import pytest
import torch
from torch import nn

from crystalgen.generative import sample as sampling_module
from crystalgen.generative.objectives.settings import Diffusion, Flow, Regression
from crystalgen.generative.sample import batch_size, draw_samples
from crystalgen.generative.settings import Sampling

SHAPE, COUNT = (6, 3), 11
WAYS = {
    "flow": (Flow(), {"sampler": "euler", "steps": 4}),
    "flow from normal noise": (Flow(prior="normal"), {"sampler": "euler", "steps": 4}),
    "flow from a structure": (Flow(prior="structure"), {"sampler": "euler", "steps": 4}),
    "ddpm": (Diffusion(), {"sampler": "ddpm", "steps": 4}),
    "ddim": (Diffusion(), {"sampler": "ddim", "steps": 4}),
    "regression": (Regression(), {"sampler": "one_step", "steps": 1}),
}
EACH_WAY = pytest.mark.parametrize("way", WAYS)


class Small(nn.Module):
    """Acts value by value, so that a sample comes out the same to the last bit in any batch."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.7))
        self.bend, self.drop = nn.Tanh(), nn.Dropout(0.5)

    def forward(self, x, t, condition):
        told = torch.where(condition["energy_known"], condition["energy"], 0.0)
        return self.drop(self.bend(self.gain * x + t[:, None, None] + told[:, None, None]))


@pytest.fixture
def condition() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "energy": torch.randn(COUNT, generator=generator),
        "energy_known": torch.ones(COUNT, dtype=torch.bool),
        "start": torch.rand(COUNT, *SHAPE, generator=generator),
    }


def draw(way: str, condition: dict, count: int = COUNT, **settings) -> torch.Tensor:
    objective, sampling = WAYS[way]
    part = {name: value[:count] for name, value in condition.items()}
    return draw_samples(Small(), objective.build(), SHAPE, part, count, Sampling(**sampling | settings))


# Seeds and batches


@EACH_WAY
def test_a_sample_does_not_depend_on_its_batch_nor_on_how_many_are_asked_for(way, condition, monkeypatch):
    whole = draw(way, condition)
    assert whole.shape == (COUNT, *SHAPE)
    assert torch.equal(draw(way, condition, count=4), whole[:4])
    for size in (1, 4):
        monkeypatch.setitem(sampling_module.MAX_BATCH, "cpu", size)
        assert torch.equal(draw(way, condition), whole)


@EACH_WAY
def test_a_seed_gives_its_samples_again_and_another_gives_others(way, condition):
    first = draw(way, condition)
    torch.rand(13)
    assert torch.equal(draw(way, condition), first), "whatever was drawn before"
    same = {tuple(sample.flatten().tolist()) for sample in first} & {tuple(s.flatten().tolist()) for s in draw(way, condition, seed=1)}
    if way in ("flow from a structure", "regression"):
        assert len(same) == COUNT, "nothing is random"
    else:
        assert not same


@EACH_WAY
def test_samples_of_one_condition_differ_where_there_is_noise(way, condition):
    alike = {name: value[:1].expand(COUNT, *value.shape[1:]) for name, value in condition.items()}
    distinct = {tuple(sample.flatten().tolist()) for sample in draw(way, alike)}
    assert len(distinct) == (1 if way in ("flow from a structure", "regression") else COUNT)


def test_each_sample_has_its_own_condition(condition, monkeypatch):
    monkeypatch.setitem(sampling_module.MAX_BATCH, "cpu", 3)
    expected = torch.tanh(0.7 * condition["start"] + condition["energy"][:, None, None])
    torch.testing.assert_close(draw("regression", condition), expected)


@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_guidance_acts_in_every_batch(condition, monkeypatch, weight):
    monkeypatch.setitem(sampling_module.MAX_BATCH, "cpu", 4)
    told = torch.tanh(0.7 * condition["start"] + condition["energy"][:, None, None])
    untold = torch.tanh(0.7 * condition["start"])
    torch.testing.assert_close(draw("regression", condition, guidance=weight), (1 + weight) * told - weight * untold)


def test_nothing_asked_for_is_nothing_drawn(condition):
    class Joins(Small):
        def forward(self, x, t, condition):
            return super().forward(torch.cat([x, condition["start"]], dim=2)[..., :3], t, condition)

    objective, sampling = WAYS["flow"]
    none = {name: value[:0] for name, value in condition.items()}
    drawn = draw_samples(Joins(), objective.build(), SHAPE, none, 0, Sampling(**sampling))
    assert drawn.shape == (0, *SHAPE)


# Memory


@pytest.mark.parametrize(("free", "expected"), [(10**12, 256), (2 * 72 * 4 * 40, 40), (2 * 72 * 4 * 3.5, 3), (1, 1), (0, 1)])
def test_a_batch_is_what_a_quarter_of_the_free_memory_holds(condition, monkeypatch, free, expected):
    """The two layers of the network put out 6 x 3 floats each, 72 bytes, for a sample."""
    monkeypatch.setattr(sampling_module, "_free_memory", lambda device: int(free))
    net = Small()
    assert batch_size(net, SHAPE, {name: value[:1] for name, value in condition.items()}, torch.device("cpu")) == expected
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("free", [10**12, 2 * 72 * 4 * 3, 1])
def test_no_batch_is_larger_than_its_size(condition, monkeypatch, free):
    monkeypatch.setattr(sampling_module, "_free_memory", lambda device: free)
    sizes = []

    class Counts(Small):
        def forward(self, x, t, condition):
            sizes.append(len(x))
            return super().forward(x, t, condition)

    objective, sampling = WAYS["regression"]
    draw_samples(Counts(), objective.build(), SHAPE, condition, COUNT, Sampling(**sampling))
    probe, *sizes = sizes
    assert probe == 1
    assert sizes == {10**12: [11], 2 * 72 * 4 * 3: [3, 3, 3, 2], 1: [1] * 11}[free]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@EACH_WAY
def test_a_gpu_starts_from_the_same_noise(way, condition):
    objective, sampling = WAYS[way]
    here = draw(way, condition)
    there = draw_samples(Small().cuda(), objective.build(), SHAPE, condition, COUNT, Sampling(**sampling))
    torch.testing.assert_close(there, here, atol=1e-4, rtol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_samples_what_has_no_condition():
    class Free(Small):
        def forward(self, x, t, condition):
            return self.bend(self.gain * x)

    objective, sampling = WAYS["ddim"]
    assert draw_samples(Free().cuda(), objective.build(), SHAPE, {}, 3, Sampling(**sampling)).shape == (3, *SHAPE)
