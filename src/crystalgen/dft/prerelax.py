"""A nearer start for a relaxation by DFT: a potential's minimum, with the symmetry kept, and its stiffness there."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from crystalgen.dft.ase_run import GEOMETRY, HESSIAN, input_files
from crystalgen.potentials.registry import calculator, find_potential
from crystalgen.utils.files import write_json

FMAX = 0.01  # eV/Å
MAX_STEPS = 300
SOFTEST = 2.0  # eV/Å^2; below, a potential's stiffness says little of DFT's, and steps would be wild
_SYMPREC = 1e-3  # Å; inputs are exact, see `ase_inputs`
_SHIFT = 0.01  # Å, and of strains, for the stiffness


def prerelax(roots: list[Path], potential: str) -> Iterator[tuple[Path, int]]:
    """Write what `ase_run` starts from into each folder that is to be relaxed and was not begun: geometry, and stiffness without symmetry.

    The forces and the stress are made symmetric, since a cell that has lost its symmetry by rounding costs a code many times the k-points;
    a stiffness by finite differences would take the symmetry away.

    Args:
        roots: with folders of an input.json anywhere below.
        potential: a name of `registry.POTENTIALS`.

    Yields:
        each folder written, with the steps that the potential took.

    Raises:
        ValueError: no such potential.
        ModuleNotFoundError: it is not installed.
    """
    forces = calculator(potential)
    for file in input_files(roots):
        given, start = json.loads(file.read_text()), file.with_name(GEOMETRY)
        if given["settings"]["relax"] is None or start.exists() or file.with_name("record.json").exists():
            continue
        atoms = Atoms(numbers=given["atomic_numbers"], cell=given["lattice"], scaled_positions=given["frac_coords"], pbc=True)
        symmetry = FixSymmetry(atoms, symprec=_SYMPREC)
        atoms.set_constraint(symmetry)
        atoms.calc = forces
        optimiser = BFGS(FrechetCellFilter(atoms), logfile=None, maxstep=0.1)
        optimiser.run(fmax=FMAX, steps=MAX_STEPS)
        if len(symmetry.rotations) == 1:
            write_json(stiffness(atoms).round(3).tolist(), file.with_name(HESSIAN))
        cell, coords = atoms.cell.tolist(), atoms.get_scaled_positions().tolist()
        write_json({"cell": cell, "frac_coords": coords, "steps": 0, "seconds": 0.0, "start": find_potential(potential).source}, start)
        yield file.parent, optimiser.nsteps


def stiffness(atoms: Atoms) -> np.ndarray:
    """Second derivatives of the energy by atoms and strains, (3 n + 9, 3 n + 9), eV/Å^2, none of its eigenvalues below `SOFTEST`.

    atoms: with a calculator; a copy is moved.
    """
    moved = atoms.copy()
    moved.set_constraint()
    moved.calc = atoms.calc
    cell = FrechetCellFilter(moved, exp_cell_factor=1.0)
    start = cell.get_positions()
    rows = []
    for shift in np.eye(start.size).reshape(-1, *start.shape) * _SHIFT:
        ends = []
        for sign in (1, -1):
            cell.set_positions(start + sign * shift)
            ends.append(cell.get_forces().ravel())
        rows.append((ends[1] - ends[0]) / (2 * _SHIFT))
    hessian = np.array(rows)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    return (vectors * np.maximum(values, SOFTEST)) @ vectors.T
