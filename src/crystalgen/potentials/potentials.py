"""Energies and relaxations for the library, by the two potentials whose weights ship in their wheels.

CHGNet 0.3.0 gives volumes and geometries; SevenNet 7net-l3i5 gives every energy that is kept. CHGNet's
energies carry the Materials Project's corrections and SevenNet's are plain PBE: they are never mixed.
"""

import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.utils.strict import Strict

ENERGY_SOURCE = "7net-l3i5"
GEOMETRY_SOURCE = "CHGNet 0.3.0"
_FIT_POINTS = 5


class Volumes(Strict):
    """The volume scan."""

    scales: list[float]
    batch_size: int


def best_volumes(structures: list[Structure], settings: Volumes) -> np.ndarray:
    """Volume of least CHGNet energy of each structure, shape kept, Å^3; NaN where the scan finds none.

    The scan multiplies each structure's own volume by `settings.scales`, then fits a third-order
    Birch-Murnaghan equation (a cubic in V^(-2/3)) through the points around the least energy.
    """
    scales = np.asarray(settings.scales)
    trials = []
    for structure in structures:
        for scale in scales:
            trial = structure.copy()
            trial.scale_lattice(structure.volume * scale)
            trials.append(trial)
    energies = chgnet_energies_per_atom(trials, settings.batch_size).reshape(len(structures), len(scales))
    fitted = [_birch_murnaghan_minimum(scales, e) for e in energies]
    return np.array(fitted) * np.array([s.volume for s in structures])


def energies_per_atom(structures: list[Structure]) -> np.ndarray:
    """SevenNet 7net-l3i5 energy, eV/atom; NaN where the potential fails."""
    model, cutoff = _sevennet()
    return np.array([_sevennet_energy(model, cutoff, s) / len(s) for s in structures])


def relax(structure: Structure, fmax: float, max_steps: int, guard: Callable[[Atoms], None] | None = None,
          calculator: Calculator | None = None) -> tuple[Structure, bool, int]:  # fmt: skip
    """Relax cell and positions (L-BFGS); returns structure, converged, steps.

    Args:
        structure: the start.
        fmax: the force, eV/Å, below which it is converged.
        max_steps: where it ends otherwise.
        guard: sees the atoms before the first step and after each; what it raises ends the relaxation.
        calculator: of forces and stresses; CHGNet's without one.
    """
    atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.calc = calculator or chgnet_calculator()
    optimiser = LBFGS(_CellFilter(atoms), logfile=None)
    if guard is not None:
        optimiser.attach(guard, 1, atoms)
    converged = optimiser.run(fmax=fmax, steps=max_steps)
    return AseAtomsAdaptor.get_structure(atoms), bool(converged), int(optimiser.nsteps)


class _CellFilter(FrechetCellFilter):
    """ASE's filter, which an optimiser asks for the same forces three times a step, each of nine matrix exponentials: asked once here."""

    def __init__(self, atoms: Atoms):
        super().__init__(atoms)
        self._of, self._forces = None, None

    def get_forces(self) -> np.ndarray:
        state = self.atoms.positions.tobytes() + self.atoms.cell.array.tobytes()
        if state != self._of:
            self._of, self._forces = state, super().get_forces()
        return self._forces.copy()


def _birch_murnaghan_minimum(scales: np.ndarray, energies: np.ndarray) -> float:
    """Scale of least energy; NaN unless the least point is inside the scan and the fit has a minimum there."""
    if not np.isfinite(energies).all():
        return np.nan
    least = int(np.argmin(energies))
    if least in (0, len(scales) - 1):
        return np.nan
    start = int(np.clip(least - _FIT_POINTS // 2, 0, len(scales) - _FIT_POINTS))
    window = slice(start, start + _FIT_POINTS)
    x = scales ** (-2 / 3)
    cubic = np.polynomial.Polynomial.fit(x[window], energies[window], 3)
    roots = cubic.deriv().roots()
    roots = roots[np.isreal(roots)].real
    inside = [r for r in roots if x[least + 1] < r < x[least - 1] and cubic.deriv(2)(r) > 0]
    return float(min(inside, key=cubic) ** (-3 / 2)) if inside else float(scales[least])


def chgnet_energies_per_atom(structures: list[Structure], batch_size: int) -> np.ndarray:
    """CHGNet energy, eV/atom: only ever to compare one composition's structures with each other."""
    model = _chgnet()
    predictions = model.predict_structure(structures, task="e", batch_size=batch_size)
    return np.array([float(p["e"]) for p in ([predictions] if isinstance(predictions, dict) else predictions)])  # of one: no list


def _sevennet_energy(model, cutoff: float, structure: Structure) -> float:
    import sevenn._keys as keys
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph

    atoms = AseAtomsAdaptor.get_atoms(structure)
    graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, cutoff, with_shift=False))
    with torch.no_grad():
        energy = float(model(graph)[keys.PRED_TOTAL_ENERGY])
    return energy if np.isfinite(energy) else np.nan


@cache
def _chgnet():
    from chgnet.model import CHGNet

    torch.set_num_threads(1)  # one worker per core: threads inside a worker only get in each other's way
    model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")
    return model


@cache
def chgnet_calculator() -> Calculator:
    """CHGNet 0.3.0 as an ASE calculator."""
    from crystalgen.potentials.chgnet_calculator import CHGNetForces

    return CHGNetForces(_chgnet())


@cache
def _sevennet():
    """7net-l3i5 without its force head: the same energy bit for bit at under a quarter of the time."""
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = SevenNetCalculator("7net-l3i5", device="cpu")
    calculator.model.delete_module_by_key("force_output")
    calculator.model.key_grad = None
    return calculator.model, calculator.cutoff
