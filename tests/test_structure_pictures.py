"""Pictures of crystals: galleries are complete, atoms on the boundary repeated, views proper rotations."""

import numpy as np
import pytest
from present_case import three_crystals

from crystalgen.report import structures

table = pytest.fixture(three_crystals)


def test_a_gallery_shows_its_crystals_from_top_to_bottom(table):
    shown = {"input": table.iloc[2], "target": table.iloc[0], "generated": table.iloc[1]}
    items = [{"title": f"item {i}", "crystals": shown, "matched": i == 1} for i in range(7)]
    figure = structures.gallery(items)
    assert len(figure.axes) == 2 * 3 * 6  # a second block for the seventh
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:18] == [f"item {i}" for i in range(6)] + [""] * 6 + ["no match", "match"] + ["no match"] * 4
    names = list(structures.gallery_crystals(items))
    assert names[-3:] == ["7. item 6, input", "7. item 6, target", "7. item 6, generated"]


@pytest.mark.parametrize(
    ("position", "count"),
    [
        ((0, 0, 0), 8),
        ((0.999, 1.0, -0.001), 8),
        ((0, 0, 0.5), 4),
        ((0.5, 0.5, 0), 2),
        ((0.5, 0.5, 1), 2),
        ((0.5, 0.5, 0.5), 1),
        ((0.5, 0.5, 0.03), 1),
    ],
)
def test_atoms_on_the_boundary_are_repeated(position, count):
    index, coords = structures.boundary_images(np.array([position, (0.3, 0.3, 0.3)], dtype=float))
    assert (index == 0).sum() == count
    assert (index == 1).sum() == 1
    assert len(np.unique(coords.round(2), axis=0)) == count + 1
    assert (coords > -0.011).all() and (coords < 1.011).all()


@pytest.mark.parametrize("lattice", [np.eye(3) * 3, np.diag([20.0, 3, 3]), [[0, 2, 2], [2, 0, 2], [2, 2, 0]], -np.eye(3) * 3])
def test_view_is_a_proper_rotation(lattice):
    view = structures.view_rotation(np.array(lattice, dtype=float))
    np.testing.assert_allclose(view.T @ view, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) > 0  # a mirror image would be another crystal


@pytest.mark.parametrize("longest", [0, 1, 2])
def test_longest_vector_is_not_along_the_line_of_sight(longest):
    lattice = np.eye(3) * 3
    lattice[longest] = np.roll([1.0, 9.0, 1.0], longest - 1)
    seen = lattice[longest] @ structures.view_rotation(lattice)
    assert np.linalg.norm(seen[:2]) > 0.9 * np.linalg.norm(seen)
