"""Objectives, samplers and guidance against cases whose answer is known (B Alg. 1-11)."""

import numpy as np
import pytest
import torch

from crystalgen.generative import samplers
from crystalgen.generative.objectives.settings import Diffusion, Flow, Regression
from crystalgen.generative.settings import Sampling

EULER = Sampling(sampler="euler", steps=5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(1)


def sample(objective, net, shape, condition, sampling, generators):
    """From the prior to data."""
    return objective.sample(net, objective.prior(shape, condition, generators), condition, sampling, generators)


def some_start(batch: int = 200, rows: int = 7) -> dict[str, torch.Tensor]:
    return {"start": torch.rand(batch, rows, 3)}


# Regression


@pytest.mark.parametrize("loss", ["l1", "pbc_cases", "pbc_images"])
def test_regression_shows_the_start_and_asks_for_the_data(loss):
    condition, x = some_start(), torch.rand(200, 7, 3)
    x_t, t, target = Regression(loss=loss).build().corrupt(x, condition, seeded())
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
    x_t, t, velocity = Flow(prior=prior).build().corrupt(x1, condition, seeded())
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
    _, _, velocity = settings.build().corrupt(x1, {}, seeded())
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
    _, _, velocity = objective.corrupt(x1, condition, seeded())
    drawn = sample(objective, lambda x, t, c: velocity, (50, 7, 3), condition, Sampling(sampler="euler", steps=steps), seeded())
    off = drawn - x1
    if wrapped:
        off[:, :-3] -= off[:, :-3].round()
    torch.testing.assert_close(off, torch.zeros_like(off), atol=1e-5, rtol=0)


@pytest.mark.parametrize("prior", ["uniform", "normal", "structure"])
def test_wrapped_flow_goes_the_shorter_way_around_the_cell_and_lattices_the_plain_one(prior):
    x1, condition = torch.rand(200, 7, 3), some_start()
    plain_x_t, plain_t, plain = Flow(prior=prior).build().corrupt(x1, condition, seeded())
    x_t, t, velocity = Flow(prior=prior, wrapped=True).build().corrupt(x1, condition, seeded())
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


# Diffusion


def _alpha_bar(settings: Diffusion) -> np.ndarray:
    """From the papers: Nichol and Dhariwal 2021, eq. 17, betas at most 0.999; Ho et al. 2020, betas 1e-4 to 0.02."""
    steps = settings.train_steps
    if settings.schedule == "cosine_log_snr":  # the cosine itself, its log SNR kept within 20 (A app. 6)
        ratio = np.tan(np.pi / 2 * np.minimum(np.arange(1, steps + 1) / steps, 1 - 1e-12)) ** -2
        return 1 / (1 + 1 / np.clip(ratio, np.exp(-20), np.exp(20)))
    if settings.schedule == "linear":
        betas = np.linspace(1e-4, 0.02, steps)
    else:
        f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
    return np.cumprod(1 - betas)


SCHEDULES = pytest.mark.parametrize("schedule", ["squaredcos_cap_v2", "linear", "cosine_log_snr"])


@SCHEDULES
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.2887)])
def test_noised_data_have_the_schedules_mean_and_variance(schedule, mean, std):
    settings = Diffusion(train_steps=10, schedule=schedule, mean=mean, std=std)
    x_t, t, noise = settings.build().corrupt(torch.full((4000, 10), 3.0), {}, seeded())
    step = (t * 10).round().long()
    assert sorted(set(step.tolist())) == list(range(10))
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    data = (3 - mean) / std
    for i, kept in enumerate(_alpha_bar(settings)):
        rows = x_t[step == i]
        assert rows.mean().item() == pytest.approx(data * kept**0.5, abs=0.08)
        assert rows.std().item() == pytest.approx((1 - kept) ** 0.5, rel=0.06)
        torch.testing.assert_close(rows, data * kept**0.5 + (1 - kept) ** 0.5 * noise[step == i], atol=1e-4, rtol=1e-3)


POINT = torch.tensor([2.5, -4.0, 0.1])


def exact_answer(settings: Diffusion, times: list[float]):
    """What is asked for in x_t when all data are POINT: the noise, the velocity or the data."""
    kept = torch.tensor(_alpha_bar(settings))
    scaled = (POINT - settings.mean) / settings.std

    def model(x, t, condition):
        times.append(float(t[0]))
        a = kept[(t * settings.train_steps).round().long()][:, None]
        noise = (x - a.sqrt() * scaled) / (1 - a).sqrt()
        answers = {"epsilon": noise, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * scaled, "sample": scaled.expand_as(x)}
        return answers[settings.prediction].float()

    return model


def test_noise_levels_are_drawn_as_often_as_their_signal_to_noise_ratio_up_to_five():
    settings = Diffusion(train_steps=10, times="min_snr")
    _, t, _ = settings.build().corrupt(torch.zeros(50000, 1), {}, seeded())
    kept = _alpha_bar(settings)
    expected = np.minimum(kept / (1 - kept), 5)
    shares = torch.bincount((t * 10).round().long(), minlength=10).numpy() / 50000
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.01)
    assert expected.max() == 5 > expected.min()


PREDICTIONS = pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])


@PREDICTIONS
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.2887)])
def test_training_asks_for_what_the_network_is_to_say(prediction, mean, std):
    settings = Diffusion(train_steps=10, prediction=prediction, mean=mean, std=std)
    x_t, t, target = settings.build().corrupt(POINT.expand(50, 3), {}, seeded())
    answers = torch.stack([exact_answer(settings, [])(x_t[i : i + 1], t[i : i + 1], {})[0] for i in range(50)])
    torch.testing.assert_close(target, answers, atol=2e-3, rtol=1e-3)


@SCHEDULES
@PREDICTIONS
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.2887)])
@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 1000), ("ddpm", 50), ("ddpm", 7), ("ddim", 50), ("ddim", 10)])
def test_denoising_a_point_mass_gives_the_point_in_the_datas_units(schedule, prediction, mean, std, sampler, steps):
    settings, times = Diffusion(schedule=schedule, prediction=prediction, mean=mean, std=std), []
    sampling = Sampling(sampler=sampler, steps=steps)
    drawn = sample(settings.build(), exact_answer(settings, times), (6, 3), {}, sampling, seeded())
    torch.testing.assert_close(drawn, POINT.expand(6, 3), atol=2e-3, rtol=0)
    assert len(times) == steps
    assert all(a > b for a, b in zip(times, times[1:], strict=False))
    assert 0 <= min(times) <= max(times) < 1, "times that training has"


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.25)])
def test_a_bound_keeps_the_samples_of_a_bad_network_inside(sampler, mean, std):
    """Without it, a network that always says 'no noise' sends the samples far away; the bound counts in spreads from the mean."""

    def bad(x, t, condition):
        return torch.zeros_like(x)

    sampling, largest = Sampling(sampler=sampler, steps=20), {}
    for clip in (None, 1.0):
        drawn = sample(Diffusion(clip=clip, mean=mean, std=std).build(), bad, (6, 3), {}, sampling, seeded())
        largest[clip] = float((drawn - mean).abs().max() / std)
    assert largest[1.0] <= 1.0 + 1e-5
    assert largest[None] > 2.0


SPREAD = 2.0


def gaussian_answer(settings: Diffusion):
    """The noise that is expected in x_t when the data are N(0, SPREAD^2)."""
    kept = torch.tensor(_alpha_bar(settings))

    def net(x, t, condition):
        a = kept[(t * settings.train_steps).round().long()][:, None]
        return ((1 - a).sqrt() * x / (a * SPREAD**2 + 1 - a)).float()

    return net


def levels(settings: Diffusion, steps: int) -> list[tuple[float, float]]:
    """alpha_bar at each step and where it leads, for a number of steps that divides those of training."""
    kept, jump = _alpha_bar(settings), settings.train_steps // steps
    numbers = range(settings.train_steps - 1, -1, -jump)
    return [(kept[n], kept[n - jump] if n >= jump else 1.0) for n in numbers]


@SCHEDULES
@pytest.mark.parametrize("steps", [10, 1000])
def test_ddim_scales_noise_to_gaussian_data_by_its_closed_form(schedule, steps):
    """Eq. 12 of Song et al. 2021 with the exact noise is linear in x: each step's factor is known."""
    settings = Diffusion(schedule=schedule)
    factor = 1.0
    for a, to in levels(settings, steps):
        factor *= (np.sqrt(a * to) * SPREAD**2 + np.sqrt((1 - a) * (1 - to))) / (a * SPREAD**2 + 1 - a)
    objective, noise = settings.build(), torch.randn(50, 3)
    drawn = objective.sample(gaussian_answer(settings), noise, {}, Sampling(sampler="ddim", steps=steps), seeded())
    torch.testing.assert_close(drawn, noise * float(factor), rtol=2e-3, atol=1e-4)
    if steps == 1000:
        assert factor == pytest.approx(SPREAD, rel=0.02)


@SCHEDULES
@pytest.mark.parametrize("steps", [10, 200])
def test_ddpm_of_gaussian_data_has_its_closed_forms_variance(schedule, steps):
    """Mean and variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7), with x_0 its expectation given x_t."""
    settings = Diffusion(schedule=schedule)
    variance = 1.0
    for a, to in levels(settings, steps):
        beta, data = 1 - a / to, np.sqrt(a) * SPREAD**2 / (a * SPREAD**2 + 1 - a)
        gain = np.sqrt(to) * beta / (1 - a) * data + np.sqrt(a / to) * (1 - to) / (1 - a)
        variance = gain**2 * variance + (1 - to) / (1 - a) * beta
    objective = settings.build()
    drawn = objective.sample(gaussian_answer(settings), torch.randn(4000, 3), {}, Sampling(sampler="ddpm", steps=steps), seeded())
    assert drawn.std().item() == pytest.approx(np.sqrt(variance), rel=0.03)
    assert drawn.mean().item() == pytest.approx(0, abs=0.06)


def test_more_steps_than_training_had_are_refused():
    with pytest.raises(ValueError, match="1001 sampling steps: expected at most 1000"):
        sample(Diffusion().build(), leaning, (1, 2, 3), {}, Sampling(sampler="ddim", steps=1001), seeded())


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


def leaning(x, t, c):
    return 0.3 * x + t.view(-1, 1, 1)


@pytest.mark.parametrize(("settings", "sampling"), WAYS)
def test_a_seed_gives_the_same_bits_whatever_ran_before(settings, sampling):
    objective = settings.build()
    x = torch.randn(6, 4, 3)
    first = sample(objective, leaning, (6, 4, 3), {}, sampling, seeded(1)), *objective.corrupt(x, {}, seeded(1))
    torch.rand(17)
    second = sample(objective, leaning, (6, 4, 3), {}, sampling, seeded(1)), *objective.corrupt(x, {}, seeded(1))
    other = sample(objective, leaning, (6, 4, 3), {}, sampling, seeded(2)), *objective.corrupt(x, {}, seeded(2))
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
