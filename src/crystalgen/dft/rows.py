"""A calculation as a row of the table of results, whatever code made it."""

import numpy as np
from pymatgen.core import Composition, Element

CONVERGED = "converged"
COLUMNS = ("id", "calculation", "formula", "nsites", "code", "version", "settings_id", "settings", "potentials", "status", "energy",
           "energy_per_atom", "max_force", "stress", "magnetisation", "ionic_steps", "correction_mp2020", "lattice", "atomic_numbers",
           "frac_coords", "warnings")  # fmt: skip


class FailedRun(ValueError):
    """A run that holds no result, with the reason."""


def row_of(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray, *, energy: float, forces: np.ndarray | None, **further) -> dict:
    """Return the last geometry and what follows from it, with the `further` columns.

    Args:
        lattice: (3, 3), Å.
        numbers: atomic numbers, (n,).
        coords: fractional, (n, 3).
        energy: of the cell, eV.
        forces: (n, 3), eV/Å, if the run has them.
    """
    counts = Composition({Element.from_Z(int(z)): int(count) for z, count in zip(*np.unique(numbers, return_counts=True), strict=True)})
    return {
        "formula": counts.formula.replace(" ", ""),
        "nsites": len(numbers),
        "energy": energy,
        "energy_per_atom": energy / len(numbers),
        "max_force": None if forces is None else float(np.linalg.norm(np.asarray(forces, dtype=float), axis=1).max()),
        "lattice": np.asarray(lattice, dtype=float).tolist(),
        "atomic_numbers": [int(z) for z in numbers],
        "frac_coords": np.asarray(coords, dtype=float).tolist(),
        **further,
    }
