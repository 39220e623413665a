"""Networks: shapes, what they hear, and what they must not see."""

import pytest
import torch

from crystalgen.chemistry.elements import standardised_properties
from crystalgen.chemistry.spacegroups import symmetry_operations
from crystalgen.generative.data.unimat import Layout
from crystalgen.generative.nets.conditioning import ElementEmbedding, EnergyEmbedding, SpaceGroupEmbedding, TimeEmbedding
from crystalgen.generative.nets.unet1d.model import Attention, UNet1d
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.generative.nets.unet3d.model import UNet3d
from crystalgen.generative.nets.unet3d.settings import UNet3dConfig

GROUPS = (1, 2, 62, 194, 225)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def operations():
    filled = torch.zeros(231, 192, 4, 4)
    for number in GROUPS:
        filled[number] = torch.from_numpy(symmetry_operations(number))
    return filled


@pytest.fixture
def unet1d(operations):
    def make(rows: int = 11, **config) -> UNet1d:
        config = {"channels": 16, "multipliers": (1, 2), "attention": (1, 2), "heads": 2} | config
        return awaken(UNet1d(rows, torch.from_numpy(standardised_properties()), operations, UNet1dConfig(**config)))

    return make


def awaken(net):
    """Random weights where layers start as zero, so that everything in the network acts."""
    for parameter in net.parameters():
        if (parameter == 0).all():
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def conditions(rows: int, batch: int = 3) -> dict:
    numbers = torch.zeros(batch, rows, dtype=torch.long)
    for i in range(batch):
        numbers[i, : max(1, rows - 4 - i)] = 22 + i
    return {
        "atomic_numbers": numbers,
        "space_group": torch.tensor(GROUPS[:batch]),
        "energy": torch.randn(batch),
        "energy_known": torch.ones(batch, dtype=torch.bool),
    }


def held(condition: dict) -> torch.Tensor:
    """Rows that mean something: atoms and lattice."""
    rows = condition["atomic_numbers"] > 0
    rows[:, -3:] = True
    return rows


# Conditions


def test_space_groups_of_a_batch_are_embedded_as_one_by_one(operations):
    embed = SpaceGroupEmbedding(operations, 24)
    numbers = torch.tensor([225, 1, 225, 62, 2, 194, 1])
    together = embed(numbers)
    torch.testing.assert_close(together, torch.cat([embed(n[None]) for n in numbers]), atol=1e-6, rtol=1e-5)
    assert torch.equal(together[0], together[2])
    assert len({tuple(row) for row in together.tolist()}) == len(GROUPS)


def test_pooled_elements_do_not_see_rows_without_atoms():
    embed = ElementEmbedding(torch.from_numpy(standardised_properties()), 16)
    numbers = torch.tensor([[73, 74, 5, 0, 0, 0]])
    longer = torch.nn.functional.pad(numbers, (0, 7))
    torch.testing.assert_close(embed(numbers)[1], embed(longer)[1], atol=1e-5, rtol=1e-4)


def test_an_energy_that_is_not_known_is_not_heard():
    embed = awaken(EnergyEmbedding(12))
    energy = torch.randn(6)
    known = torch.tensor([True, False] * 3)
    out, other = embed(energy, known), embed(energy + 1.0, known)
    assert torch.equal(out[~known], embed.unknown.expand(3, 12))
    assert torch.equal(out[~known], other[~known])
    assert not torch.isclose(out[known], other[known]).all(dim=1).any()


def test_close_energies_are_told_apart_by_the_short_waves():
    energy, known = torch.tensor([0.30, 0.31]), torch.ones(2, dtype=torch.bool)
    apart = {}
    for octaves in ((-2.0, 6.0), (-2.0, -2.0)):
        torch.manual_seed(0)
        embed = EnergyEmbedding(64, 16, octaves)
        apart[octaves] = torch.dist(*embed(energy, known)).item()
    assert apart[-2.0, 6.0] > 5 * apart[-2.0, -2.0]


def test_times_are_scaled_to_the_steps_that_the_sinusoids_were_made_for():
    t = torch.tensor([0.5, 0.51])
    torch.manual_seed(0)
    scaled = TimeEmbedding(16, 32, 1000.0)
    torch.manual_seed(0)
    plain = TimeEmbedding(16, 32, 1.0)
    torch.testing.assert_close(scaled(t), plain(1000 * t))
    assert torch.dist(*scaled(t)) > 20 * torch.dist(*plain(t)), "unscaled, close times look alike"


# B's U-Net


def test_rows_without_content_are_not_attended_to():
    attention = awaken(Attention(16, 4))
    attention.norm = torch.nn.Identity()
    h = torch.randn(2, 16, 9)
    held = torch.ones(2, 9, dtype=torch.bool)
    held[0, 4:6], held[1, 2:8] = False, False
    before = attention(h, held)
    changed = torch.where(held[:, None], h, 100.0)
    after = attention(changed, held)
    torch.testing.assert_close(before.transpose(1, 2)[held], after.transpose(1, 2)[held])
    assert not torch.allclose(before, attention(changed, torch.ones_like(held))), "unmasked, they would be"


@pytest.mark.parametrize("rows", [5, 8, 11, 24, 64])
@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 2, 2)])
def test_unet1d_gives_a_tensor_like_its_input_for_any_number_of_rows(unet1d, rows, multipliers):
    net = unet1d(rows, multipliers=multipliers, attention=tuple(2**depth for depth in range(len(multipliers))))
    out = net(torch.randn(3, rows, 3), torch.rand(3), conditions(rows))
    assert out.shape == (3, rows, 3)
    assert out.isfinite().all()


@pytest.mark.parametrize("inputs", [{}, {"periodic": True}, {"start": True}, {"periodic": True, "start": True}])
def test_unet1d_hears_time_and_every_condition_and_treats_samples_apart(unet1d, inputs):
    net = unet1d(**inputs)
    x, t, condition = torch.randn(3, 11, 3), torch.rand(3), conditions(11) | {"start": torch.rand(3, 11, 3)}
    out = net(x, t, condition)
    assert not torch.allclose(net(x, 1 - t, condition), out)
    other = {
        "energy": condition["energy"] + 1,
        "energy_known": ~condition["energy_known"],
        "space_group": condition["space_group"].flip(0),
        "atomic_numbers": torch.where(condition["atomic_numbers"] > 0, condition["atomic_numbers"] + 7, 0),
    }
    for name, value in other.items():
        assert not torch.allclose(net(x, t, condition | {name: value}), out, atol=1e-5), name
    for place in (0, -1):  # an atom, a lattice vector
        moved = condition["start"].clone()
        moved[:, place] += 0.3
        heard = not torch.allclose(net(x, t, condition | {"start": moved}), out, atol=1e-5)
        assert heard == net.config.start
    alone = net(x[1:2], t[1:2], {k: v[1:2] for k, v in condition.items()})
    torch.testing.assert_close(alone, out[1:2], atol=1e-5, rtol=1e-4)


def test_without_a_known_energy_the_answer_does_not_depend_on_it(unet1d):
    net, x, t = unet1d(), torch.randn(3, 11, 3), torch.rand(3)
    condition = conditions(11) | {"energy_known": torch.tensor([True, False, False])}
    out, other = (net(x, t, condition | {"energy": e}) for e in (torch.zeros(3), torch.full((3,), 2.0)))
    assert torch.equal(out[1:], other[1:])
    assert not torch.allclose(out[0], other[0], atol=1e-5)


@pytest.mark.parametrize("inputs", [{}, {"periodic": True}, {"start": True}])
def test_what_stands_in_padding_changes_nothing(unet1d, inputs):
    """No loss is on padding, so that while sampling it drifts to where it never was in training."""
    net, t, condition = unet1d(**inputs), torch.rand(3), conditions(11)
    means = held(condition)[..., None]
    x, start = torch.randn(3, 11, 3), torch.rand(3, 11, 3)
    out = net(x, t, condition | {"start": start})
    noise = torch.randn(3, 11, 3)
    other = net(torch.where(means, x, noise), t, condition | {"start": torch.where(means, start, noise)})
    torch.testing.assert_close(other * means, out * means, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("start", [False, True])
def test_with_periodic_inputs_coordinates_may_be_shifted_by_whole_cells_and_lattices_may_not(unet1d, start):
    net, t = unet1d(periodic=True, start=start), torch.rand(3)
    x, condition = torch.rand(3, 11, 3), conditions(11) | {"start": torch.rand(3, 11, 3)}
    out = net(x, t, condition)
    steps = torch.randint(-2, 3, (3, 11, 3)).float()
    steps[:, -3:] = 0
    moved = condition | {"start": condition["start"] - steps}
    torch.testing.assert_close(net(x + steps, t, moved), out, atol=1e-4, rtol=1e-4)
    half = x.clone()
    half[:, 0] += 0.5
    assert not torch.allclose(net(half, t, condition), out, atol=1e-3)
    lattice = x.clone()
    lattice[:, -3:] += 1
    assert not torch.allclose(net(lattice, t, condition), out, atol=1e-3)


def test_plain_inputs_tell_a_shifted_crystal_from_itself(unet1d):
    net, x, t, condition = unet1d(), torch.rand(3, 11, 3), torch.rand(3), conditions(11)
    shifted = x.clone()
    shifted[:, 0] += 1
    assert not torch.allclose(net(shifted, t, condition), net(x, t, condition), atol=1e-3)


# UniMat's U-Net


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("cell", ["channels", "token"])
@pytest.mark.parametrize("grid", [(1, 1, 1), (4, 2, 3), (3, 5, 7), (2, 9, 18)])
def test_unet3d_gives_a_tensor_like_its_input_for_any_block(grid, cell, stride):
    layout, config = Layout(grid, cell), UNet3dConfig(channels=16, multipliers=(1, 2, 2), stride=stride, head_channels=8)
    net = awaken(UNet3d(layout, torch.ones(grid[1:]), False, (), config))
    x, t = torch.randn(2, *layout.shape), torch.rand(2)
    out = net(x, t, {})
    assert out.shape == x.shape
    assert out.isfinite().all()
    beside = torch.cat([torch.randn_like(x[:1]), x[1:]]), torch.cat([1 - t[:1], t[1:]])
    torch.testing.assert_close(net(*beside, {})[1:], out[1:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net(x[1:], t[1:], {}), out[1:], atol=1e-4, rtol=1e-3)  # kernels for one differ by a machine's rounding
    assert not torch.allclose(net(x, 1 - t, {}), out)
