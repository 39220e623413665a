"""Bins, flows to an end and masked prediction, against networks that know the answer."""

import math

import pytest
import torch
from objective_case import seeded

from crystalgen.generative.binned import LATTICE_RANGE, Bins
from crystalgen.generative.objectives.settings import BinsFlow, Endpoint, Flow, Masked
from crystalgen.generative.sample import draw_samples
from crystalgen.generative.settings import Sampling
from crystalgen.generative.torus import shortest

ROWS, BATCH, K = 9, 6, 16


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def crystals() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Data with coordinates on and beside the boundary, lattices in and out of the bins' range; the last crystal is shorter."""
    x = torch.rand(BATCH, ROWS, 3)
    x[0, 0] = torch.tensor([0.0, 0.999, 0.001])
    x[1, -1] = torch.tensor([3.0, -2.0, 0.5])
    numbers = torch.zeros(BATCH, ROWS, dtype=torch.long)
    numbers[:, :5], numbers[-1, 3:] = 8, 0
    x[:, :-3][numbers[:, :-3] == 0] = 0
    return x, {"atomic_numbers": numbers}


def meaning(condition) -> torch.Tensor:
    rows = condition["atomic_numbers"] > 0
    rows[:, -3:] = True
    return rows[..., None].expand(-1, -1, 3)


def apart(one: torch.Tensor, other: torch.Tensor, condition) -> float:
    return float((shortest(one - other).abs() * meaning(condition)).max())


def known_posterior(x: torch.Tensor, count: int = K, offsets: bool = True) -> torch.Tensor:
    """What a network that knows the data answers."""
    off = Bins(count).from_centres(x)
    return torch.cat([-20 * off.square(), off if offsets else torch.zeros_like(off)], dim=3)


@pytest.mark.parametrize("count", [4, 16, 64])
def test_a_bin_is_within_half_a_bin_and_with_its_offset_the_value(count):
    bins, (x, condition) = Bins(count), crystals()
    coarse = bins.choose(known_posterior(x, count, offsets=False))[0]
    assert apart(bins.choose(known_posterior(x, count))[0], x, condition) < 1e-5
    off = shortest(coarse - x)
    assert off[:, :-3].abs().max() <= 0.5 / count + 1e-6
    inside = (x[:, -3:] > LATTICE_RANGE[0]) & (x[:, -3:] < LATTICE_RANGE[1])
    assert off[:, -3:].abs()[inside].max() <= bins.width / 2 + 1e-6
    assert not inside.all(), "of others, the offset is long"


def test_bins_are_a_ring_for_coordinates_and_a_line_for_lattices():
    bins = Bins(8)
    x = torch.tensor([[[0.99, 0.01, 0.5]], [[0.0, 0.5, 1.0]]]).repeat(1, 4, 1)
    off = bins.from_centres(x)
    torch.testing.assert_close(off[0, 0, 0, 0], torch.tensor(-0.08), atol=1e-4, rtol=0)
    assert off[:, 0].abs().max() <= 4 + 1e-4
    assert off[:, -1].abs().max() > 4


def test_the_loss_is_least_where_the_posterior_is_right():
    bins, (x, _) = Bins(K), crystals()
    right = bins.from_centres(x)
    soft = torch.cat([-right.square() / 2, right], dim=3)
    best = bins.loss(soft, x)[:, :-3]
    for wrong in (
        torch.roll(soft, 1, dims=3),
        torch.cat([soft[..., :K] * 2, soft[..., K:]], dim=3),
        soft + 0.3 * (torch.arange(2 * K) >= K),
    ):
        assert (bins.loss(wrong, x)[:, :-3] > best + 1e-4).all()
    turned = x.clone()
    turned[:, :-3] += 1
    torch.testing.assert_close(bins.loss(soft, turned)[:, :-3], best, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [Endpoint(), BinsFlow(bins=K)])
@pytest.mark.parametrize("speed", [0.0, 8.0])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_a_flow_whose_network_knows_the_end_arrives_there(settings, speed, steps):
    (x, condition), objective = crystals(), settings.build()

    def net(x_t, t, c):
        return shortest(x - x_t) if settings.name == "endpoint" else known_posterior(x)

    start = objective.prior(x.shape, condition, seeded())
    drawn = objective.sample(net, start, condition, Sampling(sampler="euler", steps=steps, speed=speed), seeded())
    assert apart(drawn, x, condition) < 1e-4


@pytest.mark.parametrize("settings", [Endpoint(), BinsFlow(bins=K)])
def test_flows_take_the_shorter_way_and_a_network_without_a_fault_has_no_loss(settings):
    (x, condition), objective = crystals(), settings.build()
    x_t, t, target, _ = objective.corrupt(x, condition, seeded())
    left = shortest(x - x_t)
    assert (left[:, :-3].abs() <= 0.5 * (1 - t.view(-1, 1, 1)) + 1e-5).all()
    if settings.name == "endpoint":
        weight = meaning(condition).float()
        assert float(objective.loss(left, target, weight)) < 1e-6
        assert float(objective.loss(left + torch.tensor([1.0, 0, 0]) * (torch.arange(ROWS) < 6)[:, None], target, weight)) < 1e-6
        assert float(objective.loss(left + 0.1, target, weight)) == pytest.approx(0.1, abs=1e-5)


def test_faster_coordinates_leave_the_lattice_its_pace():
    times = torch.tensor([i / 10 for i in range(10)])
    drawn = (
        Flow()
        .build()
        .sample(lambda x, t, c: torch.ones_like(x), torch.zeros(1, 6, 3), {}, Sampling(sampler="euler", steps=10, speed=3), seeded())
    )
    torch.testing.assert_close(drawn[0, -1, 0], torch.tensor(1.0))
    torch.testing.assert_close(drawn[0, 0, 0], (1 + 3 * times).mean())


def test_a_modification_may_start_on_the_way_to_its_structure():
    start = torch.rand(BATCH, ROWS, 3)
    for settings in (Endpoint(start_time=0.75), BinsFlow(start_time=0.75)):
        prior = settings.build().prior(start.shape, {"start": start}, seeded())
        noise = type(settings)().build().prior(start.shape, {}, seeded())
        torch.testing.assert_close(shortest(prior - start), 0.25 * shortest(noise - start), atol=1e-5, rtol=0)


# Masked prediction


@pytest.mark.parametrize("unit", ["row", "value"])
def test_what_is_hidden_is_asked_and_nothing_else(unit):
    (x, condition), objective = crystals(), Masked(unit=unit, noise=0.01, bins=K).build()
    shares = []
    for seed in range(200):
        x_t, t, target, _ = objective.corrupt(x, condition, seeded(seed))
        hidden = x_t.isnan()
        assert torch.equal(hidden, ~target.isnan())
        assert not (hidden & ~meaning(condition)).any()
        assert hidden.any(dim=(1, 2)).all()
        assert torch.equal(target[hidden], x[hidden])
        if unit == "row":
            assert (hidden.all(dim=2) | ~hidden.any(dim=2)).all()
        noise = (x_t - x)[:, :-3][~hidden[:, :-3]]
        assert noise.abs().max() < 0.06 and torch.equal(x_t[:, -3:][~hidden[:, -3:]], x[:, -3:][~hidden[:, -3:]])
        shares.append(torch.stack([hidden.sum(dim=(1, 2)) / meaning(condition).sum(dim=(1, 2)), 1 - t]))
    found, asked = torch.stack(shares).unbind(dim=1)
    assert (
        found.mean().item() == pytest.approx(0.53, abs=0.06)
        and torch.corrcoef(torch.stack([found.flatten(), asked.flatten()]))[0, 1] > 0.85
    )
    changed = torch.where(target.isnan()[..., None], 7.0, known_posterior(x))
    weight = meaning(condition).float()
    torch.testing.assert_close(objective.loss(changed, target, weight), objective.loss(known_posterior(x), target, weight))


@pytest.mark.parametrize("unit", ["row", "value"])
@pytest.mark.parametrize("steps", [1, 5, 60])
@pytest.mark.parametrize("temperature", [0.0, 0.01])
def test_unmasking_by_a_network_that_knows_the_crystal_gives_it_row_by_row(unit, steps, temperature):
    (x, condition), objective, seen = crystals(), Masked(unit=unit, bins=K).build(), [[] for _ in range(BATCH)]
    condition["which"] = torch.arange(BATCH)

    def net(x_t, t, told):
        own, shown = x[told["which"]], ~x_t.isnan() & meaning(told)
        assert apart(torch.where(shown, x_t, own), own, told) < 1e-4, "what is shown is what was answered"
        torch.testing.assert_close(t, shown.sum(dim=(1, 2)) / meaning(told).sum(dim=(1, 2)))
        for which, count in zip(told["which"].tolist(), shown.sum(dim=(1, 2)).tolist(), strict=True):
            seen[which].append(count)
        return known_posterior(own)

    sampling = Sampling(sampler="unmask", steps=steps, temperature=temperature)
    drawn = objective.sample(net, objective.prior(x.shape, condition, seeded()), condition, sampling, [seeded(i) for i in range(BATCH)])
    assert apart(drawn, x, condition) < 1e-4 and drawn.isfinite().all()
    for counts in seen:
        assert counts[0] == 0 and counts == sorted(set(counts)), "no crystal is asked again before something more of it is shown"
        assert len(counts) == 1 if steps == 1 else len(counts) >= min(steps, 4)


def test_the_surest_rows_are_shown_first():
    x, condition = torch.zeros(1, 6, 3), {"atomic_numbers": torch.tensor([[8, 8, 8, 0, 0, 0]])}
    sharp, order = torch.tensor([1.0, 9.0, 4.0, 0.1, 0.2, 0.3])[None, :, None, None], []

    def net(x_t, t, c):
        order.append(x_t.isnan().any(dim=2)[0].tolist())
        answer = known_posterior(x)
        return torch.cat([answer[..., :K] / 20 * sharp, answer[..., K:]], dim=3)

    objective = Masked(bins=K).build()
    objective.sample(net, objective.prior(x.shape, condition, seeded()), condition, Sampling(sampler="unmask", steps=100), seeded())
    assert [sum(hidden) for hidden in order] == [6, 5, 4, 3, 2, 1]
    assert [hidden[:3] for hidden in order[:4]] == [[True] * 3, [True, False, True], [True, False, False], [False] * 3]


class Undecided(torch.nn.Module):
    """Every bin is as likely as every other."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, t, condition):
        return torch.zeros(*x.shape, 2 * K)


def test_with_a_temperature_only_the_first_sample_of_a_target_is_not_drawn():
    condition = {"atomic_numbers": torch.tensor([[8, 8, 0, 0, 0]]).repeat(8, 1)}
    objective = Masked(bins=K).build()
    sampling = Sampling(sampler="unmask", steps=4, temperature=1.0, per_target=4)
    drawn = draw_samples(Undecided(), objective, (5, 3), condition, 8, sampling)
    assert torch.equal(drawn[0], drawn[4])
    assert len({tuple(one.flatten().tolist()) for one in drawn}) == 7
    greedy = draw_samples(Undecided(), objective, (5, 3), condition, 8, sampling.model_copy(update={"temperature": 0.0}))
    assert all(torch.equal(one, drawn[0]) for one in greedy)
    many = {"atomic_numbers": condition["atomic_numbers"].repeat(50, 1)}
    free = draw_samples(Undecided(), objective, (5, 3), many, 400, sampling.model_copy(update={"per_target": 1}))
    counts = torch.bincount((free[:, :2] * K).round().long().flatten(), minlength=K)
    assert counts.min() > 0.6 * counts.float().mean() and math.isclose(counts.sum(), 2400)
