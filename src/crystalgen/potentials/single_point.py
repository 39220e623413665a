"""Energies and relaxations by machine-learned potentials: whatever happens to a crystal, an outcome and never an exception."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals import to_structures
from crystalgen.crystals.plausibility import MIN_CONTACT, contact_problem, without_implausible
from crystalgen.potentials import potentials
from crystalgen.potentials.calculators import calculator, energy_source, package_of
from crystalgen.stability.hull import Hull
from crystalgen.utils.cache import compute, versions
from crystalgen.utils.timeout import TimeLimit, time_limit

ENERGY_SOURCE = potentials.ENERGY_SOURCE
GEOMETRY, ENERGY = LIBRARY_POTENTIALS = ("chgnet", "7net-l3i5")
_RATE_BATCH = 8
RELAXED = 2  # version of `relax` (see `cache.compute`); count it up when a change moves its results, and ship them anew
_DIGITS = 8  # of Å and of fractional coordinates, as many as tell two crystals apart (see `store`)
RATED, CONVERGED, UNCONVERGED = "rated", "converged", "unconverged"
TIME_LIMIT = 600.0  # s for one relaxation
MAX_VOLUME_CHANGE = 5.0  # a cell that grows or shrinks more than so many times was no crystal to start with


class LostCell(RuntimeError):
    """A relaxation that left what a crystal can be."""


def basis(*names: str) -> list:
    """What a result depends on besides its settings, for `store.compute`: the potentials and their packages' versions.

    names: of potentials; the library's two without.

    Raises:
        ValueError: a potential is not known.
        ModuleNotFoundError: its package is not installed.
    """
    names = names or LIBRARY_POTENTIALS
    return [[energy_source(name) for name in names], versions(*(package_of(name) for name in names))]


def rate_table(table: pd.DataFrame, hull: Hull, folder: Path, workers: int = 1) -> pd.DataFrame:
    """Rate every crystal as it is by the library's potential, and place it above a hull.

    Args:
        table: crystals; energies that they bring from this potential stand, if they are plausible.
        hull: of the same potential.
        folder: of finished results (see `store.compute`).
        workers: processes.

    Returns:
        the crystals with status (`rated`, or why there is no energy), energy_per_atom, formation_energy_per_atom, e_above_hull
        (eV/atom, NaN where unknown or implausible) and energy_source.
    """
    energies, status = np.full(len(table), np.nan), np.full(len(table), RATED, dtype=object)
    if "energy_per_atom" in table:
        energies = table["energy_per_atom"].where(table["energy_source"] == ENERGY_SOURCE).to_numpy(float, copy=True)
    unknown = np.isnan(energies)
    how = {"min_distance": MIN_CONTACT}
    outcomes = compute(rate, to_structures(table[unknown]), how, basis(), folder, workers, _RATE_BATCH)
    energies[unknown] = np.array([outcome["energy_per_atom"] for outcome in outcomes], dtype=float)  # None becomes NaN
    status[unknown] = [outcome["status"] for outcome in outcomes]
    return without_implausible(hull.place(table.assign(energy_per_atom=energies, status=status), ENERGY_SOURCE))


def rate(structure: Structure, min_distance: float = MIN_CONTACT) -> dict:
    """The energy of a crystal as it is.

    Args:
        structure: any crystal.
        min_distance: share of the sum of two covalent radii below which a potential is not asked (see `crystals.plausibility`).

    Returns:
        status (`rated`, or why there is no energy) and energy_per_atom (eV, None without).
    """
    try:
        with _silence():
            return {"status": RATED, "energy_per_atom": _energy(structure, min_distance)}
    except Exception as error:  # potentials raise types of their own; a broken crystal is a row with a status
        return {"status": _reason(error), "energy_per_atom": None}


def relax(structure: Structure, min_distance: float, fmax: float, max_steps: int, limit: float = TIME_LIMIT,
          geometry: str = GEOMETRY, energy: str = ENERGY) -> dict:  # fmt: skip
    """Relax cell and positions with one potential, then the energy of the result by another.

    Args:
        structure: as generated.
        min_distance: see `rate`.
        fmax: eV/Å.
        max_steps: of L-BFGS.
        limit: s.
        geometry, energy: potentials (see `calculators`).

    Returns:
        status (`converged`, `unconverged`, or `failed: <why>`), steps, max_force (eV/Å, of the last step), volume_change (a fraction),
        lattice (3, 3), frac_coords (n, 3) and energy_per_atom (eV); None where it failed, but for the steps.
    """
    guard = _Guard(structure.volume)
    try:
        with time_limit(limit), _silence():
            relaxed, converged, steps = potentials.relax(structure, fmax, max_steps, guard, calculator(geometry))
            per_atom = _energy(relaxed, min_distance, energy)
    except (Exception, TimeLimit) as error:
        nothing = dict.fromkeys(("max_force", "volume_change", "lattice", "frac_coords", "energy_per_atom"))
        return {"status": f"failed: {_reason(error)}", "steps": max(guard.steps, 0), **nothing}
    return {
        "status": CONVERGED if converged else UNCONVERGED,
        "steps": steps,
        "max_force": guard.max_force,
        "volume_change": relaxed.volume / structure.volume - 1,
        "lattice": relaxed.lattice.matrix.round(_DIGITS).tolist(),
        "frac_coords": relaxed.frac_coords.round(_DIGITS).tolist(),
        "energy_per_atom": per_atom,
    }


class _Guard:
    """Sees each step: ends a relaxation whose cell explodes or collapses, before its neighbours fill the memory; keeps the force."""

    def __init__(self, volume: float):
        self.volume, self.steps, self.max_force = volume, -1, None

    def __call__(self, atoms: Atoms) -> None:
        self.steps += 1
        change = atoms.get_volume() / self.volume
        if not 1 / MAX_VOLUME_CHANGE < change < MAX_VOLUME_CHANGE:
            raise LostCell(f"the cell {'collapsed' if change < 1 else 'exploded'}")
        if atoms.calc is not None:
            self.max_force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _energy(structure: Structure, min_distance: float, potential: str = ENERGY) -> float:
    cell = structure.lattice.matrix, structure.frac_coords, np.array(structure.atomic_numbers)
    if problem := contact_problem(*cell, min_distance):
        raise LostCell(problem)
    if potential == ENERGY:  # without forces, in a quarter of the time
        energy = float(potentials.energies_per_atom([structure])[0])
    else:
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.calc = calculator(potential)
        energy = float(atoms.get_potential_energy()) / len(structure)
    if not np.isfinite(energy):
        raise LostCell("no finite energy")
    return energy


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:120]
    return text if isinstance(error, (LostCell, TimeLimit)) else f"{type(error).__name__}: {text}".rstrip(": ")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The potentials announce themselves on standard output, and their warnings are about themselves."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
