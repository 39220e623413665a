"""UniMat: atom positions at their elements' places in the periodic table (A §2.1).

A crystal is a grid (3, L, H, W) of fractional coordinates and a cell (a, b, c in Å and α, β, γ in degrees). L is the
most atoms of one element, H x W the part of the 9 x 18 table in use. A place without an atom holds NULL. Few places
hold one, so that crystals are kept as lists of them (`Placed`); a network's grid is filled batch by batch.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Lattice

from crystalgen.chemistry import periodic_table
from crystalgen.crystals.geometry import right_handed
from crystalgen.generative.data.format import NULL, NULL_THRESHOLD
from crystalgen.represent.canonical import wrap
from crystalgen.utils.lattice import lattices_from_parameters


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
    """Return the smallest block that holds the crystals: empty periods and groups are cut out."""
    used = sorted(set().union(*(set(z.tolist()) for z in crystals["atomic_numbers"])))
    depth = max(int(np.bincount(z).max()) for z in crystals["atomic_numbers"])
    return Table(_places(used), depth)


@dataclass(frozen=True)
class Placed:
    """n crystals as lists of their occupied places, the longest of A atoms.

    place: number of each atom's place in a grid (L, H, W), row by row, int (n, A); -1 after the last atom.
    frac_coords: float32 (n, A, 3), in [0, 1).
    cell: a, b, c (Å) and α, β, γ (degrees), float32 (n, 6).
    """

    place: np.ndarray
    frac_coords: np.ndarray
    cell: np.ndarray


def encode(crystals: pd.DataFrame, table: Table) -> Placed:
    """Encode crystals; atoms of an element fill L in their given order.

    Coordinates are taken modulo 1, so that none comes near NULL.

    Raises:
        ValueError: a crystal has an element outside the block or more atoms of one than L; its id is named.
    """
    where = np.full(104, -1)
    where[table.elements[table.elements > 0]] = np.flatnonzero(table.elements.ravel())
    longest = int(crystals["nsites"].max())
    place = np.full((len(crystals), longest), -1, dtype=np.int64)
    coordinates = np.zeros((len(crystals), longest, 3), dtype=np.float32)
    cell = np.empty((len(crystals), 6), dtype=np.float32)
    columns = zip(crystals["id"], crystals["lattice"], crystals["atomic_numbers"], crystals["frac_coords"], strict=True)
    for i, (name, lattice, numbers, coords) in enumerate(columns):
        layer = _rank_within_element(numbers)
        if (where[numbers] < 0).any() or (layer >= table.depth).any():
            raise ValueError(
                f"crystal '{name}' does not fit a table of shape (L, H, W) = {table.shape}: elements {sorted(set(numbers.tolist()))}"
            )
        lattice, coords = right_handed(lattice, coords)
        place[i, : len(numbers)] = layer * table.elements.size + where[numbers]
        coordinates[i, : len(numbers)] = wrap(coords)
        cell[i] = Lattice(lattice).parameters
    return Placed(place, coordinates, cell)


def dense(placed: Placed, table: Table) -> np.ndarray:
    """Return the grids, float32 (n, 3, L, H, W)."""
    grid = np.full((len(placed.place), int(np.prod(table.shape)), 3), NULL, dtype=np.float32)
    crystal, atom = np.nonzero(placed.place >= 0)
    grid[crystal, placed.place[crystal, atom]] = placed.frac_coords[crystal, atom]
    return np.ascontiguousarray(grid.transpose(0, 2, 1)).reshape(-1, 3, *table.shape)


def decode(
    grid: np.ndarray, cell: np.ndarray, table: Table, occupied: np.ndarray | None = None
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Lattices (3, 3), atomic numbers and fractional coordinates of each crystal; empty ones have no atoms.

    Args:
        grid: (n, 3, L, H, W).
        cell: (n, 6).
        occupied: bool (n, L, H, W), which places hold an atom, where that is known. Otherwise an atom is kept where the
            mean of its coordinates is at least NULL_THRESHOLD and the place belongs to an element.
    """
    held = (grid.mean(axis=1) >= NULL_THRESHOLD) & (table.elements > 0) if occupied is None else occupied
    numbers, coords = [], []
    for sample, mask in zip(grid, held, strict=True):
        _, row, column = places = np.nonzero(mask)
        numbers.append(table.elements[row, column].astype(np.int16))
        coords.append(sample[:, *places].T.astype(float))
    return list(lattices_from_parameters(cell)), numbers, coords


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
