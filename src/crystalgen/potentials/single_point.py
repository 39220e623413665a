"""Energies of crystals as they are, by machine-learned potentials: whatever happens to a crystal, an outcome and never an exception."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals import to_structures
from crystalgen.crystals.plausibility import MIN_CONTACT, contact_problem, without_implausible
from crystalgen.potentials.outcome import LostCell, reason
from crystalgen.potentials.refusals import unknown_elements
from crystalgen.potentials.registry import ENERGY, ENERGY_SOURCE, GEOMETRY, calculator, find_potential
from crystalgen.utils.cache import compute, versions

if TYPE_CHECKING:
    from crystalgen.stability.hull import Hull

_BATCH = 8
RATED = "rated"


def energies_per_atom(structures: list[Structure]) -> np.ndarray:
    """Compute energies by SevenNet 7net-l3i5, eV/atom (n,); NaN where they are not finite."""
    from crystalgen.potentials.sevennet import sevennet_energy

    return np.array([sevennet_energy(structure) / len(structure) for structure in structures])


def chgnet_energies_per_atom(structures: list[Structure], batch_size: int) -> np.ndarray:
    """Compute energies by CHGNet, eV/atom (n,): only ever to compare one composition's structures with each other."""
    from crystalgen.potentials.chgnet import chgnet

    predictions = chgnet().predict_structure(structures, task="e", batch_size=batch_size)
    return np.array([float(p["e"]) for p in ([predictions] if isinstance(predictions, dict) else predictions)])  # of one: no list


def basis(*names: str) -> list:
    """Return what a result depends on besides its settings, for `cache.compute`: the potentials and their packages' versions.

    names: of potentials; the library's two without.

    Raises:
        ValueError: a potential is not known.
        ModuleNotFoundError: its package is not installed.
    """
    used = [find_potential(name) for name in names or (GEOMETRY, ENERGY)]
    return [[each.source for each in used], versions(*(each.package for each in used))]


def rate_table(table: pd.DataFrame, hull: "Hull", folder: Path, workers: int = 1) -> pd.DataFrame:
    """Compute the energy of every crystal as it is by the library's potential, and place it above a hull.

    Args:
        table: crystals; energies that they bring from this potential stand, if they are plausible.
        hull: of the same potential.
        folder: of finished results (see `cache.compute`).
        workers: processes.

    Returns:
        the crystals with status (`rated`, or why there is no energy), energy_per_atom, formation_energy_per_atom, e_above_hull
        (eV/atom, NaN where unknown or implausible) and energy_source.
    """
    energies, status = np.full(len(table), np.nan), np.full(len(table), RATED, dtype=object)
    if "energy_per_atom" in table:
        energies = table["energy_per_atom"].where(table["energy_source"] == ENERGY_SOURCE).to_numpy(float, copy=True)
    strange = unknown_elements(table, ENERGY)
    status[strange != ""] = strange[strange != ""]
    unknown = np.isnan(energies) & (strange == "")
    outcomes = compute(rate, to_structures(table[unknown]), {"min_distance": MIN_CONTACT}, basis(), folder, workers, _BATCH)
    energies[unknown] = np.array([outcome["energy_per_atom"] for outcome in outcomes], dtype=float)  # None becomes NaN
    status[unknown] = [outcome["status"] for outcome in outcomes]
    return without_implausible(hull.place(table.assign(energy_per_atom=energies, status=status), ENERGY_SOURCE))


def rate(structure: Structure, min_distance: float = MIN_CONTACT) -> dict:
    """Compute the energy of a crystal as it is; returns status (`rated`, or why there is none) and energy_per_atom (eV, None without).

    min_distance: share of the sum of two covalent radii below which a potential is not asked (see `crystals.plausibility`).
    """
    try:
        with silence():
            return {"status": RATED, "energy_per_atom": energy_per_atom(structure, min_distance)}
    except Exception as error:  # potentials raise types of their own; a broken crystal is a row with a status
        return {"status": reason(error), "energy_per_atom": None}


def energy_per_atom(structure: Structure, min_distance: float, name: str = ENERGY) -> float:
    """Compute the energy of a crystal by a potential, eV/atom.

    Raises:
        LostCell: atoms overlap, or the energy is not finite.
    """
    if problem := contact_problem(structure.lattice.matrix, structure.frac_coords, np.array(structure.atomic_numbers), min_distance):
        raise LostCell(problem)
    if name == ENERGY:  # without forces, in a quarter of the time
        energy = float(energies_per_atom([structure])[0])
    else:
        energy = float(calculator(name).get_potential_energy(AseAtomsAdaptor.get_atoms(structure))) / len(structure)
    if not np.isfinite(energy):
        raise LostCell("no finite energy")
    return energy


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep quiet what the potentials announce on standard output, and their warnings, which are about themselves."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
