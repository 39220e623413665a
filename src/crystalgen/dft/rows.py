"""A calculation as a row of the table of results, whatever code made it."""

import numpy as np
from pymatgen.core import Composition, Element, Structure

CONVERGED = "converged"
ELECTRONIC, IONIC, EARLY = "unconverged: electronic steps", "unconverged: ionic steps", "unconverged: the output ends early"
OTHER = "other: "  # begins the status of what ended well and is no energy of a crystal: molecular dynamics, bands, atoms alone
COLUMNS = ("id", "calculation", "formula", "nsites", "code", "version", "settings_id", "settings", "potentials", "status", "energy",
           "energy_per_atom", "max_force", "stress", "magnetisation", "ionic_steps", "correction_mp2020", "lattice", "atomic_numbers",
           "frac_coords", "warnings")  # fmt: skip
_APART = 6.0  # Å; the longest bonds of a crystal, caesium's, have 5.3
_ABOVE_ATOMS = 20.0  # eV/atom; no crystal at any pressure that is computed lies so far above its atoms
_BELOW_ATOMS = -100.0  # eV/atom


class FailedRun(ValueError):
    """A run that holds no result, with the reason."""


def odd_energy(structure: Structure, energy_per_atom: float, below_atoms: bool) -> str | None:
    """Return why an energy is none of a crystal, by geometry and size alone; None of one that may be.

    Args:
        structure: as computed.
        energy_per_atom: eV.
        below_atoms: energies of the code are relative to atoms, not to nuclei and electrons apart.
    """
    if len(structure) * _APART**3 < 6 * structure.volume and len(structure.get_neighbor_list(_APART)[0]) == 0:
        return f"free atoms (no two within {_APART:g} Å)"
    if below_atoms and not _BELOW_ATOMS < energy_per_atom < _ABOVE_ATOMS:
        return f"no crystal has {energy_per_atom:.1f} eV/atom"
    return None if below_atoms or energy_per_atom < 0 else f"no crystal has {energy_per_atom:.1f} eV/atom"


def row_of(
    lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray, *, energy: float | None, forces: np.ndarray | None, **further
) -> dict:
    """Return the last geometry and what follows from it, with the `further` columns.

    Args:
        lattice: (3, 3), Å.
        numbers: atomic numbers, (n,).
        coords: fractional, (n, 3).
        energy: of the cell, eV, if the run has one.
        forces: (n, 3), eV/Å, if the run has them.
    """
    counts = Composition({Element.from_Z(int(z)): int(count) for z, count in zip(*np.unique(numbers, return_counts=True), strict=True)})
    return {
        "formula": counts.formula.replace(" ", ""),
        "nsites": len(numbers),
        "energy": energy,
        "energy_per_atom": None if energy is None else energy / len(numbers),
        "max_force": None if forces is None else float(np.linalg.norm(np.asarray(forces, dtype=float), axis=1).max()),
        "lattice": np.asarray(lattice, dtype=float).tolist(),
        "atomic_numbers": [int(z) for z in numbers],
        "frac_coords": np.asarray(coords, dtype=float).tolist(),
        **further,
    }
