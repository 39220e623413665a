"""A nearer start for a relaxation by DFT: the minimum of a machine-learned potential, with the crystal's symmetry kept."""

import json
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from crystalgen.files import write_json
from crystalgen.physics.calculators import calculator, energy_source

FMAX = 0.01  # eV/Å
MAX_STEPS = 300
_SYMPREC = 1e-3  # Å; inputs are exact, see `ase_inputs`


def prerelax(roots: list[Path], potential: str) -> Iterator[tuple[Path, int]]:
    """Write geometry.json, from which `ase_run` starts, into each folder that is to be relaxed and was not begun.

    The forces and the stress are made symmetric, since a cell that has lost its symmetry by rounding costs a code many times the k-points.

    Args:
        roots: with folders of an input.json anywhere below.
        potential: a name of `calculators.POTENTIALS`.

    Yields:
        each folder written, with the steps that the potential took.

    Raises:
        ValueError: no such potential.
        ModuleNotFoundError: it is not installed.
    """
    forces = calculator(potential)
    for file in (file for root in roots for file in sorted(Path(root).rglob("input.json"))):
        given, start = json.loads(file.read_text()), file.with_name("geometry.json")
        if given["settings"]["relax"] is None or start.exists() or file.with_name("record.json").exists():
            continue
        atoms = Atoms(numbers=given["atomic_numbers"], cell=given["lattice"], scaled_positions=given["frac_coords"], pbc=True)
        atoms.set_constraint(FixSymmetry(atoms, symprec=_SYMPREC))
        atoms.calc = forces
        optimiser = BFGS(FrechetCellFilter(atoms), logfile=None, maxstep=0.1)
        optimiser.run(fmax=FMAX, steps=MAX_STEPS)
        cell, coords = atoms.cell.tolist(), atoms.get_scaled_positions().tolist()
        write_json({"cell": cell, "frac_coords": coords, "steps": 0, "seconds": 0.0, "start": energy_source(potential)}, start)
        yield file.parent, optimiser.nsteps
