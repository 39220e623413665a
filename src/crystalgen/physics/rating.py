"""One crystal's energy and relaxation by the library's potentials: whatever happens, an outcome and never an exception."""

import contextlib
import io
import warnings
from collections.abc import Iterator

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from crystalgen.data.library import potentials
from crystalgen.data.library.physical import shortest_bond
from crystalgen.store import versions

ENERGY_SOURCE = potentials.ENERGY_SOURCE
POTENTIALS = (potentials.ENERGY_SOURCE, potentials.GEOMETRY_SOURCE)  # a result belongs to them
RATED, CONVERGED, UNCONVERGED = "rated", "converged", "unconverged"
MAX_VOLUME_CHANGE = 5.0  # a cell that grows or shrinks more than so many times was no crystal to start with


class LostCell(RuntimeError):
    """A relaxation that left what a crystal can be."""


def basis() -> list:
    """What a result depends on besides its settings, for `store.compute`: the potentials and their packages' versions."""
    return [list(POTENTIALS), versions("chgnet", "sevenn")]


def rate(structure: Structure, min_distance: float) -> dict:
    """The energy of a crystal as it is.

    Args:
        structure: any crystal.
        min_distance: share of the sum of two covalent radii below which a potential is not asked: it invents there.

    Returns:
        status (`rated`, or why there is no energy) and energy_per_atom (eV, None without).
    """
    try:
        with _silence():
            return {"status": RATED, "energy_per_atom": _energy(structure, min_distance)}
    except Exception as error:  # potentials raise types of their own; a broken crystal is a row with a status
        return {"status": _reason(error), "energy_per_atom": None}


def relax(structure: Structure, min_distance: float, fmax: float, max_steps: int) -> dict:
    """Relax cell and positions with CHGNet, then the SevenNet energy of the result.

    Args:
        structure: as generated.
        min_distance: see `rate`.
        fmax: eV/Å.
        max_steps: of L-BFGS.

    Returns:
        status (`converged`, `unconverged`, or `failed: <why>`), steps, lattice (3, 3), frac_coords (n, 3) and
        energy_per_atom (eV); None from the lattice on where it failed.
    """
    guard = _VolumeGuard(structure.volume)
    try:
        with _silence():
            relaxed, converged, steps = potentials.relax(structure, fmax, max_steps, guard)
            energy = _energy(relaxed, min_distance)
    except Exception as error:
        return {
            "status": f"failed: {_reason(error)}",
            "steps": max(guard.steps, 0),
            "lattice": None,
            "frac_coords": None,
            "energy_per_atom": None,
        }
    return {
        "status": CONVERGED if converged else UNCONVERGED,
        "steps": steps,
        "lattice": relaxed.lattice.matrix.tolist(),
        "frac_coords": relaxed.frac_coords.tolist(),
        "energy_per_atom": energy,
    }


class _VolumeGuard:
    """Ends a relaxation whose cell explodes or collapses, before its neighbours fill the memory."""

    def __init__(self, volume: float):
        self.volume, self.steps = volume, -1

    def __call__(self, atoms: Atoms) -> None:
        self.steps += 1
        change = atoms.get_volume() / self.volume
        if not 1 / MAX_VOLUME_CHANGE < change < MAX_VOLUME_CHANGE:
            raise LostCell(f"the cell {'collapsed' if change < 1 else 'exploded'}")


def _energy(structure: Structure, min_distance: float) -> float:
    bond = shortest_bond(structure.lattice.matrix, structure.frac_coords, np.array(structure.atomic_numbers))
    if not bond >= min_distance:
        raise LostCell(f"atoms closer than {min_distance:g} of the sum of their radii")
    energy = float(potentials.energies_per_atom([structure])[0])
    if not np.isfinite(energy):
        raise LostCell("no finite energy")
    return energy


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    return text if isinstance(error, LostCell) else f"{type(error).__name__}: {text}".rstrip(": ")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The potentials announce themselves on standard output, and their warnings are about themselves."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
