"""One description per crystal, as far as that is cheap: order, origin and orientation.

The same crystal has many descriptions and a network that sees them all has to learn them all. Cells are
taken as the source has them (the library's are Niggli-reduced; of MP-20's, 57 % are: see `represent.reduced`).
"""

import numpy as np
import pandas as pd

from crystalgen.crystals.geometry import right_handed
from crystalgen.generative.data.format import WRAP_TOLERANCE
from crystalgen.utils.formulas import ATOMIC_NUMBERS, parse_composition

_DIGITS = 3  # coordinates closer than this are equal when descriptions are compared


def canonicalise(table: pd.DataFrame) -> pd.DataFrame:
    """Return the same crystals with sites ordered, an atom of the first species at the origin, lattices lower triangular.

    Species are ordered by count, then atomic number, so that the A of every AB3 comes first. The origin is
    the atom of the first species that gives the least coordinate list.
    """
    columns = zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True)
    lattices, numbers, coords = zip(*(_canonical(m, z, x) for m, z, x in columns), strict=True)
    return table.assign(lattice=list(lattices), atomic_numbers=list(numbers), frac_coords=list(coords))


def ordered_numbers(atomic_numbers: np.ndarray) -> np.ndarray:
    """Atomic numbers in the order of canonical sites: rarer species first, then the lighter."""
    return atomic_numbers[np.argsort(species_keys(atomic_numbers), kind="stable")]


def composition_numbers(composition: str) -> np.ndarray:
    """Atomic numbers of one cell, e.g. of `Ta1W1B6`, in canonical order.

    Raises:
        ValueError: not a formula with whole numbers of atoms (see `parse_composition`).
    """
    return ordered_numbers(counted_numbers(parse_composition(composition)))


def counted_numbers(counts: dict[str, int]) -> np.ndarray:
    """Atomic numbers of as many atoms of each element as are counted by symbol, element after element."""
    return np.repeat([ATOMIC_NUMBERS[symbol] for symbol in counts], list(counts.values()))


def wrap(frac_coords: np.ndarray, tolerance: float = WRAP_TOLERANCE) -> np.ndarray:
    """Return coordinates in [0, 1); what lies a rounding error below 1, single precision's unless one is given, is 0."""
    wrapped = frac_coords % 1.0
    return np.where(wrapped > 1 - tolerance, 0.0, wrapped)


def _canonical(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray):
    lattice, coords = right_handed(lattice, coords)
    lattice = np.linalg.cholesky(lattice @ lattice.T)
    keys = species_keys(numbers)
    first = np.flatnonzero(keys == keys.min())
    best = min((_ordered(keys, coords - coords[i]) for i in first), key=lambda item: item[0])
    _, order, shifted = best
    return lattice, numbers[order], shifted[order]


def species_keys(numbers: np.ndarray) -> np.ndarray:
    """Return what sites are ordered by: the count of their species, then the atomic number."""
    return np.bincount(numbers, minlength=120)[numbers] * 1000 + numbers


def _ordered(keys: np.ndarray, coords: np.ndarray) -> tuple[tuple, np.ndarray, np.ndarray]:
    coords = wrap(coords)
    rounded = np.round(coords, _DIGITS) % 1.0
    order = np.lexsort((rounded[:, 2], rounded[:, 1], rounded[:, 0], keys))
    return tuple(rounded[order].ravel()), order, coords
