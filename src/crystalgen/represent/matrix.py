"""B's matrix: X = (rows, 3), fractional coordinates above, the lattice below (B §2.1, eq. 1).

Rows 0 to rows-5 hold atoms, row rows-4 is padding, the last three are the lattice vectors in Å. The paper
has rows = 64; the longest crystal in use is enough, and everything is faster for it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crystalgen.generative.data.format import EXTRA_ROWS, LATTICE_ROWS

PAPER_ROWS = 64


@dataclass(frozen=True)
class Matrices:
    """n crystals.

    x: float32 (n, rows, 3); fractional coordinates and, in the last three rows, lattice vectors in Å.
    atomic_numbers: uint8 (n, rows); 0 where a row holds no atom.
    """

    x: np.ndarray
    atomic_numbers: np.ndarray


def rows_needed(table: pd.DataFrame) -> int:
    """Return rows for the longest crystal of the table."""
    return int(table["nsites"].max()) + EXTRA_ROWS


def encode(table: pd.DataFrame, rows: int | None = None) -> Matrices:
    """Encode the table, sites in their given order.

    Raises:
        ValueError: a crystal is longer than `rows` allows; its id is named.
    """
    rows = rows_needed(table) if rows is None else rows
    nsites = table["nsites"].to_numpy()
    if (nsites > rows - EXTRA_ROWS).any():
        worst = int(np.argmax(nsites))
        raise ValueError(f"crystal '{table['id'].iloc[worst]}' has {nsites[worst]} sites; {rows} rows hold {rows - EXTRA_ROWS}")
    x = np.zeros((len(table), rows, 3), dtype=np.float32)
    numbers = np.zeros((len(table), rows), dtype=np.uint8)
    crystal = np.repeat(np.arange(len(table)), nsites)
    site = np.concatenate([np.arange(n) for n in nsites]) if len(table) else np.zeros(0, int)
    if len(table):
        x[crystal, site] = np.concatenate(table["frac_coords"].to_numpy())
        numbers[crystal, site] = np.concatenate(table["atomic_numbers"].to_numpy())
        x[:, -LATTICE_ROWS:] = np.stack(table["lattice"].to_numpy())
    return Matrices(x, numbers)


def decode(matrices: Matrices) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Lattices (3, 3), atomic numbers (nsites,) and fractional coordinates (nsites, 3) of each crystal."""
    mask = matrices.atomic_numbers > 0
    numbers = [z[m].astype(np.int16) for z, m in zip(matrices.atomic_numbers, mask, strict=True)]
    coords = [x[m].astype(float) for x, m in zip(matrices.x, mask, strict=True)]
    return list(matrices.x[:, -LATTICE_ROWS:].astype(float)), numbers, coords
