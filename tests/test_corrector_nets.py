"""The networks that choose among candidates and correct them: what they may depend on, and what their corrections mean."""

import numpy as np
import pytest
import torch
from conftest import generic, rocksalt
from pymatgen.core import Structure

from crystalgen.corrector.correcting import corrected, way_to
from crystalgen.corrector.neighbours import CUTOFF, RADIAL, pair_features
from crystalgen.corrector.net import Corrector, Scorer, SiteTransformer
from crystalgen.crystals import from_structures
from crystalgen.matching.match import CSP
from crystalgen.matching.matcher import compare
from crystalgen.matching.reduction import ReducedCell, reduce_cell

FACTS, MEMBERS = 5, 3


def _cell(structure: Structure) -> ReducedCell:
    row = from_structures([structure], "tests").iloc[0]
    return reduce_cell(row["lattice"], row["atomic_numbers"], row["frac_coords"])


def _rotation(seed: int) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return turn * np.sign(np.linalg.det(turn))


def _trunk(facts: int, width: int = 16) -> SiteTransformer:
    return SiteTransformer(torch.randn(120, 4), facts, width, 2, 2, 0.0)


def _floats(arrays) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array)).double()[None] for array in arrays]


@pytest.fixture
def corrector() -> Corrector:
    torch.manual_seed(0)
    net = Corrector(_trunk(1), 16).double().eval()
    for head in (net.shift, net.strain):  # they begin at zero
        torch.nn.init.normal_(head.weight)
    return net


def _correction(net: Corrector, lattice, coords, roles) -> tuple[np.ndarray, np.ndarray]:
    species = int(max(roles)) + 1
    sums, directions, tensors = _floats(pair_features(np.ascontiguousarray(lattice), np.ascontiguousarray(coords)))
    asked = torch.arange(11, 11 + species)[None]
    before = torch.arange(30, 30 + species)[None, None].expand(1, MEMBERS, -1)
    with torch.inference_mode():
        shift, strain = net(torch.from_numpy(np.asarray(roles))[None], asked, before, torch.ones(1, MEMBERS).double(), sums,
                            torch.zeros(1, 1).double(), directions, tensors)  # fmt: skip
    return shift[0].numpy(), strain[0].numpy()


def test_pair_features_do_not_depend_on_the_setting_of_the_cell():
    cell = _cell(generic(3, ["Ti", "Ni", "Al", "Al"]))
    turn = np.array([[1, 1, 0], [0, 1, 0], [0, -2, 1]])
    first = pair_features(cell.lattice, cell.coords)
    moved = (cell.coords @ np.linalg.inv(turn) + [0.3, 0.9, 0.1]) % 1.0
    for one, other in zip(first, pair_features(turn @ cell.lattice, moved), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_pair_features_count_neighbours():
    """In rock salt six unlike neighbours stand at half the edge of the cubic cell, in one Gaussian's reach, and their directions cancel."""
    cell = _cell(rocksalt(5.6))
    sums, directions, tensors = pair_features(cell.lattice, cell.coords)
    distance = 0.5 * 4 ** (1 / 3) * 2 ** (1 / 3)  # a / 2 in units of (a^3 / 8)^(1/3)
    assert distance == pytest.approx(1.0)
    step = (CUTOFF - 0.35) / (RADIAL - 1)
    nearest = round((distance - 0.35) / step)
    expected = 6 * 0.5 * (np.cos(np.pi * distance / CUTOFF) + 1) * np.exp(-0.5 * ((distance - 0.35) / step - nearest) ** 2)
    assert sums[0, 1, nearest] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(directions, 0, atol=1e-9)
    np.testing.assert_allclose(tensors[0, 1, nearest], np.eye(3) * expected / 3, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_corrections_turn_with_the_crystal(corrector, seed):
    cell, turn = _cell(generic(seed, ["Ti", "Ni", "Al", "Al"])), _rotation(seed)
    roles = np.searchsorted(np.unique(cell.numbers), cell.numbers)
    shift, strain = _correction(corrector, cell.lattice, cell.coords, roles)
    assert np.abs(shift).max() > 1e-3
    assert np.abs(strain).max() > 1e-3
    turned, strained = _correction(corrector, cell.lattice @ turn, cell.coords, roles)
    np.testing.assert_allclose(turned, shift @ turn, atol=1e-8)
    np.testing.assert_allclose(strained, turn.T @ strain @ turn, atol=1e-8)


def test_corrections_follow_the_order_of_sites(corrector):
    cell = _cell(generic(5, ["Ti", "Ni", "Al", "Al"]))
    roles = np.searchsorted(np.unique(cell.numbers), cell.numbers)
    order = np.array([2, 0, 3, 1])
    shift, strain = _correction(corrector, cell.lattice, cell.coords, roles)
    other, strained = _correction(corrector, cell.lattice, cell.coords[order], roles[order])
    np.testing.assert_allclose(other, shift[order], atol=1e-8)
    np.testing.assert_allclose(strained, strain, atol=1e-8)


def test_corrections_keep_symmetry(corrector):
    """Nothing can move in rock salt; along the axis of wurtzite something can."""
    cell = _cell(rocksalt(5.6))
    shift, strain = _correction(corrector, cell.lattice, cell.coords, np.array([0, 1]))
    np.testing.assert_allclose(shift, 0, atol=1e-8)
    np.testing.assert_allclose(strain, 0, atol=1e-8)


@pytest.mark.parametrize("size", [0.02, 0.06])
def test_the_way_to_a_crystal_leads_there(size):
    rng = np.random.default_rng(1)
    cell = _cell(generic(8, ["Ti", "Ni", "Al", "Al", "Al"]))
    strain = rng.normal(size=(3, 3)) * size / 4
    target = ReducedCell(cell.lattice @ (np.eye(3) + strain), cell.numbers, (cell.coords + rng.normal(size=(5, 3)) * size / 6) % 1.0)
    turned = ReducedCell(target.lattice @ _rotation(4), target.numbers, (target.coords + 0.4) % 1.0)
    before = compare(cell, turned, CSP)
    after = compare(corrected(cell, *way_to(cell, turned)), turned, CSP)
    assert before[0] and before[1] > 0.003
    assert after[0] and after[1] < 1e-4


def test_no_way_leads_to_another_prototype():
    assert way_to(_cell(rocksalt(5.6)), "no cell") is None
    far = ReducedCell(np.eye(3) * 3.5, np.array([11, 17]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert way_to(_cell(rocksalt(5.6)), far) is None


@pytest.fixture
def asked() -> tuple[Scorer, tuple[torch.Tensor, ...]]:
    torch.manual_seed(1)
    scorer = Scorer(_trunk(FACTS), torch.stack([torch.zeros(FACTS), torch.ones(FACTS)]), 16, 0.0).eval()
    q, k, n, s = 2, 3, 4, 2
    given = (
        torch.randint(0, s, (q, k, n)),
        torch.randint(1, 90, (q, 1, s)).expand(-1, k, -1),
        torch.randint(1, 90, (q, k, MEMBERS, s)),
        torch.rand(q, k, MEMBERS) + 0.1,
        torch.rand(q, k, n, n, RADIAL),
        torch.randn(q, k, FACTS),
        torch.ones(q, k, dtype=torch.bool),
    )
    return scorer, given


@torch.inference_mode()
def test_the_order_of_candidates_does_not_matter(asked):
    scorer, given = asked
    order = [2, 0, 1]
    torch.testing.assert_close(scorer(*(part[:, order] for part in given)), scorer(*given)[:, [*order, 3]])


@torch.inference_mode()
def test_what_is_no_candidate_has_no_chance_and_no_influence(asked):
    scorer, given = asked
    *parts, real = given
    real = real.clone()
    real[:, 2] = False
    logits = scorer(*parts, real)
    assert (logits.softmax(dim=1)[:, 2] == 0).all()
    alone = scorer(*(part[:, :2] for part in given))
    torch.testing.assert_close(logits[:, [0, 1, 3]], alone)


@torch.inference_mode()
def test_shares_that_are_zero_do_not_count(asked):
    scorer, (roles, elements, before, shares, *rest) = asked
    shares[..., 1:] = 0
    first = scorer(roles, elements, before, shares, *rest)
    changed = before.clone()
    changed[..., 1:, :] = 0
    torch.testing.assert_close(scorer(roles, elements, changed, shares, *rest), first)
