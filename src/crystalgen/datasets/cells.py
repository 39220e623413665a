"""What makes a crystal of a lattice, atomic numbers and coordinates, wherever they were read: the cell, or what is wrong with it."""

import numpy as np
from pymatgen.core import IStructure

from crystalgen.crystals.geometry import cell_problem, period_problem
from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER


def structure_cell(structure: IStructure) -> tuple | str:
    """Return lattice (3, 3), atomic numbers (n,) and fractional coordinates (n, 3) of a structure, or what is wrong with it."""
    if not structure.is_ordered:
        return f"partial occupancies ({structure.formula}); expected one element per site"
    if problem := period_problem(structure.lattice.pbc):
        return problem
    return checked_cell(structure.lattice.matrix, np.array(structure.atomic_numbers), structure.frac_coords)


def checked_cell(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> tuple | str:
    """Return the cell, or what is wrong with it."""
    if not len(numbers):
        return "no atoms"
    if problem := cell_problem(lattice, coords):
        return problem
    if not ((numbers >= 1) & (numbers <= MAX_ATOMIC_NUMBER)).all():
        return f"unknown element: atomic numbers {sorted({int(z) for z in numbers if not 1 <= z <= MAX_ATOMIC_NUMBER})}"
    return lattice, numbers, coords
