"""The denoiser: what it answers turns with the crystal and ignores cell and origin; noise is taken out; training resumes."""

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystalgen.config import Denoiser as Settings
from crystalgen.config import NetworkTraining
from crystalgen.corrector import denoising, settling
from crystalgen.corrector.denoiser import Denoiser
from crystalgen.crystals import from_structures

SMALL = Settings(width=48, blocks=2, training=NetworkTraining(epochs=2, batch_size=8, learning_rate=3e-3, precision="no"))
TURN = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
OTHER_CELL = np.array([[1, 1, 0], [0, 1, 0], [0, -2, 1]])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = Denoiser(SMALL)
    for layer in (net.shift, net.strain, net.swelling, *(part.leave[-1] for part in net.angles)):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return net.eval()


@pytest.fixture
def crystal():
    rng = np.random.default_rng(0)
    lattice = np.array([[3.0, 0.2, 0.1], [-0.4, 3.6, 0.3], [0.5, 0.1, 4.1]])
    return lattice[None], rng.random((1, 5, 3)), torch.tensor([[6, 6, 14, 14, 6]])


def said(net, lattices, coords, numbers):
    with torch.inference_mode():
        return [part.numpy()[0] for part in denoising.answer(net, lattices, coords, numbers, np.full(len(lattices), 0.1))]


def test_answers_turn_with_the_crystal(net, crystal):
    lattice, coords, numbers = crystal
    shift, strain = said(net, *crystal)
    turned_shift, turned_strain = said(net, lattice @ TURN.T, coords, numbers)
    assert np.abs(shift).max() > 0.01 and np.abs(strain - strain[0, 0] * np.eye(3)).max() > 0.01, "there is something to turn"
    np.testing.assert_allclose(turned_shift, shift @ TURN.T, atol=1e-4)
    np.testing.assert_allclose(turned_strain, TURN @ strain @ TURN.T, atol=1e-4)


def test_answers_do_not_depend_on_cell_origin_or_order(net, crystal):
    lattice, coords, numbers = crystal
    shift, strain = said(net, *crystal)
    other = said(net, OTHER_CELL @ lattice, (coords + [0.3, 0.7, 0.1]) @ np.linalg.inv(OTHER_CELL), numbers)
    np.testing.assert_allclose(other[0], shift, atol=1e-4)
    np.testing.assert_allclose(other[1], strain, atol=1e-4)
    order = np.array([4, 2, 0, 3, 1])
    np.testing.assert_allclose(said(net, lattice, coords[:, order], numbers[:, order])[0], shift[order], atol=1e-4)


def test_answers_know_angles_that_distances_to_neighbours_do_not_tell(net):
    """Four neighbours in a square and in a tetrahedron, equally far: the shells of the middle site are alike, its invariants are not."""
    h, radial = torch.zeros(1, 5, 48), 3
    square = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
    answers = []
    for arms in (square, tetrahedron):
        directions, tensors = torch.zeros(1, 5, 5, 3, 10), torch.zeros(1, 5, 5, 6, 10)
        for place, arm in enumerate(torch.from_numpy(arms).float(), start=1):
            outer = torch.outer(arm, arm) - torch.eye(3) / 3
            directions[0, 0, place, :, radial] = arm
            tensors[0, 0, place, :, radial] = torch.stack([*outer.diagonal(), outer[1, 2], outer[0, 2], outer[0, 1]])
        answers.append(net.angles[0](h, directions, tensors)[0, 0])
    assert (answers[0] - answers[1]).abs().max() > 0.01


def test_noise_moves_back_along_what_it_was():
    rng = np.random.default_rng(1)
    lattices, coords = 4 * np.eye(3) + rng.normal(0, 0.3, (6, 3, 3)), rng.random((6, 4, 3))
    level, (shift, strain) = np.full(6, 0.2), denoising.draw_noise(6, 4)
    noisy = denoising.moved(lattices, coords, level, shift, strain)
    assert np.abs(noisy[0] - lattices).max() > 0.05 and np.abs(noisy[1] - coords).max() > 0.05
    edge = (np.abs(np.linalg.det(noisy[0])) / 4) ** (1 / 3)
    cartesian = (noisy[1] - coords) @ noisy[0]
    np.testing.assert_allclose(cartesian, 0.2 * edge[:, None, None] * shift, atol=1e-9)
    back, _ = denoising.moved(noisy[0], coords, level, 0 * shift, -strain)
    np.testing.assert_allclose(back, lattices, atol=1e-9)


def diamonds() -> pd.DataFrame:
    structures = [
        Structure.from_spacegroup("Fd-3m", Lattice.cubic(edge), ["C"], [[0, 0, 0]]).get_primitive_structure() * copies
        for edge in (3.5, 3.55, 3.6)
        for copies in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))
    ]
    return from_structures(structures, "diamond")


def test_diamonds_learn_to_be_diamonds_again(tmp_path):
    table = diamonds()
    settings = SMALL.model_copy(update={"training": SMALL.training.model_copy(update={"epochs": 60})})
    run = denoising.train_denoiser(table, settings, tmp_path / "run.pt", "x")
    assert run.losses[-1] < 0.6 * run.losses[0]
    trained = denoising.TrainedDenoiser(settings, run.net)
    trained.save(tmp_path / "folder")
    again = denoising.denoised(denoising.TrainedDenoiser.load(tmp_path / "folder"), table, noise=0.1, steps=10)
    same = denoising.denoised(trained, table, noise=0.1, steps=10)
    np.testing.assert_array_equal(np.stack(again["lattice"]), np.stack(same["lattice"]))
    for lattice, numbers, coords in cells_of(again):
        found = Structure(lattice, numbers, coords)
        bonds = sorted(neighbour.nn_distance for neighbour in found.get_neighbors(found[0], 3.0))[:4]
        assert np.std(bonds) < 0.12 and 1.35 < np.mean(bonds) < 1.7


def cells_of(table: pd.DataFrame) -> list[tuple]:
    return list(zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True))


def test_training_goes_on_where_it_was_cut_off(tmp_path):
    table = diamonds()
    once = denoising.train_denoiser(table, SMALL, tmp_path / "whole.pt", "x")

    class Stopped(Exception):
        pass

    def batches_that_stop(kinds, size, rng, items=None):
        if calls:
            raise Stopped
        calls.append(1)
        return real(kinds, size, rng, items)

    calls, real = [], denoising.equal_batches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(denoising, "equal_batches", batches_that_stop)
        with pytest.raises(Stopped):
            denoising.train_denoiser(table, SMALL, tmp_path / "part.pt", "x")
    twice = denoising.train_denoiser(table, SMALL, tmp_path / "part.pt", "x")
    for one, other in zip(once.net.parameters(), twice.net.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_what_cannot_be_is_refused(tmp_path, net):
    trained = denoising.TrainedDenoiser(SMALL, net)
    with pytest.raises(ValueError, match=r"noise 2; expected a number between 0.015 and 0.45"):
        denoising.denoised(trained, diamonds(), noise=2.0)
    with pytest.raises(ValueError, match="steps 0; expected at least 1"):
        denoising.denoised(trained, diamonds(), noise=0.1, steps=0)
    with pytest.raises(FileNotFoundError, match=r"denoiser\.json: no such file"):
        denoising.TrainedDenoiser.load(tmp_path)
    with pytest.raises(ValueError, match="heads 5: expected a divisor of width 96"):
        Settings(heads=5)
    with pytest.raises(ValueError, match=r"least 0.5: expected less than most 0.45"):
        Settings(least=0.5)


def test_settling_keeps_what_is_doubted_less_and_leaves_the_rest(tmp_path):
    table = diamonds()
    settings = SMALL.model_copy(update={"training": SMALL.training.model_copy(update={"epochs": 60})})
    trained = denoising.TrainedDenoiser(settings, denoising.train_denoiser(table, settings, tmp_path / "run.pt", "x").net)
    rng = np.random.default_rng(0)
    shaken = table.assign(frac_coords=[coords + rng.normal(0, 0.06, coords.shape) for coords in table["frac_coords"]])
    shaken = pd.concat([table, shaken], ignore_index=True)
    before = settling.doubt(trained, shaken)
    assert before[: len(table)].max() < before[len(table) :].min(), "what was moved is doubted more"
    enough = before[: len(table)].max() + 1e-9
    found, left = settling.settled(trained, shaken, 6, enough)
    np.testing.assert_allclose(left, settling.doubt(trained, found), rtol=1e-4)
    assert (left <= before).all() and np.median(left[len(table) :] / before[len(table) :]) < 0.3
    for lattice, was in zip(found["lattice"][: len(table)], table["lattice"], strict=True):
        np.testing.assert_array_equal(lattice, was)
    none, _ = settling.settled(trained, shaken, 0, enough)
    np.testing.assert_array_equal(np.concatenate(none["frac_coords"]), np.concatenate(shaken["frac_coords"]))
