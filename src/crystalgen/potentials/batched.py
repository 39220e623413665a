"""Relaxations of many small cells together: one call of a potential a step for all of them, each with an optimiser of its own.

Of a cell of five atoms, half of a call's time is spent before any arithmetic; joined, cells share it. Optimiser, cell filter and guard
are those of `relaxation`, which does one crystal at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixSymmetry
from ase.optimize import LBFGS
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.chemistry.spacegroups import STRICT
from crystalgen.crystals.plausibility import MIN_CONTACT, contact_problem
from crystalgen.potentials.outcome import LostCell, reason
from crystalgen.potentials.registry import GEOMETRY, find_potential
from crystalgen.potentials.relaxation import CONVERGED, UNCONVERGED, CellFilter, Guard

INTERRUPTED = "interrupted"
MAX_ATOMS = 160  # of a call; beyond, memory grows and nothing is saved
_STRESS = [[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1]]  # Voigt's order


@dataclass
class Relaxed:
    """What became of a crystal.

    status: `converged`, `unconverged`, `interrupted` or `failed: why`. energy: the potential's, eV/atom, NaN where it failed.
    """

    structure: Structure
    status: str
    steps: int
    energy: float
    max_force: float


class _Held(Calculator):
    """Holds what a batch found for the atoms as they stand."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def hold(self, atoms: Atoms, energy: float, forces: np.ndarray, stress: np.ndarray) -> None:
        """Take energy (eV), forces (n, 3), eV/Å, and stress (3, 3), eV/Å^3, of atoms."""
        voigt = stress[tuple(np.transpose(_STRESS))].astype(float)
        self.atoms, self.results = atoms.copy(), {"energy": energy, "free_energy": energy, "forces": forces.astype(float), "stress": voigt}


class _Run:
    """A crystal under way."""

    def __init__(self, structure: Structure, symmetric: bool = False, pressure: float = 0.0):
        self.given, self.atoms, self.status = structure, AseAtomsAdaptor.get_atoms(structure), ""
        if symmetric:
            try:
                self.atoms.set_constraint(FixSymmetry(self.atoms, symprec=STRICT))
            except Exception as error:  # spglib finds no symmetry where atoms coincide
                self.status = f"failed: {reason(error)}"
        self.atoms.calc = _Held()
        self.guard, self.filter = Guard(structure.volume), CellFilter(self.atoms, pressure)
        self.optimiser = LBFGS(self.filter, logfile=None)

    def look(self, fmax: float) -> None:
        """End where the cell is lost or at rest; else move the atoms a step."""
        try:
            self.guard(self.atoms)
            forces = self.filter.get_forces()
            if not np.isfinite(forces).all():
                raise LostCell("no finite forces")
            if (forces**2).sum(axis=1).max() < fmax**2:
                self.status = CONVERGED
            else:
                self.optimiser.step()
        except Exception as error:
            self.status = f"failed: {reason(error)}"


def relax_together(structures: list[Structure], fmax: float = 0.1, max_steps: int = 40, drop: float | None = None, patience: int = 8,
                   potential: str = GEOMETRY, symmetric: bool = False, pressure: float = 0.0,
                   seen: Callable[[int, int], None] | None = None) -> list[Relaxed]:  # fmt: skip
    """Relax cells and positions, all together.

    Args:
        structures: of one composition where `drop` is given.
        fmax: force, eV/Å, below which a crystal is at rest.
        max_steps: of L-BFGS.
        drop: eV/atom above the lowest of all at which a crystal is given up after `patience` steps; none is without.
        patience: see there.
        potential: one of those with `together`, see `registry`.
        symmetric: whether each keeps the space group that it has at 0.01 Å, against the rounding of forces too.
        pressure: on the cell, GPa.
        seen: called after each step with the steps done and the crystals that go on.

    Returns:
        one for each structure, in order; also after Ctrl-C, which ends what is under way as it is.
    """
    runs = [_Run(structure, symmetric, pressure) for structure in structures]
    for run in runs:
        if problem := contact_problem(run.given.lattice.matrix, run.given.frac_coords, run.atoms.numbers, MIN_CONTACT):
            run.status = f"failed: {problem}"
    try:
        for step in range(max_steps + 1):
            going = [run for run in runs if not run.status]
            if not going:
                break
            _evaluate(going, potential)
            if drop is not None and step >= patience:
                _give_up(runs, going, drop)
            for run in going:
                if not run.status and step < max_steps:
                    run.look(fmax)
            if seen is not None:
                seen(step, sum(not run.status for run in runs))
    except KeyboardInterrupt:
        for run in runs:
            run.status = run.status or INTERRUPTED
    return [_result(run) for run in runs]


def _evaluate(runs: list[_Run], potential: str) -> None:
    """Compute energies, forces and stresses of atoms that hold them, in calls of at most `MAX_ATOMS` atoms."""
    together, batch = find_potential(potential).together(), []
    for run in [*runs, None]:
        if batch and (run is None or sum(len(each.atoms) for each in batch) + len(run.atoms) > MAX_ATOMS):
            for each, outcome in zip(batch, together([each.atoms for each in batch]), strict=True):
                if isinstance(outcome, str):
                    each.status = f"failed: {outcome}"
                else:
                    each.atoms.calc.hold(each.atoms, *outcome)
            batch = []
        if run is not None:
            batch.append(run)


def _give_up(runs: list[_Run], going: list[_Run], drop: float) -> None:
    heights = {id(run): run.atoms.calc.results["energy"] / len(run.atoms) for run in runs if run.atoms.calc.results}
    least = min(heights.values())
    for run in going:
        if heights.get(id(run), np.inf) > least + drop:
            run.status = UNCONVERGED


def _result(run: _Run) -> Relaxed:
    if run.status.startswith("failed"):
        return Relaxed(run.given, run.status, max(run.guard.steps, 0), np.nan, np.nan)
    energy = run.atoms.calc.results.get("energy", np.nan) / len(run.atoms)
    force = np.nan if run.guard.max_force is None else run.guard.max_force
    return Relaxed(AseAtomsAdaptor.get_structure(run.atoms), run.status or UNCONVERGED, max(run.guard.steps, 0), energy, force)
