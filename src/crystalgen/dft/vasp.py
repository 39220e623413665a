"""One VASP calculation: from its vasprun.xml and OUTCAR to a row."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.io.vasp import Vasprun

from crystalgen.dft.rows import CONVERGED, FailedRun, row_of
from crystalgen.dft.text import read_text
from crystalgen.utils.cache import digest

_OUTCAR_END = "General timing and accounting informations for this job"
_ENERGY = re.compile(r"free\s+energy\s+TOTEN\s*=\s*(-?\d+\.\d+)\s*eV")
_VERSION = re.compile(r"^\s*vasp\.(\d+\.\d+\.\d+)", re.MULTILINE)
_SAME_ENERGY = 1e-6  # eV, of one run's two files


def read_vasp(vasprun: Path, outcar: Path | None) -> dict:
    """Read what a calculation found.

    Converged are only runs whose last electronic and ionic steps are, and whose OUTCAR, where there is one, belongs to the same run
    and reached its end.

    Args:
        vasprun: plain or gzipped.
        outcar: of the same run, if there is one.

    Raises:
        FailedRun: a file is broken, or the two are of different runs.
    """
    run = _parsed(vasprun)
    energy = float(run.final_energy)
    if not np.isfinite(energy) or not run.ionic_steps:
        raise FailedRun(f"{vasprun.name}: no finite energy")
    notes = _outcar_notes(run, outcar, energy) if outcar else ["no OUTCAR"]
    structure, last = run.final_structure, run.ionic_steps[-1]
    settings = {
        "code": "VASP",
        "functional": run.run_type,
        "cutoff_ev": float(run.parameters["ENMAX"]),
        "precision": run.parameters.get("PREC"),
        "lasph": bool(run.parameters.get("LASPH", False)),
    }
    return row_of(
        structure.lattice.matrix,
        structure.atomic_numbers,
        structure.frac_coords,
        energy=energy,
        forces=last.get("forces"),
        code="VASP",
        version=run.vasp_version,
        settings_id=digest(json.dumps(settings, sort_keys=True))[:12],
        settings=json.dumps(settings, sort_keys=True),
        potentials=json.dumps(sorted(run.potcar_symbols)),
        status=_status(run, notes),
        stress=None if last.get("stress") is None else np.array(last["stress"], dtype=float).tolist(),
        magnetisation=_magnetisation(outcar),
        ionic_steps=len(run.ionic_steps),
        correction_mp2020=_correction(run),
        warnings="; ".join(notes),
    )


def _parsed(path: Path) -> Vasprun:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    except PermissionError:
        raise FailedRun(f"{path.name}: not readable (permission denied)") from None
    except Exception as error:  # the parser raises types of its own for broken files
        raise FailedRun(f"{path.name}: {type(error).__name__}: {' '.join(str(error).split())[:120] or 'broken'}") from None


def _outcar_notes(run: Vasprun, path: Path, energy: float) -> list[str]:
    text = read_text(path)
    if (version := _VERSION.search(text)) is None:
        raise FailedRun(f"{path.name}: no OUTCAR")
    if not run.vasp_version.startswith(version.group(1)):
        raise FailedRun(f"vasprun.xml is of VASP {run.vasp_version}, {path.name} of {version.group(1)}")
    if _OUTCAR_END not in text:
        return [f"{path.name} ends early"]
    energies = [float(value) for value in _ENERGY.findall(text)]
    free = run.ionic_steps[-1]["e_fr_energy"]
    if not any(abs(value - free) <= _SAME_ENERGY for value in energies):  # a response calculation writes others after it
        raise FailedRun(f"vasprun.xml and {path.name} are of different runs: {free:.6f} eV is not in the latter")
    return []


def _status(run: Vasprun, notes: list[str]) -> str:
    if not run.converged_electronic:
        return "unconverged: electronic steps"
    if not run.converged_ionic:
        return "unconverged: ionic steps"
    early = next((note for note in notes if note.endswith("ends early")), None)
    return f"unconverged: {early}" if early else CONVERGED


def _magnetisation(outcar: Path | None) -> float | None:
    """Return that of the cell, in Bohr magnetons; None where the run has no spin."""
    if outcar is None:
        return None
    found = re.findall(r"number of electron\s+\S+\s+magnetization\s+(-?\d+\.\d+)", read_text(outcar))
    return float(found[-1]) if found else None


def _correction(run: Vasprun) -> float | None:
    """eV for the cell, by the Materials Project's 2020 scheme; None where the settings are not compatible with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entry = MaterialsProject2020Compatibility().process_entry(run.get_computed_entry(inc_structure=True), inplace=False)
    except Exception:  # what the scheme cannot judge gets no correction
        return None
    return None if entry is None else float(entry.correction)
