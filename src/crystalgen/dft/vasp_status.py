"""Whether a VASP run's last energy is that of a crystal, with electrons and ions converged by the run's own criterion."""

import numpy as np

from crystalgen.dft.outcar import Outcar
from crystalgen.dft.rows import CONVERGED, ELECTRONIC, IONIC, OTHER, odd_energy
from crystalgen.dft.vasprun import Run

_MINIMISERS = (1, 2, 3)  # IBRION
_MODES = {0: "molecular dynamics", 5: "displaced geometries", 6: "displaced geometries", 7: "linear response", 8: "linear response",
          11: "geometries from outside", 12: "geometries from outside", 40: "a reaction path", 44: "a saddle point"}  # fmt: skip
_NO_ENERGY = ("CHI", "GW", "G0W0", "BSE", "TDHF", "TIMEEV", "ACFDT", "RPA", "2E4W", "NONE", "EIGENVAL", "SUBROT")  # in ALGO


def vasp_status(run: Run, outcar: Outcar | None, energy: float | None) -> str:
    """Return `converged`, `unconverged: <what>` or `other: <what>` for a run that is no relaxation or single point of a crystal."""
    if (kind := other_kind(run)) is not None:
        return f"{OTHER}{kind}"
    if not _electrons_converged(run, outcar):
        return ELECTRONIC
    if not _ions_converged(run, outcar):
        return IONIC
    if outcar is not None and not outcar.ended:
        return "unconverged: OUTCAR ends early"
    if (odd := odd_energy(run.final_structure, energy / len(run.final_structure), below_atoms=True)) is not None:
        return f"{OTHER}{odd}"
    return CONVERGED


def forces_of(run: Run) -> np.ndarray | None:
    """(n, 3), eV/Å, of the last ionic step; None where the run has none or where they overflow."""
    forces = run.ionic_steps[-1].get("forces") if run.ionic_steps else None
    return None if forces is None or not np.isfinite(np.asarray(forces, dtype=float)).all() else np.asarray(forces, dtype=float)


def _value(run: Run, name: str, default):
    value = run.parameters.get(name, run.incar.get(name))
    return default if value is None else value


def _ibrion(run: Run) -> int:
    return int(_value(run, "IBRION", -1 if int(_value(run, "NSW", 0)) <= 0 else 0))


def other_kind(run: Run) -> str | None:
    """Return what a run is whose energy is that of no crystal, None of a relaxation or a single point."""
    ibrion, nsw = _ibrion(run), int(_value(run, "NSW", 0))
    algo = str(run.incar.get("ALGO", "")).upper()
    if _value(run, "ML_LMLFF", False) or run.md_data:
        return "energies of a machine-learned force field (ML_LMLFF)"
    if ibrion in _MODES and (nsw > 1 or ibrion != 0):  # of one step without a velocity it is a single point
        return f"{_MODES[ibrion]} (IBRION {ibrion})"
    if int(_value(run, "IMAGES", 0) or 0) > 0:
        return "an image of a path (IMAGES)"
    if _value(run, "LCHIMAG", False):
        return "chemical shifts (LCHIMAG)"
    if str(_value(run, "METAGGA", "--")).upper().startswith(("MBJ", "LMBJ")):
        return "a potential without an energy (METAGGA MBJ)"
    if int(_value(run, "ICHARG", 0)) >= 10:
        return f"bands at a fixed density (ICHARG {int(_value(run, 'ICHARG', 0))})"
    exact = algo.startswith("EXACT") and int(_value(run, "NELM", 60)) == 1  # one diagonalisation, which cannot show convergence
    if exact or any(name in algo for name in _NO_ENERGY):
        return f"excitations or response (ALGO {algo})"
    return None


def _electrons_converged(run: Run, outcar: Outcar | None) -> bool:
    """Whether the last loop ended before NELM, by the criterion and not by a stop."""
    if outcar is not None and (outcar.stopped == "hard stop" or "was not reached" in outcar.last_loop):
        return False
    steps = [step for step in run.ionic_steps[-1]["electronic_steps"] if {"e_fr_energy", "e_wo_entrp"} <= set(step)]
    return 0 < len(steps) < int(_value(run, "NELM", 60)) and (outcar is not None or _settled(run, steps))


def _settled(run: Run, steps: list[dict]) -> bool:
    """Whether the last two electronic steps differ by less than EDIFF, as they do unless the loop was stopped."""
    if len(steps) < 2:
        return False
    return abs(steps[-1]["e_fr_energy"] - steps[-2]["e_fr_energy"]) <= max(float(_value(run, "EDIFF", 1e-4)), 1e-7)


def _ions_converged(run: Run, outcar: Outcar | None) -> bool:
    nsw, ibrion = int(_value(run, "NSW", 0)), _ibrion(run)
    if nsw <= 1 or ibrion == -1:  # one geometry, as asked
        return True
    if outcar is not None and outcar.reached:
        return True
    if outcar is not None and outcar.stopped:
        return False
    if ibrion not in _MINIMISERS or run.steps >= nsw:
        return False
    return _criterion_met(run)


def _criterion_met(run: Run) -> bool:
    """EDIFFG: below zero the largest force on an atom that may move, above zero the change of the energy in the last step."""
    ediffg = float(_value(run, "EDIFFG", 10 * float(_value(run, "EDIFF", 1e-4))))
    last = run.ionic_steps[-1]
    if ediffg < 0:
        forces = forces_of(run)
        if forces is None:
            return False
        free = last["structure"].site_properties.get("selective_dynamics") if last.get("structure") is not None else None
        if free is not None:
            forces = np.where(np.asarray(free, dtype=bool), forces, 0.0)
        return bool(np.linalg.norm(forces, axis=1).max() <= -ediffg * (1 + 1e-6))
    if ediffg == 0 or len(run.ionic_steps) < 2:
        return False
    return bool(abs(last["e_fr_energy"] - run.ionic_steps[-2]["e_fr_energy"]) < ediffg)
