"""Noise schedules, diffusion and its samplers against closed forms (B Alg. 7-11)."""

import numpy as np
import pytest
import torch
from objective_case import leaning, sample, seeded

from crystalgen.generative.objectives.settings import Diffusion
from crystalgen.generative.settings import Sampling


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(1)


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
    x_t, t, noise, _ = settings.build().corrupt(torch.full((4000, 10), 3.0), {}, seeded())
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
    _, t, _, _ = settings.build().corrupt(torch.zeros(50000, 1), {}, seeded())
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
    x_t, t, target, _ = settings.build().corrupt(POINT.expand(50, 3), {}, seeded())
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
