"""Losses of positions: periodic images by brute force, A.4's cases by hand, padding, gradients, B's Figure 4."""

import itertools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalgen.crystals import to_structures
from crystalgen.generative.losses import LOSSES, pbc_cases, pbc_images, weighted_l1
from crystalgen.report import figures
from crystalgen.report.figures.losses import losses_between, two_descriptions
from crystalgen.report.style import save_figure

ALL = pytest.mark.parametrize("name", list(LOSSES))
POSITIONS = {name: loss for name, loss in LOSSES.items() if name != "mse"}
SHARP = -2000.0  # an order at which the smooth minimum is the minimum to six digits
CASES = {
    "vertex": ([0.0, 0.0, 0.0], 3),
    "vertex written otherwise": ([1.0, 0.0, 1.0], 3),
    "edge": ([0.0, 1.0, 0.3], 2),
    "face": ([0.4, 0.0, 0.3], 1),
    "inside": ([0.4, 0.6, 0.3], 0),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    yield
    plt.close("all")


def crystal(*atoms: list[float]) -> torch.Tensor:
    """(1, rows, 3): the atoms, a row of padding and a lattice of zeros."""
    return torch.tensor([[*atoms, *[[0.0, 0.0, 0.0]] * 4]])


def weights(atoms: int, rows: int | None = None, batch: int = 1, lattice: float = 0.0) -> torch.Tensor:
    weight = torch.zeros(batch, rows or atoms + 4, 3)
    weight[:, :atoms], weight[:, -3:] = 1.0, lattice
    return weight


def distance(loss, prediction: list[float], target: list[float], **options) -> float:
    """Of one atom, the sum over its axes."""
    return 3 * loss(crystal(prediction), crystal(target), weights(1), **options).item()


def some_crystals(batch: int = 64, atoms: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Targets in [0, 1] with a third of the coordinates on the boundary, predictions around the cell, uneven weights."""
    target = torch.rand(batch, atoms + 4, 3)
    draw = torch.rand_like(target)
    target = torch.where(draw < 0.2, 0.0, torch.where(draw < 0.35, 1.0, target))
    prediction = torch.rand_like(target) * 1.8 - 0.4
    weight = torch.rand(batch, atoms + 4, 3) + 0.1
    weight[:, -4] = 0
    weight[::2, atoms - 3 : atoms] = 0
    target[weight == 0] = 0
    return prediction, target, weight


def smallest_over(places: torch.Tensor, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The loss by its definition: each atom's least L1 distance to target + place (n, 3), in double precision."""
    prediction, target, weight = prediction.double(), target.double(), weight.double()
    distances = ((prediction - target)[:, :-3, None] - places.double()).abs() * weight[:, :-3, None]
    atoms = distances.sum(dim=-1).amin(dim=-1).sum(dim=1)
    lattice = ((prediction - target).abs() * weight)[:, -3:].sum(dim=(1, 2))
    return ((atoms + lattice) / weight.sum(dim=(1, 2))).mean()


IMAGES = torch.tensor(list(itertools.product((-1, 0, 1), repeat=3)))


# Known answers


@ALL
def test_a_perfect_prediction_costs_nothing(name):
    _, target, weight = some_crystals()
    assert LOSSES[name](target, target, weight).item() == 0


def test_l1_by_hand():
    assert distance(weighted_l1, [0.1, 0.2, 0.3], [0.4, 0.0, 0.35]) == pytest.approx(0.3 + 0.2 + 0.05)
    target = crystal([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    off = crystal([0.6, 0.5, 0.5], [0.5, 0.5, 0.2])
    assert weighted_l1(off, target, weights(2)).item() == pytest.approx((0.1 + 0.3) / 6)


@pytest.mark.parametrize(
    ("target", "prediction", "apart"),
    [
        ([0.0, 0.0, 0.0], [0.9, 0.1, 0.8], 0.1 + 0.1 + 0.2),  # the vertex (1, 0, 1)
        ([1.0, 1.0, 1.0], [0.9, 0.1, 0.8], 0.1 + 0.1 + 0.2),
        ([0.0, 1.0, 0.3], [0.95, 0.05, 0.4], 0.05 + 0.05 + 0.1),  # A.4's edge, its place (1, 0, 0.3)
        ([0.0, 0.5, 0.3], [0.9, 0.6, 0.1], 0.1 + 0.1 + 0.2),  # A.4's face, its place (1, 0.5, 0.3)
        ([0.0, 0.0, 0.0], [-0.1, 1.2, 0.0], 0.1 + 0.2 + 0.0),  # predicted outside the cell
    ],
)
def test_atoms_on_the_boundary_by_hand(target, prediction, apart):
    assert distance(pbc_cases, prediction, target, order=SHARP) == pytest.approx(apart, rel=1e-4)
    assert distance(pbc_cases, prediction, target) == pytest.approx(apart, rel=1e-4)  # no other place is near
    assert distance(pbc_images, prediction, target) == pytest.approx(apart, rel=1e-5)


def test_an_atom_inside_wraps_by_its_images_and_not_by_the_cases():
    """0.97 is 0.08 from 0.05 across the boundary, and 0.92 through the cell."""
    target, prediction = [0.05, 0.5, 0.5], [0.97, 0.5, 0.5]
    assert distance(pbc_images, prediction, target) == pytest.approx(0.08, rel=1e-5)
    assert distance(pbc_cases, prediction, target) == pytest.approx(0.92, rel=1e-5)
    assert distance(weighted_l1, prediction, target) == pytest.approx(0.92, rel=1e-5)


@pytest.mark.parametrize("order", [-5.0, -20.0, -100.0])
@pytest.mark.parametrize("case", CASES)
def test_the_smooth_minimum_of_equal_distances_is_the_norm_of_that_order(case, order):
    """Halfway between its places an atom is equally far from all n of them."""
    target, on_boundary = CASES[case]
    prediction = [0.5 if x in (0.0, 1.0) else x + 0.2 for x in target]
    apart = 0.5 * on_boundary + 0.2 * (3 - on_boundary)
    places = 2**on_boundary
    assert distance(pbc_cases, prediction, target, order=order) == pytest.approx(apart * places ** (1 / order), rel=1e-5)


@pytest.mark.parametrize("order", [-3.0, -20.0])
def test_the_smooth_minimum_is_the_norm_of_negative_order(order):
    prediction = [0.3, 0.6, 0.2]
    distances = [np.abs(np.array(prediction) - v).sum() for v in itertools.product((0, 1), repeat=3)]
    expected = (np.array(distances) ** order).sum() ** (1 / order)
    assert distance(pbc_cases, prediction, [0.0, 0.0, 0.0], order=order) == pytest.approx(expected, rel=1e-5)


# Definitions by brute force


def test_the_axis_by_axis_minimum_is_that_over_27_images():
    prediction, target, weight = some_crystals()
    for scale in (1.0, 4.0):  # also from far outside
        expected = smallest_over(IMAGES, prediction * scale, target, weight)
        assert pbc_images(prediction * scale, target, weight).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_gradient_of_the_images_is_that_over_27_images():
    prediction, target, weight = some_crystals()
    ours, theirs = prediction.clone().requires_grad_(), prediction.clone().requires_grad_()
    pbc_images(ours, target, weight).backward()
    smallest_over(IMAGES, theirs, target, weight).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-8)


def test_cases_and_images_agree_where_every_target_is_on_the_boundary():
    prediction, target, weight = some_crystals(atoms=7)
    kinds = torch.tensor([[0, 0, 0], [1, 0, 1], [0, 1, 0.3], [0.7, 1, 1], [0, 0.4, 0], [1, 0.5, 0.3], [0.5, 0.2, 0]])
    target[:, :7] = torch.where(weight[:, :7] > 0, kinds, 0.0)
    # axes inside the cell stay within half a cell; the boundary ones may be anywhere up to half a cell outside
    inside = (target > 0) & (target < 1)
    prediction = torch.where(inside, target + 0.4 * (prediction - 0.5), prediction)
    images = pbc_images(prediction, target, weight)
    assert pbc_cases(prediction, target, weight, order=SHARP).item() == pytest.approx(images.item(), rel=1e-3)
    smooth = pbc_cases(prediction, target, weight)
    assert 8 ** (-1 / 20) * images <= smooth <= images * (1 + 1e-6)
    assert weighted_l1(prediction, target, weight) > 1.3 * images


def test_cases_are_the_plain_loss_inside_the_cell():
    prediction, target, weight = some_crystals()
    target = 0.01 + 0.98 * target
    ours, plain = prediction.clone().requires_grad_(), prediction.clone().requires_grad_()
    one, other = pbc_cases(ours, target, weight), weighted_l1(plain, target, weight)
    torch.testing.assert_close(one, other)
    one.backward()
    other.backward()
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-5, atol=1e-9)


def test_the_gradient_of_the_cases_is_that_of_the_norm():
    prediction = torch.tensor([[0.3, 0.6, 0.2], [0.52, 0.45, 0.5], [0.9, 0.1, 1.2]], dtype=torch.double)
    by_hand = prediction.clone().requires_grad_()
    vertices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.double)
    ((by_hand[:, None] - vertices).abs().sum(-1) ** -20).sum(-1).pow(-1 / 20).sum().backward()
    ours = crystal(*prediction.tolist()).requires_grad_()
    pbc_cases(ours, torch.zeros_like(ours), weights(3)).backward()
    torch.testing.assert_close(9 * ours.grad[0, :3], by_hand.grad.float(), rtol=1e-4, atol=1e-5)


# Invariance


def test_images_do_not_see_translations_by_up_to_a_cell():
    target = torch.rand(16, 12, 3)
    prediction = target + (torch.rand_like(target) - 0.5) * 0.98
    weight = weights(8, 12, 16)
    before = pbc_images(prediction, target, weight)
    for step in IMAGES:
        moved = prediction.clone()
        moved[:, :8] += step
        torch.testing.assert_close(pbc_images(moved, target, weight), before, rtol=1e-4, atol=1e-6)
    each = prediction + torch.randint(-1, 2, prediction.shape)
    torch.testing.assert_close(pbc_images(each, target, weight), before, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [pbc_images, pbc_cases])
def test_a_boundary_written_at_0_or_at_1_is_the_same(loss):
    prediction, target, weight = some_crystals()
    prediction, draw = torch.rand_like(prediction), torch.rand_like(target)
    atoms = torch.ones_like(target, dtype=torch.bool)
    atoms[:, -3:] = False
    boundary = atoms & ((target == 0) | (target == 1))
    other = torch.where(boundary, (draw < 0.5).float(), target)
    assert not torch.equal(other, target)
    torch.testing.assert_close(loss(prediction, other, weight), loss(prediction, target, weight), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_the_case_is_that_of_the_target_whatever_the_prediction(case):
    """From predictions, an inside atom predicted at a vertex would count as one, and a vertex predicted inside would not."""
    target, on_boundary = CASES[case]
    for predicted, _ in CASES.values():
        places = itertools.product(*[(0, 1) if x in (0.0, 1.0) else (x,) for x in target])
        distances = [np.abs(np.array(predicted) - p).sum() for p in places]
        assert len(distances) == 2**on_boundary
        assert distance(pbc_cases, predicted, target, order=SHARP) == pytest.approx(min(distances), rel=2e-3, abs=1e-7)
    swapped = distance(pbc_cases, CASES["inside"][0], CASES["vertex"][0]), distance(pbc_cases, CASES["vertex"][0], CASES["inside"][0])
    assert swapped[0] == pytest.approx(0.4 + 0.4 + 0.3, rel=0.01)
    assert swapped[1] == pytest.approx(0.4 + 0.6 + 0.3, rel=1e-5)


def test_a_target_almost_on_the_boundary_is_on_it():
    assert distance(pbc_cases, [0.9998, 0.5, 0.5], [0.0003, 0.5, 0.5]) == pytest.approx(0.0005, rel=1e-3)
    assert distance(pbc_cases, [0.0003, 0.5, 0.5], [0.0003, 0.5, 0.5]) == 0
    assert distance(pbc_cases, [0.98, 0.5, 0.5], [0.01, 0.5, 0.5]) == pytest.approx(0.97, rel=1e-5)
    assert distance(pbc_cases, [0.98, 0.5, 0.5], [0.01, 0.5, 0.5], tolerance=0.02) == pytest.approx(0.03, rel=1e-4)


# Weights, padding and lattice


@ALL
def test_padding_never_matters(name):
    prediction, target, weight = some_crystals()
    clean, poisoned = prediction.clone(), torch.where(weight == 0, 1e6, prediction)
    clean.requires_grad_()
    poisoned.requires_grad_()
    one, other = LOSSES[name](clean, target, weight), LOSSES[name](poisoned, target, weight)
    assert torch.equal(one, other)
    other.backward()
    one.backward()
    assert (poisoned.grad[weight == 0] == 0).all()
    assert torch.equal(poisoned.grad, clean.grad)


@ALL
def test_the_amount_of_padding_never_matters(name):
    prediction, target, weight = some_crystals()
    longer = [torch.cat([t[:, :-3], torch.zeros(len(t), 9, 3), t[:, -3:]], dim=1) for t in (prediction, target, weight)]
    torch.testing.assert_close(LOSSES[name](*longer), LOSSES[name](prediction, target, weight))


@ALL
def test_weights_may_be_given_per_row_and_in_any_unit(name):
    prediction, target, _ = some_crystals()
    rows = torch.rand(64, 12, 1) + 0.1
    expected = LOSSES[name](prediction, target, rows.repeat(1, 1, 3))
    torch.testing.assert_close(LOSSES[name](prediction, target, rows), expected)
    torch.testing.assert_close(LOSSES[name](prediction, target, 7 * rows), expected)


@ALL
def test_a_sample_counts_the_same_alone_and_in_a_batch(name):
    data = some_crystals(batch=5)
    alone = torch.stack([LOSSES[name](*(t[i : i + 1] for t in data)) for i in range(5)])
    torch.testing.assert_close(LOSSES[name](*data), alone.mean())


@pytest.mark.parametrize("name", list(POSITIONS))
def test_the_lattice_is_plain_l1_and_never_wrapped(name):
    target = crystal([0.5, 0.5, 0.5])
    target[0, -3:] = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    prediction = target.clone()
    prediction[0, -3:] += torch.tensor([[0.9, -1.0, 2.3], [-0.95, 1.0, 1.0], [0.0, 0.0, -1.0]])
    prediction.requires_grad_()
    loss = POSITIONS[name](prediction, target, weights(1, lattice=1.0))
    assert loss.item() == pytest.approx((0.9 + 1.0 + 2.3 + 0.95 + 1.0 + 1.0 + 1.0) / 12)
    loss.backward()
    signs = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0], [0.0, 0.0, -1.0]])
    torch.testing.assert_close(prediction.grad[0, -3:], signs / 12)


@ALL
def test_half_precision_predictions_are_compared_in_single(name):
    prediction, target, weight = some_crystals()
    loss = LOSSES[name](prediction.bfloat16(), target, weight)
    assert loss.dtype == torch.float32
    assert loss == LOSSES[name](prediction.bfloat16().float(), target, weight)


# Gradients


@ALL
def test_gradients_are_finite_at_equality_at_ties_and_far_away(name):
    places = [0.0, 1.0, 0.5, -0.5, 1.5, 0.25, 1e-30, 1e-13, 1e-7, 1 - 1e-7, 1e4]
    atoms = list(itertools.product(places, repeat=3))
    for target in (0.0, 1.0, 0.5, 0.25):
        prediction = crystal(*atoms).requires_grad_()
        aim = torch.full_like(prediction, target)
        loss = LOSSES[name](prediction, aim, weights(len(atoms), lattice=1.0))
        loss.backward()
        assert loss.isfinite()
        assert prediction.grad.isfinite().all()
        exact = prediction.detach() == aim
        assert (prediction.grad[exact.all(dim=-1)] == 0).all()


@pytest.mark.parametrize("order", [-2.0, -20.0, -300.0])
def test_no_order_overflows(order):
    prediction, target, weight = some_crystals()
    prediction.requires_grad_()
    loss = pbc_cases(prediction, target, weight, order=order)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad.isfinite().all()


def test_descending_an_image_loss_takes_the_short_way_across_the_boundary():
    target = crystal([0.05, 0.0, 0.5])
    prediction = crystal([0.9, 0.9, 0.4]).requires_grad_()
    optimiser = torch.optim.SGD([prediction], lr=0.03)
    for _ in range(30):
        optimiser.zero_grad()
        pbc_images(prediction, target, weights(1)).backward()
        optimiser.step()
    torch.testing.assert_close(prediction[0, 0], torch.tensor([1.05, 1.0, 0.5]), atol=0.011, rtol=0)


# B's Figure 4


def test_two_pictures_of_one_crystal_differ_in_l1_only(tmp_path):
    pair = two_descriptions()
    assert StructureMatcher().fit(*to_structures(pair))
    found = losses_between(pair)
    assert found["l1"] == pytest.approx(0.5), "half of the coordinates are off by one"
    assert max(found["pbc_cases"], found["pbc_images"]) < 1e-6
    target, prediction = pair["frac_coords"]
    boundary = np.isin(target, (0, 1)).sum(axis=1)
    assert set(boundary) == {0, 1, 2, 3}, "inside, faces, edges and a vertex"
    assert (np.abs(prediction - target).sum(axis=1) == boundary).all()
    one, two = (save_figure(figures.pbc_example(), tmp_path / name, "it").read_bytes() for name in ("one", "two"))
    assert one == two
