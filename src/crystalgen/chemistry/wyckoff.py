"""Wyckoff positions of the 230 space groups, of the table that comes with PyXtal.

Standard settings: axis b unique, second origin, hexagonal axes.
"""

import csv
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import combinations, product
from pathlib import Path

import numpy as np

_LETTERS = "abcdefghijklmnopqrstuvwxyzA"
_TERM = re.compile(r"([+-]?)(?:(\d*)([xyz])|(\d+)(?:/(\d+))?)")
_CLOSE = 1e-6


@dataclass(frozen=True)
class Site:
    """A Wyckoff position.

    multiplicity: atoms in a primitive cell. freedom: number of coordinates that are free.
    matrix, shift: its first point is matrix @ p + shift for any p (3,), conventional axes.
    """

    letter: str
    multiplicity: int
    freedom: int
    matrix: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class SpaceGroup:
    """A space group in the axes of a primitive cell.

    basis: primitive lattice vectors in conventional axes, (3, 3) rows.
    rotations, translations: operations on columns of fractional coordinates, one for each rotation, int (g, 3, 3) and (g, 3).
    sites: Wyckoff positions, `a` first.
    """

    number: int
    basis: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    sites: tuple[Site, ...]

    def orbit(self, site: Site, free: np.ndarray) -> np.ndarray:
        """Return the points (multiplicity, 3) of a position, primitive axes, for free coordinates (3,)."""
        first = np.linalg.solve(self.basis.T, site.matrix @ free + site.shift)
        points = self.rotations @ first + self.translations
        apart = points[:, None] - points[None]
        same = np.abs(apart - np.round(apart)).max(axis=2) < _CLOSE
        return points[same.argmax(axis=1) == np.arange(len(points))]

    def random_metric(self, rng: np.random.Generator, spread: float = 0.25) -> np.ndarray:
        """Return a metric (3, 3) of primitive vectors that the group allows, volume 1: of a cube strained at random, averaged."""
        axes = np.diag(np.exp(spread * rng.standard_normal(3))) + 0.5 * spread * np.tril(rng.standard_normal((3, 3)), -1)
        turns = self.conventional_rotations
        metric = self.basis @ np.mean(turns.transpose(0, 2, 1) @ (axes @ axes.T) @ turns, axis=0) @ self.basis.T
        return metric / np.cbrt(np.linalg.det(metric))

    @cached_property
    def conventional_rotations(self) -> np.ndarray:
        """The same rotations in conventional axes, (g, 3, 3)."""
        return np.round(self.basis.T @ self.rotations @ np.linalg.inv(self.basis.T))


@cache
def space_group(number: int) -> SpaceGroup:
    """Return a space group by its International number.

    Raises:
        ValueError: the number is not 1 to 230.
    """
    if number not in range(1, 231):
        raise ValueError(f"space group {number!r}: expected an International number from 1 to 230")
    positions = [[_affine(text) for text in texts] for texts in _table()[number]]
    rotations, translations = (np.array(part) for part in zip(*positions[0], strict=True))
    centring = translations[(rotations == np.eye(3)).all(axis=(1, 2))]
    basis = _primitive_basis(centring)
    _, first = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True)
    turned = np.linalg.inv(basis.T) @ rotations[np.sort(first)] @ basis.T
    moved = np.linalg.solve(basis.T, translations[np.sort(first)].T).T
    sites = [
        Site(letter, len(points) // len(centring), int(np.linalg.matrix_rank(points[0][0])), *points[0])
        for letter, points in zip(_LETTERS, reversed(positions), strict=False)
    ]
    return SpaceGroup(number, basis, np.round(turned).astype(int), moved, tuple(sites))


@cache
def _table() -> dict[int, list[list[str]]]:
    """Coordinates of each position's points, the general position first."""
    folder = Path(next(iter(find_spec("pyxtal").submodule_search_locations)))
    with (folder / "database" / "wyckoff_list.csv").open(newline="") as file:
        rows = list(csv.reader(file))[2:]
    return {int(number): [re.findall(r"'([^']*)'", position) for position in re.findall(r"\[([^\[\]]*)\]", text)] for number, text in rows}


def _affine(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3) and shift (3,) of e.g. `x-y+2/3, 2x, 1/2`."""
    matrix, shift = np.zeros((3, 3)), np.zeros(3)
    for row, part in enumerate(text.replace(" ", "").split(",")):
        for sign, factor, axis, above, below in _TERM.findall(part):
            size = -1 if sign == "-" else 1
            if axis:
                matrix[row, "xyz".index(axis)] += size * int(factor or 1)
            else:
                shift[row] += size * float(Fraction(int(above), int(below or 1)))
    return matrix, shift


def _primitive_basis(centring: np.ndarray) -> np.ndarray:
    """Short right-handed vectors, rows, of the lattice that the centring vectors (c, 3) and the unit vectors span."""
    steps = np.array(list(product((-1, 0), repeat=3)))
    vectors = np.concatenate([np.eye(3), (centring[:, None] % 1 + steps).reshape(-1, 3)])
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1).round(6), kind="stable")]
    for triple in combinations([v for v in vectors if np.linalg.norm(v) > _CLOSE], 3):
        if np.isclose(abs(size := np.linalg.det(triple)), 1 / len(centring)):
            return np.array(triple) * (1 if size > 0 else -1)
    raise AssertionError("a lattice has a primitive basis among its short vectors")
