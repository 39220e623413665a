"""Descriptions that do not depend on the cell, the origin or the order that a source chose."""

import numpy as np
import pytest

from crystalgen.matching.match import Tolerances, match_pairs
from crystalgen.represent.canonical import species_keys
from crystalgen.represent.reduced import equal_cells, reduce_cells, reduced

CUBIC = np.eye(3) * 4.0
FCC = np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0.0]])
HEXAGONAL = np.array([[3, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5.0]])
TRICLINIC = np.array([[4, 0, 0], [0.7, 5, 0], [0.9, 1.1, 6.0]])


def described_anew(rng, lattice, numbers, coords):
    """The same crystal in other axes, from another origin, in another order."""
    axes = np.eye(3, dtype=int)
    for _ in range(4):
        one, other = rng.permutation(3)[:2]
        axes[one] += rng.integers(-1, 2) * axes[other]
    axes = axes[rng.permutation(3)] * rng.choice([-1, 1], 3)[:, None]
    order = rng.permutation(len(numbers))
    return axes @ lattice, numbers[order], ((coords + rng.random(3)) @ np.linalg.inv(axes))[order]


def test_a_reduced_crystal_is_the_same_crystal(crystals):
    table = reduce_cells(crystals)
    assert match_pairs(table, crystals, Tolerances(0.01, 0.01, 1), workers=1)["matched"].all()
    for lattice, numbers, coords, old in zip(
        table["lattice"], table["atomic_numbers"], table["frac_coords"], crystals["atomic_numbers"], strict=True
    ):
        assert np.allclose(np.triu(lattice, 1), 0) and (np.diag(lattice) > 0).all()
        assert (np.diff(np.linalg.norm(lattice, axis=1)) > -0.02 * lattice.max()).all()
        assert (np.diff(species_keys(numbers)) >= 0).all() and sorted(numbers) == sorted(old)
        assert np.allclose(coords[0], 0) and (coords >= 0).all() and (coords < 1).all()


@pytest.mark.parametrize("lattice", [CUBIC, FCC, HEXAGONAL, TRICLINIC], ids=["cubic", "fcc", "hexagonal", "triclinic"])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_the_description_does_not_depend_on_how_the_source_described_the_crystal(lattice, noise):
    rng = np.random.default_rng(0)
    numbers = np.array([22, 22, 8, 8, 8])
    for _ in range(5):
        coords = np.round(rng.random((5, 3)) * 12) / 12 if noise else rng.random((5, 3))
        lattices, kinds, places = zip(*(reduced(*described_anew(rng, lattice, numbers, coords)) for _ in range(6)), strict=True)
        for other, kind, place in zip(lattices, kinds, places, strict=True):
            np.testing.assert_allclose(other, lattices[0], atol=1e-6)
            assert kind.tolist() == [22, 22, 8, 8, 8]
            off = place - places[0]
            np.testing.assert_allclose(off - off.round(), 0, atol=1e-6)


@pytest.mark.parametrize(("lattice", "count"), [(CUBIC, 48), (FCC, 48), (HEXAGONAL, 24), (np.diag([3, 3, 5.0]), 16), (TRICLINIC, 2)])
def test_equal_cells_are_the_symmetries_of_the_lattice(lattice, count):
    cells = equal_cells(lattice @ lattice.T)
    assert len(cells) == count
    for axes in cells:
        np.testing.assert_allclose(axes @ lattice @ lattice.T @ axes.T, lattice @ lattice.T, atol=1e-9)
