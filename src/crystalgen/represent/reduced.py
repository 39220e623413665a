"""One description per crystal, whatever cell its source chose: the Niggli cell, and of its symmetry's equal descriptions the least.

`represent.canonical` keeps the source's cell. Where sources differ in it, as those of MP-20 do (57 % of its cells are Niggli's),
a network would have to learn each of them.
"""

from itertools import product

import numpy as np
import pandas as pd
import spglib

from crystalgen.represent.canonical import species_keys, wrap

GRID = 48  # coordinates are compared on this grid, on whose points halves, thirds, quarters, sixths and eighths lie
TOLERANCE = 0.02  # relative, of lengths' squares and products within which two cells are equal
_STEPS = np.array(list(product((-1, 0, 1), repeat=3)))  # lattice vectors among which the axes of equal cells are
_NIGGLI_EPS = 1e-4  # relative, of squared lengths


def reduce_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the same crystals in reduced cells, sites ordered, lattices lower triangular.

    Species are ordered as in `canonical.canonicalise`. Of all descriptions (axes of an equal cell, an atom of the first species at the
    origin) the one with the least list of coordinates is taken. Mirror images become one crystal: the matcher does not tell them apart.
    """
    columns = zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True)
    lattices, numbers, coords = zip(*(reduced(m, z, x) for m, z, x in columns), strict=True)
    return table.assign(lattice=list(lattices), atomic_numbers=list(numbers), frac_coords=list(coords))


def reduced(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reduce one crystal: lattice (3, 3), atomic numbers (n,) and fractional coordinates (n, 3), see `reduce_cells`."""
    basis, origin, order = reduction(lattice, numbers, coords)
    axes = basis @ lattice
    described = (coords - coords[origin]) @ np.linalg.inv(basis)
    return np.linalg.cholesky(axes @ axes.T), numbers[order], wrap(described)[order]


def reduction(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Return how a crystal is reduced: the new axes in the old ones, whole rows (3, 3); the site at the origin; the order of the sites.

    Axes of negative determinant make the mirror image of the crystal.
    """
    size, old = abs(np.linalg.det(lattice)) ** (2 / 3), lattice
    cell = spglib.niggli_reduce(np.ascontiguousarray(lattice, float), eps=_NIGGLI_EPS * size)
    if cell is not None:
        coords, lattice = coords @ (lattice @ np.linalg.inv(cell)), cell
    metric, keys = lattice @ lattice.T, species_keys(numbers)
    species = np.unique(keys, return_inverse=True)[1]
    axes = equal_cells(metric)  # (m, 3, 3)
    origins = np.flatnonzero(species == 0)
    shifted = coords[None] - coords[origins, None]  # (k, n, 3)
    described = np.einsum("kni,mij->mknj", shifted, np.linalg.inv(axes)).reshape(-1, len(numbers), 3)
    grid = np.round(described * GRID).astype(int) % GRID
    codes = ((species * GRID + grid[..., 0]) * GRID + grid[..., 1]) * GRID + grid[..., 2]
    ordered = np.sort(codes, axis=1)
    best = np.lexsort(ordered.T[::-1])[0]
    order = np.lexsort((*wrap(described[best]).T[::-1], codes[best]))
    basis = axes[best // len(origins)] @ np.round(lattice @ np.linalg.inv(old))
    return basis, int(origins[best % len(origins)]), order


def equal_cells(metric: np.ndarray) -> np.ndarray:
    """Return the bases of a lattice of metric (3, 3), integer rows (m, 3, 3), whose own metric is the same within `TOLERANCE`."""
    lengths = np.sqrt(np.diag(metric))
    close = TOLERANCE * np.outer(lengths, lengths)
    squares = np.einsum("ni,ij,nj->n", _STEPS, metric, _STEPS)
    rows = [_STEPS[np.abs(squares - metric[i, i]) <= close[i, i]] for i in range(3)]
    found = np.array([(a, b, c) for a in rows[0] for b in rows[1] if abs(a @ metric @ b - metric[0, 1]) <= close[0, 1] for c in rows[2]])
    products = found @ metric @ found.transpose(0, 2, 1)
    kept = (np.abs(products - metric) <= close).all(axis=(1, 2)) & (np.abs(np.linalg.det(found)).round() == 1)
    return found[kept]
