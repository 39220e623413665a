"""Primitive Niggli cells as StructureMatcher makes them."""

from dataclasses import dataclass, field

import numpy as np
from pymatgen.core import Element
from pymatgen.optimization.neighbors import find_points_in_spheres

from crystalgen.crystals.geometry import cell_problem
from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER
from crystalgen.matching.lattices import first_mapping, niggli_parameters
from crystalgen.matching.primitive import smaller_cell

_TOLERANCE = 0.25  # Å, within which pymatgen's get_primitive_structure takes two sites for one
_NIGGLI_TOLERANCE = 1e-5  # times volume^(1/3), pymatgen's
_NIGGLI_ANGLE = 1.0  # degrees
_MAX_POINTS = 2e5  # 3 Å wide, 700 Å long
_SYMBOLS = [""] + [Element.from_Z(z).symbol for z in range(1, MAX_ATOMIC_NUMBER + 1)]
_RANKS = np.argsort(np.argsort(_SYMBOLS))  # pymatgen sorts sites by symbol before it looks for a smaller cell


@dataclass(frozen=True)
class ReducedCell:
    """lattice (3, 3) in Å, numbers (n,), coords (n, 3) fractional."""

    lattice: np.ndarray
    numbers: np.ndarray
    coords: np.ndarray
    kinds: bytes = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "kinds", np.sort(self.numbers).tobytes())


def reduce_cell(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> ReducedCell:
    """Return the cell that StructureMatcher compares: `get_reduced_structure`, then `get_primitive_structure`.

    Args:
        lattice: (3, 3), Å.
        numbers: atomic numbers, (n,).
        coords: fractional, (n, 3).

    Raises:
        ValueError: a number is not finite, the cell has no volume, or no Niggli cell is found.
    """
    lattice, numbers, coords = np.array(lattice, float, order="C"), np.array(numbers, int), np.array(coords, float, order="C")
    if problem := cell_problem(lattice, coords):
        raise ValueError(problem)
    return ReducedCell(*_primitive(*_niggli(lattice, numbers, coords)))


def _niggli(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    niggli = niggli_cell(lattice)
    if np.allclose(niggli, lattice):
        return lattice, numbers, coords
    return niggli, numbers, np.mod(coords @ lattice @ np.linalg.inv(niggli), 1)


def _primitive(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, counts = np.unique(_RANKS[numbers], return_counts=True)
    if np.gcd.reduce(counts) == 1:
        return lattice, numbers, coords
    order = np.argsort(_RANKS[numbers], kind="stable")
    turn, sites, places = smaller_cell(lattice, _RANKS[numbers[order]], coords[order], _TOLERANCE)
    if not len(sites):
        return lattice, numbers, coords
    return _niggli(*_primitive(np.linalg.inv(turn) @ lattice, numbers[order[sites]], places))


def niggli_cell(lattice: np.ndarray) -> np.ndarray:
    """Return the Niggli cell (3, 3) that pymatgen's `get_niggli_reduced_lattice` chooses among equal ones.

    Raises:
        ValueError: none is found, as happens to extremely flat or long cells.
    """
    tolerance = _NIGGLI_TOLERANCE * abs(np.linalg.det(lattice)) ** (1 / 3)
    lengths, angles = niggli_parameters(lattice, tolerance)
    if not (np.isfinite(lengths).all() and np.isfinite(angles).all()):
        raise ValueError("no Niggli cell")
    if (points := 4.2 * lengths.max() ** 3 / abs(np.linalg.det(lattice))) > _MAX_POINTS:
        raise ValueError(f"the cell is too long for its volume: {points:.1e} lattice points within its length")
    origin = np.zeros((1, 3))
    _, _, images, _ = find_points_in_spheres(
        all_coords=origin,
        center_coords=origin,
        r=float(lengths.max() * (1 + tolerance)),
        pbc=np.ones(3, dtype=np.int64),
        lattice=lattice,
        tol=1e-8,
    )  # in pymatgen's order, whose first choice is ours
    turn = first_mapping(np.ascontiguousarray(images, dtype=float).reshape(-1, 3), lattice, lengths, angles, tolerance, _NIGGLI_ANGLE)
    if not turn.any():
        raise ValueError("no Niggli cell")
    cell = turn @ lattice
    return cell if np.linalg.det(cell) > 0 else -cell
