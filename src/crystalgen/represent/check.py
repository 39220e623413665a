"""How exact a representation is on a table: encode, decode, compare."""

from typing import Literal

import numpy as np
import pandas as pd
from pymatgen.core import Lattice

from crystalgen.crystals.geometry import right_handed
from crystalgen.represent import matrix, unimat


def largest_round_trip_error(table: pd.DataFrame, representation: Literal["matrix", "unimat"]) -> float:
    """Return the largest difference of a fractional coordinate (modulo 1) or of a lattice entry (Å) after a round trip.

    For UniMat, which keeps cell parameters and groups atoms by element, a, b, c (Å) and cosines of the angles are
    compared, atoms element by element. Infinite if the composition changes.
    """
    if representation == "matrix":
        lattices, numbers, coords = matrix.decode(matrix.encode(table))
    else:
        block = unimat.table_for(table)
        placed = unimat.encode(table, block)
        lattices, numbers, coords = unimat.decode(unimat.dense(placed, block), placed.cell, block)
    worst = 0.0
    columns = zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True)
    for (lattice, z, x), lattice2, z2, x2 in zip(columns, lattices, numbers, coords, strict=True):
        if representation == "unimat":
            lattice, x = right_handed(lattice, x)
            z, x, z2, x2 = *_by_element(z, x), *_by_element(z2, x2)
            lattice, lattice2 = _shape(lattice), _shape(lattice2)
        if not np.array_equal(z, z2):
            return np.inf
        difference = x - x2
        worst = max(worst, np.abs(difference - np.round(difference)).max(), np.abs(lattice - lattice2).max())
    return float(worst)


def _by_element(numbers: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(numbers, kind="stable")
    return numbers[order], coords[order]


def _shape(lattice: np.ndarray) -> np.ndarray:
    parameters = np.array(Lattice(lattice).parameters)
    return np.concatenate([parameters[:3], np.cos(np.radians(parameters[3:]))])
