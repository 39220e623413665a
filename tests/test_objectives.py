"""Regression, flow matching, guidance and seeds against cases whose answer is known (B Alg. 1-6; A eq. 2)."""

import pytest
import torch
from objective_case import leaning, sample, seeded

from crystalgen.generative import samplers
from crystalgen.generative.objectives.settings import Diffusion, Flow, Regression
from crystalgen.generative.settings import Sampling

EULER = Sampling(sampler="euler", steps=5)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(1)


def some_start(batch: int = 200, rows: int = 7) -> dict[str, torch.Tensor]:
    return {"start": torch.rand(batch, rows, 3)}


# Regression


@pytest.mark.parametrize("loss", ["l1", "pbc_cases", "pbc_images"])
def test_regression_shows_the_start_and_asks_for_the_data(loss):
    condition, x = some_start(), torch.rand(200, 7, 3)
    x_t, t, target, _ = Regression(loss=loss).build().corrupt(x, condition, seeded())
    assert torch.equal(x_t, condition["start"])
    assert torch.equal(target, x)
    assert t.shape == (200,) and (t == 0).all()


def test_regression_answers_in_one_call():
    condition, calls = some_start(4), []

    def model(x, t, given):
        calls.append((x, t))
        assert given is condition
        return 2 * x + 1

    drawn = sample(Regression().build(), model, (4, 7, 3), condition, Sampling(sampler="one_step", steps=1), seeded())
    assert torch.equal(drawn, 2 * condition["start"] + 1)
    ((x, t),) = calls
    assert torch.equal(x, condition["start"]) and t.tolist() == [0.0] * 4


# Flow matching


@pytest.mark.parametrize("prior", ["uniform", "normal", "structure"])
def test_flow_points_lie_on_the_line_from_the_start_to_the_data(prior):
    x1, condition = torch.randn(200, 7, 3) * 2, some_start()
    x_t, t, velocity, _ = Flow(prior=prior).build().corrupt(x1, condition, seeded())
    assert ((t >= 0) & (t < 1)).all()
    assert t.std() > 0.2
    x0 = x1 - velocity
    along = t[:, None, None]
    torch.testing.assert_close(x_t, along * x1 + (1 - along) * x0, atol=1e-5, rtol=1e-5)
    if prior == "uniform":
        assert x0.min() >= -1e-5
        assert x0.max() < 1 + 1e-5
        assert x0.mean().item() == pytest.approx(0.5, abs=0.02)
    elif prior == "normal":
        assert x0.mean().item() == pytest.approx(0.0, abs=0.05)
        assert x0.std().item() == pytest.approx(1.0, abs=0.05)
    else:
        torch.testing.assert_close(x0, condition["start"], atol=1e-6, rtol=1e-6)


def test_normal_noise_has_the_mean_and_spread_that_are_asked_for():
    settings = Flow(prior="normal", mean=0.5, std=0.2887)
    x1 = torch.randn(500, 7, 3)
    _, _, velocity, _ = settings.build().corrupt(x1, {}, seeded())
    start = first_input(settings, (500, 7, 3), {})
    for x0 in (x1 - velocity, start):
        assert x0.mean().item() == pytest.approx(0.5, abs=0.01)
        assert x0.std().item() == pytest.approx(0.2887, abs=0.005)


def first_input(settings: Flow, shape: tuple[int, ...], condition: dict) -> torch.Tensor:
    """Where sampling starts."""
    seen = []

    def model(x, t, given):
        seen.append(x.clone())
        return torch.zeros_like(x)

    sample(settings.build(), model, shape, condition, EULER, seeded())
    return seen[0]


def test_uniform_starts_lie_in_the_unit_interval():
    start = first_input(Flow(prior="uniform"), (300, 5, 3), {})
    assert start.min() >= 0
    assert start.max() < 1
    assert start.std().item() == pytest.approx(12**-0.5, abs=0.01)


@pytest.mark.parametrize("wrapped", [False, True])
def test_flow_from_a_structure_starts_there_and_leaves_it_as_it_was(wrapped):
    condition = some_start(6)
    before = condition["start"].clone()
    settings = Flow(prior="structure", wrapped=wrapped)
    assert torch.equal(first_input(settings, (6, 7, 3), condition), before)
    sample(settings.build(), lambda x, t, c: torch.ones_like(x), (6, 7, 3), condition, EULER, seeded())
    settings.build().corrupt(torch.rand(6, 7, 3) + 0.6, condition, seeded())
    assert torch.equal(condition["start"], before)


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize("wrapped", [False, True])
def test_flow_from_a_structure_with_the_velocity_of_training_arrives_at_the_target(steps, wrapped):
    condition, x1 = some_start(50), torch.rand(50, 7, 3)
    objective = Flow(prior="structure", wrapped=wrapped).build()
    _, _, velocity, _ = objective.corrupt(x1, condition, seeded())
    drawn = sample(objective, lambda x, t, c: velocity, (50, 7, 3), condition, Sampling(sampler="euler", steps=steps), seeded())
    off = drawn - x1
    if wrapped:
        off[:, :-3] -= off[:, :-3].round()
    torch.testing.assert_close(off, torch.zeros_like(off), atol=1e-5, rtol=0)


@pytest.mark.parametrize("prior", ["uniform", "normal", "structure"])
def test_wrapped_flow_goes_the_shorter_way_around_the_cell_and_lattices_the_plain_one(prior):
    x1, condition = torch.rand(200, 7, 3), some_start()
    plain_x_t, plain_t, plain, _ = Flow(prior=prior).build().corrupt(x1, condition, seeded())
    x_t, t, velocity, _ = Flow(prior=prior, wrapped=True).build().corrupt(x1, condition, seeded())
    assert torch.equal(t, plain_t)
    assert torch.equal(velocity[:, -3:], plain[:, -3:]) and torch.equal(x_t[:, -3:], plain_x_t[:, -3:])
    assert velocity[:, :-3].abs().max() <= 0.5 < plain[:, :-3].abs().max()
    turns = plain[:, :-3] - velocity[:, :-3]
    torch.testing.assert_close(turns, turns.round(), atol=1e-6, rtol=0)
    x0 = x1 - plain
    torch.testing.assert_close(x_t, x0 + t[:, None, None] * velocity, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_euler_with_the_velocity_of_a_straight_line_arrives(steps):
    x0, x1 = torch.rand(4, 6, 3), torch.randn(4, 6, 3)
    times = []

    def model(x, t, condition):
        times.append(t)
        assert condition == {"c": 1}
        return x1 - x0

    torch.testing.assert_close(samplers.euler(model, x0, {"c": 1}, steps), x1, atol=1e-5, rtol=1e-5)
    assert torch.stack(times)[:, 0].tolist() == pytest.approx([i / steps for i in range(steps)])
    assert all(t.shape == (4,) for t in times)


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_flow_sampling_of_a_point_mass_gives_the_point(prior):
    """The velocity towards one point, from wherever x stands: (point - x) / (1 - t)."""
    point = torch.randn(5, 3)
    sampling = Sampling(sampler="euler", steps=20)
    drawn = sample(Flow(prior=prior).build(), lambda x, t, c: (point - x) / (1 - t[:, None, None]), (8, 5, 3), {}, sampling, seeded())
    torch.testing.assert_close(drawn, point.expand(8, 5, 3), atol=1e-5, rtol=0)


# Guidance


def handmade(x, t, condition):
    """Linear in x, and the energy counts where it is known."""
    told = torch.where(condition["energy_known"], condition["energy"], torch.tensor(-3.0))
    return 0.5 * x + t[:, None] + told[:, None] + condition["space_group"][:, None]


def conditions(known=True) -> dict:
    return {"energy": torch.tensor([0.3, -2.0]), "energy_known": torch.tensor([known, known]), "space_group": torch.tensor([1, 2])}


def test_no_weight_is_the_model_itself():
    assert samplers.guided(handmade, 0.0) is handmade


@pytest.mark.parametrize("weight", [0.5, 2.0, -1.0])
def test_guidance_goes_away_from_what_is_said_without_the_energy(weight):
    x, t, condition = torch.randn(2, 3), torch.rand(2), conditions()
    expected = (1 + weight) * handmade(x, t, condition) - weight * handmade(x, t, conditions(known=False))
    torch.testing.assert_close(samplers.guided(handmade, weight)(x, t, condition), expected)
    assert condition["energy_known"].all(), "the caller's condition is left alone"


def test_full_negative_guidance_is_deaf_to_the_energy():
    x, t, condition = torch.randn(2, 3), torch.rand(2), conditions()
    model = samplers.guided(handmade, -1.0)
    torch.testing.assert_close(model(x, t, condition), model(x, t, condition | {"energy": torch.tensor([9.0, 9.0])}))


# Seeds

WAYS = [
    (Flow(), EULER),
    (Flow(prior="normal"), EULER),
    (Diffusion(), Sampling(sampler="ddpm", steps=5)),
    (Diffusion(), Sampling(sampler="ddim", steps=5)),
]


@pytest.mark.parametrize(("settings", "sampling"), WAYS)
def test_a_seed_gives_the_same_bits_whatever_ran_before(settings, sampling):
    objective = settings.build()
    x = torch.randn(6, 4, 3)
    first = sample(objective, leaning, (6, 4, 3), {}, sampling, seeded(1)), *objective.corrupt(x, {}, seeded(1))[:3]
    torch.rand(17)
    second = sample(objective, leaning, (6, 4, 3), {}, sampling, seeded(1)), *objective.corrupt(x, {}, seeded(1))[:3]
    other = sample(objective, leaning, (6, 4, 3), {}, sampling, seeded(2)), *objective.corrupt(x, {}, seeded(2))[:3]
    for a, b, c in zip(first, second, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize(("settings", "sampling"), WAYS)
def test_with_a_generator_each_a_sample_does_not_depend_on_the_others(settings, sampling):
    objective = settings.build()
    together = sample(objective, leaning, (5, 4, 3), {}, sampling, [seeded(i) for i in range(5)])
    alone = [sample(objective, leaning, (1, 4, 3), {}, sampling, [seeded(i)]) for i in range(5)]
    assert torch.equal(together, torch.cat(alone))
    assert len({tuple(sample.flatten().tolist()) for sample in together}) == 5
