"""Relaxations of a structure and of a table of crystals: kept by content, resumable, a row whatever happens."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from ase.units import GPa
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import to_structures
from crystalgen.crystals.plausibility import MIN_CONTACT, without_implausible
from crystalgen.potentials.outcome import LostCell, reason
from crystalgen.potentials.registry import ENERGY, GEOMETRY, calculator, find_potential
from crystalgen.potentials.single_point import basis, energy_per_atom, silence
from crystalgen.represent.canonical import wrap
from crystalgen.utils.cache import compute
from crystalgen.utils.timeout import TimeLimit, time_limit

if TYPE_CHECKING:
    from crystalgen.stability.hull import Hull

COLUMNS = ("relaxation", "steps", "energy_per_atom", "max_force", "volume_change", "generated_space_group", "space_group")
CONVERGED, UNCONVERGED = "converged", "unconverged"
RELAXED = 2  # version of `relax` (see `cache.compute`); count it up when a change moves its results, and ship them anew
TIME_LIMIT = 600.0  # s for one relaxation
MAX_VOLUME_CHANGE = 5.0  # a cell that grows or shrinks more than so many times was no crystal to start with
_DIGITS = 8  # of Å and of fractional coordinates, as many as tell two crystals apart (see `cache`)
_VALUES = ("max_force", "volume_change", "lattice", "frac_coords", "energy_per_atom")


@dataclass(frozen=True)
class Relaxation:
    """How crystals are relaxed: the arguments of `relax`."""

    fmax: float = 0.1
    max_steps: int = 100
    limit: float = TIME_LIMIT
    geometry: str = GEOMETRY
    energy: str = ENERGY
    min_distance: float = field(default=MIN_CONTACT, init=False)  # a result is kept under it too


def relax_table(table: pd.DataFrame, settings: Relaxation, folder: Path, workers: int = 1, shipped: Path | None = None,
                hull: "Hull | None" = None, refused: np.ndarray | None = None) -> pd.DataFrame:  # fmt: skip
    """Relax every crystal, and place it above a hull.

    Args:
        table: crystals.
        settings: see there.
        folder: of finished results (see `cache.compute`); a killed run goes on from there.
        workers: processes.
        shipped: finished results that come with the repository, likewise.
        hull: of the same potential's energies; without one there are no formation energies.
        refused: why crystals are not tried, str (n,), empty where they are (see `refusals`).

    Returns:
        the crystals with their last geometry, or the one they came with where the relaxation failed, and `COLUMNS`:
        relaxation is `converged`, `unconverged` or `failed: <why>`, energies in eV of `energy_source`; NaN where it failed or the
        energy is implausible. With formation_energy_per_atom and e_above_hull (eV/atom) likewise.

    Raises:
        EnergySourceError: the hull's energies are of another potential.
    """
    source, packages = find_potential(settings.energy).source, basis(settings.geometry, settings.energy)
    reasons = np.full(len(table), "", dtype=object) if refused is None else refused
    tried = iter(
        compute(relax, to_structures(table[reasons == ""]), asdict(settings), packages, folder, workers, shipped=shipped, version=RELAXED)
    )
    outcomes = [_failed(reason) if reason else next(tried) for reason in reasons]
    relaxed = with_outcomes(table, outcomes).assign(
        formation_energy_per_atom=np.nan,
        e_above_hull=np.nan,
        energy_source=[source if outcome["lattice"] is not None else None for outcome in outcomes],
        generated_space_group=find_space_groups(table)["space_group"],
    )
    relaxed = hull.place(relaxed, source) if hull else relaxed
    return find_space_groups(without_implausible(relaxed, "relaxation", "failed: "))


def with_outcomes(table: pd.DataFrame, outcomes: list[dict]) -> pd.DataFrame:
    """Return crystals with the geometries, energies and further columns of `relax`; where it failed, the geometry is as it was."""
    cells = list(zip(table["lattice"], table["frac_coords"], outcomes, strict=True))
    return table.assign(
        lattice=[lattice if o["lattice"] is None else np.array(o["lattice"]) for lattice, _, o in cells],
        frac_coords=[coords if o["frac_coords"] is None else wrap(np.array(o["frac_coords"])) for _, coords, o in cells],
        relaxation=[o["status"] for o in outcomes],
        steps=[o["steps"] for o in outcomes],
        **{name: np.array([o[name] for o in outcomes], dtype=float) for name in ("energy_per_atom", "max_force", "volume_change")},
    )


def relax(structure: Structure, min_distance: float, fmax: float, max_steps: int, limit: float = TIME_LIMIT,
          geometry: str = GEOMETRY, energy: str = ENERGY) -> dict:  # fmt: skip
    """Relax cell and positions with one potential, then compute the energy of the result by another.

    Args:
        structure: as generated.
        min_distance: share of the sum of two covalent radii below which a potential is not asked.
        fmax: eV/Å.
        max_steps: of L-BFGS.
        limit: s for this crystal.
        geometry, energy: potentials (see `registry`).

    Returns:
        status (`converged`, `unconverged`, or `failed: <why>`), steps, max_force (eV/Å, of the last step), volume_change (a fraction),
        lattice (3, 3), frac_coords (n, 3) and energy_per_atom (eV); None where it failed, but for the steps.
    """
    guard = Guard(structure.volume)
    try:
        with time_limit(limit), silence():
            relaxed, converged, steps = minimise(structure, fmax, max_steps, guard, calculator(geometry))
            per_atom = energy_per_atom(relaxed, min_distance, energy)
    except (Exception, TimeLimit) as error:
        return _failed(reason(error), max(guard.steps, 0))
    return {
        "status": CONVERGED if converged else UNCONVERGED,
        "steps": steps,
        "max_force": guard.max_force,
        "volume_change": relaxed.volume / structure.volume - 1,
        "lattice": relaxed.lattice.matrix.round(_DIGITS).tolist(),
        "frac_coords": relaxed.frac_coords.round(_DIGITS).tolist(),
        "energy_per_atom": per_atom,
    }


def _failed(why: str, steps: int = 0) -> dict:
    return {"status": f"failed: {why}", "steps": steps, **dict.fromkeys(_VALUES)}


def minimise(structure: Structure, fmax: float, max_steps: int, guard: Callable[[Atoms], None] | None,
             calculator: Calculator) -> tuple[Structure, bool, int]:  # fmt: skip
    """Move cell and positions to a minimum (L-BFGS); returns structure, converged, steps.

    Args:
        structure: the start.
        fmax: the force, eV/Å, below which it is converged.
        max_steps: where it ends otherwise.
        guard: sees the atoms before the first step and after each; what it raises ends the relaxation.
        calculator: of forces and stresses.
    """
    atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.calc = calculator
    optimiser = LBFGS(CellFilter(atoms), logfile=None)
    if guard is not None:
        optimiser.attach(guard, 1, atoms)
    converged = optimiser.run(fmax=fmax, steps=max_steps)
    return AseAtomsAdaptor.get_structure(atoms), bool(converged), int(optimiser.nsteps)


class CellFilter(FrechetCellFilter):
    """ASE's filter, which an optimiser asks for the same forces three times a step, each of nine matrix exponentials: asked once here."""

    def __init__(self, atoms: Atoms, pressure: float = 0.0):
        """Take atoms, and the pressure on the cell, GPa."""
        super().__init__(atoms, scalar_pressure=pressure * GPa)
        self._of, self._forces = None, None

    def get_forces(self) -> np.ndarray:
        """Return forces on atoms and on the cell, eV/Å, (n + 3, 3)."""
        state = self.atoms.positions.tobytes() + self.atoms.cell.array.tobytes()
        if state != self._of:
            self._of, self._forces = state, super().get_forces()
        return self._forces.copy()


class Guard:
    """Ends a relaxation whose cell explodes or collapses, before its neighbours fill the memory; keeps the last step's force."""

    def __init__(self, volume: float):
        self.volume, self.steps, self.max_force = volume, -1, None

    def __call__(self, atoms: Atoms) -> None:
        """Count a step; raise LostCell where the cell is none any more."""
        self.steps += 1
        change = atoms.get_volume() / self.volume
        if not 1 / MAX_VOLUME_CHANGE < change < MAX_VOLUME_CHANGE:
            raise LostCell(f"the cell {'collapsed' if change < 1 else 'exploded'}")
        if atoms.calc is not None:
            self.max_force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
