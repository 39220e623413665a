"""Losses, objectives, samplers and networks against cases whose answer is known."""

import numpy as np
import pytest
import torch

from crystalgen import samplers
from crystalgen.chemistry.elements import standardised_properties
from crystalgen.chemistry.spacegroups import symmetry_operations
from crystalgen.config import Diffusion, Flow, Sampling, UNet1dConfig, UNet3dConfig
from crystalgen.losses import weighted_mse
from crystalgen.nets.conditioning import ElementEmbedding, SpaceGroupEmbedding
from crystalgen.nets.unet1d import Attention, UNet1d
from crystalgen.nets.unet3d import UNet3d
from crystalgen.objectives import build_objective


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# Loss


def test_the_loss_of_equal_weights_is_the_mean_squared_error():
    prediction, target = torch.randn(5, 4, 3), torch.randn(5, 4, 3)
    expected = torch.nn.functional.mse_loss(prediction, target)
    for weight in (torch.ones(1), torch.full((5, 4, 3), 0.25), torch.ones(5, 4, 1)):
        torch.testing.assert_close(weighted_mse(prediction, target, weight), expected)


def test_the_loss_ignores_what_stands_in_padding():
    prediction, target = torch.randn(2, 6, 3), torch.randn(2, 6, 3)
    weight = torch.ones(2, 6, 3)
    weight[:, 4:] = 0
    before = weighted_mse(prediction, target, weight)
    prediction[:, 4:], target[:, 4:] = 1e6, -3.0
    assert weighted_mse(prediction, target, weight) == before


@pytest.mark.parametrize("padding", [1, 10, 60])
def test_the_loss_does_not_depend_on_the_amount_of_padding(padding):
    prediction, target, weight = torch.randn(3, 5, 3), torch.randn(3, 5, 3), torch.rand(3, 5, 3)
    more = torch.zeros(3, padding, 3)
    longer = [torch.cat([t, more], dim=1) for t in (prediction, target, weight)]
    torch.testing.assert_close(weighted_mse(*longer), weighted_mse(prediction, target, weight))


def test_a_long_crystal_counts_as_a_short_one():
    target = torch.zeros(2, 8, 3)
    prediction, weight = torch.zeros_like(target), torch.zeros_like(target)
    weight[0, :8], weight[1, :2] = 1.0, 1.0
    prediction[0, :8], prediction[1, :2] = 1.0, 3.0
    assert weighted_mse(prediction, target, weight).item() == pytest.approx((1 + 9) / 2)


# Flow matching


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_flow_points_lie_on_the_line_from_noise_to_data(prior):
    x1 = torch.randn(200, 4, 3) * 2
    x_t, t, velocity = build_objective(Flow(prior=prior)).corrupt(x1, seeded())
    assert ((t >= 0) & (t < 1)).all()
    assert t.std() > 0.2
    x0 = x1 - velocity
    along = t[:, None, None]
    torch.testing.assert_close(x_t, along * x1 + (1 - along) * x0, atol=1e-5, rtol=1e-5)
    if prior == "uniform":
        assert x0.min() >= -1e-5
        assert x0.max() < 1 + 1e-5
        assert x0.mean().item() == pytest.approx(0.5, abs=0.02)
    else:
        assert x0.std().item() == pytest.approx(1.0, abs=0.05)


def _starts(model_calls):
    def model(x, t, condition):
        if not model_calls:
            model_calls.append(x.clone())
        return torch.zeros_like(x)

    return model


def test_uniform_starts_lie_in_the_unit_interval():
    seen = []
    build_objective(Flow(prior="uniform")).sample(_starts(seen), (300, 5, 3), {}, Sampling(sampler="euler", steps=2), seeded())
    assert seen[0].min() >= 0
    assert seen[0].max() < 1
    assert seen[0].std().item() == pytest.approx(12**-0.5, abs=0.01)


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


def test_flow_sampling_of_a_point_mass_gives_the_point():
    """The velocity towards one point, from wherever x stands: (point - x) / (1 - t)."""
    point = torch.randn(5, 3)
    drawn = build_objective(Flow()).sample(
        lambda x, t, c: (point - x) / (1 - t[:, None, None]), (8, 5, 3), {}, Sampling(sampler="euler", steps=20), seeded()
    )
    torch.testing.assert_close(drawn, point.expand(8, 5, 3), atol=1e-5, rtol=0)


# Diffusion


def _alpha_bar(settings: Diffusion) -> np.ndarray:
    """From the papers: Nichol and Dhariwal 2021, eq. 17, betas at most 0.999; Ho et al. 2020, betas 1e-4 to 0.02."""
    steps = settings.train_steps
    if settings.schedule == "linear":
        betas = np.linspace(1e-4, 0.02, steps)
    else:
        f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
    return np.cumprod(1 - betas)


@pytest.mark.parametrize("schedule", ["squaredcos_cap_v2", "linear"])
def test_noised_data_have_the_schedules_mean_and_variance(schedule):
    settings = Diffusion(train_steps=10, schedule=schedule)
    x_t, t, noise = build_objective(settings).corrupt(torch.full((4000, 10), 3.0), seeded())
    step = (t * 10).round().long()
    assert sorted(set(step.tolist())) == list(range(10))
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    for i, kept in enumerate(_alpha_bar(settings)):
        rows = x_t[step == i]
        assert rows.mean().item() == pytest.approx(3 * kept**0.5, abs=0.08)
        assert rows.std().item() == pytest.approx((1 - kept) ** 0.5, rel=0.06)
        torch.testing.assert_close(rows, 3 * kept**0.5 + (1 - kept) ** 0.5 * noise[step == i], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("schedule", ["squaredcos_cap_v2", "linear"])
@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 1000), ("ddpm", 50), ("ddim", 50), ("ddim", 10)])
def test_denoising_a_point_mass_gives_the_point(schedule, sampler, steps):
    settings = Diffusion(schedule=schedule)
    point, kept = torch.tensor([2.5, -4.0, 0.1]), torch.tensor(_alpha_bar(settings))
    times = []

    def exact(x, t, condition):
        times.append(float(t[0]))
        a = kept[(t * settings.train_steps).round().long()][:, None]
        return ((x - a.sqrt() * point) / (1 - a).sqrt()).float()

    drawn = build_objective(settings).sample(exact, (6, 3), {}, Sampling(sampler=sampler, steps=steps), seeded())
    torch.testing.assert_close(drawn, point.expand(6, 3), atol=2e-3, rtol=0)
    assert len(times) == steps
    assert all(a > b for a, b in zip(times, times[1:], strict=False))
    assert 0 <= min(times) <= max(times) < 1, "times that training has"


# Seeds


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_a_bound_keeps_the_samples_of_a_bad_network_inside(sampler):
    """Without it, a network that always says 'no noise' sends the samples far away."""

    def bad(x, t, condition):
        return torch.zeros_like(x)

    sampling, largest = Sampling(sampler=sampler, steps=20), {}
    for clip in (None, 1.0):
        drawn = build_objective(Diffusion(clip=clip)).sample(bad, (6, 3), {}, sampling, seeded())
        largest[clip] = float(drawn.abs().max())
    assert largest[1.0] <= 1.0 + 1e-5
    assert largest[None] > 2.0


@pytest.mark.parametrize(
    ("settings", "sampling"),
    [
        (Flow(), Sampling(sampler="euler", steps=5)),
        (Flow(prior="normal"), Sampling(sampler="euler", steps=5)),
        (Diffusion(), Sampling(sampler="ddpm", steps=5)),
        (Diffusion(), Sampling(sampler="ddim", steps=5)),
    ],
)
def test_a_seed_gives_the_same_bits_whatever_ran_before(settings, sampling):
    def model(x, t, c):
        return 0.3 * x + t.view(-1, 1, 1)

    objective = build_objective(settings)
    x = torch.randn(6, 4, 3)
    first = objective.sample(model, (6, 4, 3), {}, sampling, seeded(1)), *objective.corrupt(x, seeded(1))
    torch.rand(17)
    second = objective.sample(model, (6, 4, 3), {}, sampling, seeded(1)), *objective.corrupt(x, seeded(1))
    other = objective.sample(model, (6, 4, 3), {}, sampling, seeded(2)), *objective.corrupt(x, seeded(2))
    for a, b, c in zip(first, second, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


# Networks


GROUPS = (1, 2, 62, 194, 225)


@pytest.fixture(scope="module")
def operations():
    filled = torch.zeros(231, 192, 4, 4)
    for number in GROUPS:
        filled[number] = torch.from_numpy(symmetry_operations(number))
    return filled


def _awaken(net):
    """Random weights where layers start as zero, so that everything in the network acts."""
    for parameter in net.parameters():
        if (parameter == 0).all():
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


@torch.no_grad()
def test_space_groups_of_a_batch_are_embedded_as_one_by_one(operations):
    embed = SpaceGroupEmbedding(operations, 24)
    numbers = torch.tensor([225, 1, 225, 62, 2, 194, 1])
    together = embed(numbers)
    torch.testing.assert_close(together, torch.cat([embed(n[None]) for n in numbers]), atol=1e-6, rtol=1e-5)
    assert torch.equal(together[0], together[2])
    assert len({tuple(row) for row in together.tolist()}) == len(GROUPS)


@torch.no_grad()
def test_pooled_elements_do_not_see_rows_without_atoms():
    embed = ElementEmbedding(torch.from_numpy(standardised_properties()), 16)
    numbers = torch.tensor([[73, 74, 5, 0, 0, 0]])
    longer = torch.nn.functional.pad(numbers, (0, 7))
    torch.testing.assert_close(embed(numbers)[1], embed(longer)[1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_rows_without_content_are_not_attended_to():
    attention = _awaken(Attention(16, 4))
    attention.norm = torch.nn.Identity()
    h = torch.randn(2, 16, 9)
    held = torch.ones(2, 9, dtype=torch.bool)
    held[0, 4:6], held[1, 2:8] = False, False
    before = attention(h, held)
    changed = torch.where(held[:, None], h, 100.0)
    after = attention(changed, held)
    torch.testing.assert_close(before.transpose(1, 2)[held], after.transpose(1, 2)[held])
    assert not torch.allclose(before, attention(changed, torch.ones_like(held))), "unmasked, they would be"


def _conditions(rows: int, batch: int = 3) -> dict:
    numbers = torch.zeros(batch, rows, dtype=torch.long)
    for i in range(batch):
        numbers[i, : max(1, rows - 4 - i)] = 22 + i
    return {"atomic_numbers": numbers, "space_group": torch.tensor(GROUPS[:batch]), "energy": torch.randn(batch)}


@pytest.mark.parametrize("rows", [5, 8, 11, 24, 64])
@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 2, 2)])
@torch.no_grad()
def test_unet1d_gives_a_tensor_like_its_input_for_any_number_of_rows(operations, rows, multipliers):
    config = UNet1dConfig(channels=16, multipliers=multipliers, blocks=1, attention=(1, 2, 4), heads=2)
    net = _awaken(UNet1d(rows, torch.from_numpy(standardised_properties()), operations, config))
    out = net(torch.randn(3, rows, 3), torch.rand(3), _conditions(rows))
    assert out.shape == (3, rows, 3)
    assert out.isfinite().all()


@torch.no_grad()
def test_unet1d_hears_time_and_every_condition_and_treats_samples_apart(operations):
    net = _awaken(UNet1d(11, torch.from_numpy(standardised_properties()), operations, UNet1dConfig(channels=16, blocks=1, heads=2)))
    x, t, condition = torch.randn(3, 11, 3), torch.rand(3), _conditions(11)
    out = net(x, t, condition)
    assert not torch.allclose(net(x, 1 - t, condition), out)
    for name, value in condition.items():
        other = {"energy": value + 1, "space_group": value.flip(0), "atomic_numbers": torch.where(value > 0, value + 7, value)}[name]
        assert not torch.allclose(net(x, t, condition | {name: other}), out, atol=1e-5), name
    alone = net(x[1:2], t[1:2], {k: v[1:2] for k, v in condition.items()})
    torch.testing.assert_close(alone, out[1:2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(9, 1, 1, 1), (9, 4, 2, 3), (9, 3, 5, 7), (9, 2, 9, 18)])
@torch.no_grad()
def test_unet3d_gives_a_tensor_like_its_input_for_any_block(shape):
    net = _awaken(UNet3d(shape, UNet3dConfig(channels=16, multipliers=(1, 2, 2), heads=2)))
    x, t = torch.randn(2, *shape), torch.rand(2)
    out = net(x, t, {})
    assert out.shape == x.shape
    assert out.isfinite().all()
    torch.testing.assert_close(net(x[1:], t[1:], {}), out[1:], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(net(x, 1 - t, {}), out)
