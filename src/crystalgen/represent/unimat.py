"""UniMat: atom positions at their elements' places in the periodic table (A §2.1).

x has shape (channels, L, H, W): channels 0-2 are an atom's fractional coordinates, 3-8 the cell
(a, b, c in Å and α, β, γ in degrees), the same at every place. L is the most atoms of one element, H x W the
part of the 9 x 18 table in use. A place without an atom holds NULL in channels 0-2.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Lattice

from crystalgen.chemistry import periodic_table
from crystalgen.crystals.geometry import right_handed
from crystalgen.represent.canonical import wrap

NULL = -1.0
NULL_THRESHOLD = -0.5  # a place whose mean coordinate is below this, half way from NULL to 0, holds no atom
COORDINATES, CELL = slice(0, 3), slice(3, 9)
CHANNELS = 9


@dataclass(frozen=True)
class Table:
    """The part of the periodic table in use.

    elements: atomic number at each place, int (H, W); 0 where the block has a place that is not used.
    depth: L, the most atoms of one element.
    """

    elements: np.ndarray
    depth: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, H, W)."""
        return (self.depth, *self.elements.shape)


def table_for(crystals: pd.DataFrame) -> Table:
    """The smallest block that holds the crystals: empty periods and groups are cut out."""
    used = sorted(set().union(*(set(z.tolist()) for z in crystals["atomic_numbers"])))
    depth = max(int(np.bincount(z).max()) for z in crystals["atomic_numbers"])
    return Table(_places(used), depth)


def full_table(depth: int) -> Table:
    """All 9 x 18 places."""
    return Table(_places(range(1, 104)), depth)


def encode(crystals: pd.DataFrame, table: Table) -> np.ndarray:
    """Encode crystals, float32 (n, 9, L, H, W); atoms of an element fill L in their given order.

    Coordinates are taken modulo 1, so that none comes near NULL.

    Raises:
        ValueError: a crystal has an element outside the block or more atoms of one than L; its id is named.
    """
    place = np.full((104, 2), -1)
    rows, columns = np.nonzero(table.elements)
    place[table.elements[rows, columns]] = np.stack([rows, columns], axis=1)
    x = np.full((len(crystals), CHANNELS, *table.shape), NULL, dtype=np.float32)
    columns = zip(crystals["id"], crystals["lattice"], crystals["atomic_numbers"], crystals["frac_coords"], strict=True)
    for i, (name, lattice, numbers, coords) in enumerate(columns):
        layer = _rank_within_element(numbers)
        where = place[numbers]
        if (where < 0).any() or (layer >= table.depth).any():
            raise ValueError(
                f"crystal '{name}' does not fit a table of shape (L, H, W) = {table.shape}: elements {sorted(set(numbers.tolist()))}"
            )
        lattice, coords = right_handed(lattice, coords)
        x[i, COORDINATES, layer, where[:, 0], where[:, 1]] = wrap(coords)
        x[i, CELL] = np.array(Lattice(lattice).parameters)[:, None, None, None]
    return x


def decode(x: np.ndarray, table: Table) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Lattices (3, 3), atomic numbers and fractional coordinates of each crystal; empty ones have no atoms.

    The cell is the mean over all places. An atom is kept where the mean of its coordinates is at least
    NULL_THRESHOLD and the place belongs to an element.
    """
    held = (x[:, COORDINATES].mean(axis=1) >= NULL_THRESHOLD) & (table.elements > 0)
    cells = x[:, CELL].astype(np.float64).mean(axis=(2, 3, 4))
    numbers, coords = [], []
    for sample, mask in zip(x, held, strict=True):
        _, row, column = places = np.nonzero(mask)
        numbers.append(table.elements[row, column].astype(np.int16))
        coords.append(sample[COORDINATES][:, *places].T.astype(float))
    return [lattice_from_parameters(cell) for cell in cells], numbers, coords


def lattice_from_parameters(parameters: np.ndarray) -> np.ndarray:
    """Rows a, b, c for (a, b, c, α, β, γ); NaN where no such cell exists (the sample is then invalid)."""
    a, b, c, alpha, beta, gamma = parameters
    if min(a, b, c) <= 0 or not all(0 < angle < 180 for angle in (alpha, beta, gamma)):
        return np.full((3, 3), np.nan)
    cosines = np.cos(np.radians([alpha, beta, gamma]))
    lattice = np.zeros((3, 3))
    sine = np.sin(np.radians(gamma))
    with np.errstate(invalid="ignore", divide="ignore"):
        tilt = (cosines[0] - cosines[1] * cosines[2]) / sine
        height = np.sqrt(1 - cosines[1] ** 2 - tilt**2)
    lattice[0, 0] = a
    lattice[1, :2] = b * cosines[2], b * sine
    lattice[2] = c * cosines[1], c * tilt, c * height
    return lattice


def _places(atomic_numbers) -> np.ndarray:
    atomic_numbers = np.asarray(list(atomic_numbers), dtype=int)
    periods, groups = periodic_table.block(atomic_numbers)
    elements = np.zeros((len(periods), len(groups)), dtype=np.int64)
    used = periodic_table.positions()[atomic_numbers]
    elements[np.searchsorted(periods, used[:, 0]), np.searchsorted(groups, used[:, 1])] = atomic_numbers
    return elements


def _rank_within_element(numbers: np.ndarray) -> np.ndarray:
    """0, 1, 2 ... for the first, second, third atom of each element."""
    same = numbers[:, None] == numbers[None, :]
    return np.tril(same, -1).sum(axis=1)
