"""Space groups: found in crystals, and encoded as symmetry operations for a network."""

import warnings
from functools import cache, lru_cache

import numpy as np
import pandas as pd
import spglib
from pymatgen.symmetry.groups import sg_symbol_from_int_number

LOOSE = 0.1  # Å, within which a calculated crystal is taken to have a symmetry
STRICT = 0.01  # Å, within which a crystal that was made with a symmetry has it
MAX_OPERATIONS = 192  # of any space group's conventional setting (Fm-3m and the like)


def find_space_groups(table: pd.DataFrame, symprec: float = LOOSE) -> pd.DataFrame:
    """Return the table with `space_group` (NA where spglib finds none) and `symprec` (Å) filled in."""
    columns = zip(table["lattice"], table["frac_coords"], table["atomic_numbers"], strict=True)
    numbers = [space_group_number(cell, symprec) for cell in columns]
    return table.assign(space_group=pd.array(numbers, dtype="Int16"), symprec=symprec)


def space_group_symbol(number: int) -> str:
    """Short Hermann-Mauguin symbol, e.g. `C2/m` where pymatgen spells out the monoclinic `C12/m1`."""
    symbol = sg_symbol_from_int_number(number)
    return symbol[0] + symbol[2:-1] if 3 <= number <= 15 else symbol


def space_group_number(cell: tuple, symprec: float) -> int | None:
    """Return the International number of lattice, coordinates and atomic numbers; None where spglib finds none."""
    dataset = symmetry_dataset(cell, symprec)
    return None if dataset is None else int(dataset.number)


def symmetry_dataset(cell: tuple, symprec: float) -> spglib.SpglibDataset | None:
    """Return what spglib finds of lattice, coordinates and atomic numbers; None where that is nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spglib announces its next error convention on every call
        try:
            return spglib.get_symmetry_dataset(cell, symprec=symprec)
        except Exception:
            return None


def primitive_cell(cell: tuple, symprec: float = STRICT) -> tuple:
    """Return lattice, coordinates and atomic numbers of the primitive cell, the cell itself where spglib finds no smaller one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        try:
            found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=symprec)
        except Exception:
            return cell
    return cell if found is None or len(found[2]) >= len(cell[2]) else found


@cache
def symmetry_operations(number: int) -> np.ndarray:
    """Return the group's operations as affine matrices, float32 (192, 4, 4), zero-padded (B §2.1, after PGCGM).

    The conventional setting is spglib's first of that International number.

    Raises:
        ValueError: the number is not 1 to 230.
    """
    if number not in _first_hall_numbers():
        raise ValueError(f"space group {number!r}: expected an International number from 1 to 230")
    operations = spglib.get_symmetry_from_database(_first_hall_numbers()[number])
    count = len(operations["rotations"])
    matrices = np.zeros((MAX_OPERATIONS, 4, 4), dtype=np.float32)
    matrices[:count, :3, :3] = operations["rotations"]
    matrices[:count, :3, 3] = operations["translations"]
    matrices[:count, 3, 3] = 1.0
    return matrices


@lru_cache(maxsize=1)
def _first_hall_numbers() -> dict[int, int]:
    first: dict[int, int] = {}
    for hall in range(1, 531):
        first.setdefault(spglib.get_spacegroup_type(hall).number, hall)
    return first
