"""One VASP calculation: from its vasprun.xml and OUTCAR to a row."""

import json
import warnings
from pathlib import Path

import numpy as np
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

from crystalgen.dft.outcar import Outcar
from crystalgen.dft.rows import FailedRun, row_of
from crystalgen.dft.settings import settings_id
from crystalgen.dft.vasp_settings import vasp_settings
from crystalgen.dft.vasp_status import forces_of, other_kind, vasp_status
from crystalgen.dft.vasprun import Run, read_vasprun

_SAME_ENERGY = 1e-6  # eV, of one run's two files


def read_vasp(vasprun: Path, outcar: Path | None) -> dict:
    """Read what a calculation found.

    Converged are only runs whose last electronic and ionic steps are by the run's own criterion, and whose OUTCAR, where there is one,
    belongs to the same run and reached its end.

    Args:
        vasprun: plain or packed.
        outcar: of the same run, if there is one.

    Raises:
        FailedRun: a file is broken, or the two are of different runs.
    """
    run = read_vasprun(vasprun)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        energy = float(run.final_energy) if run.ionic_steps else _force_field_energy(run)
    if energy is None or not np.isfinite(energy):
        energy = None
        if other_kind(run) is None:
            raise FailedRun(f"{vasprun.name}: no finite energy")
    other = Outcar.of(outcar) if outcar else None
    notes = ["no OUTCAR"] if other is None else [] if other.ended else [f"{outcar.name} ends early"]
    status = vasp_status(run, other, energy)
    if other is not None and energy is not None and (missing := _check_same_run(run, other, outcar.name)):
        status = missing
    structure = run.md_data[-1]["structure"] if run.md_data else run.final_structure
    settings = vasp_settings(run, run.electrons)
    stress = run.ionic_steps[-1].get("stress") if run.ionic_steps else None
    return row_of(
        structure.lattice.matrix,
        structure.atomic_numbers,
        structure.frac_coords,
        energy=energy,
        forces=forces_of(run),
        code="VASP",
        version=run.vasp_version,
        settings_id=settings_id(settings),
        settings=json.dumps(settings, sort_keys=True),
        potentials=json.dumps(sorted(run.potcar_symbols)),
        status=status,
        stress=None if stress is None else np.array(stress, dtype=float).tolist(),
        magnetisation=None if other is None else other.magnetisation,
        ionic_steps=run.nionic_steps,
        correction_mp2020=None if energy is None else _correction(run),
        warnings="; ".join(notes),
    )


def _force_field_energy(run: Run) -> float | None:
    """The last energy of a run by a force field, which has no ionic steps of the usual form."""
    return run.md_data[-1].get("energy", {}).get("e_0_energy") if run.md_data else None


def _check_same_run(run: Run, outcar: Outcar, name: str) -> str | None:
    """Return a status where the vasprun.xml lacks the last ionic step of its OUTCAR.

    Raises:
        FailedRun: the two are of different runs.
    """
    if not (run.vasp_version.startswith(outcar.version) or outcar.version.startswith(run.vasp_version)):
        raise FailedRun(f"vasprun.xml is of VASP {run.vasp_version}, {name} of {outcar.version}")
    if not run.ionic_steps or not outcar.ended:
        return None
    free = run.ionic_steps[-1].get("e_fr_energy")
    if free is None or not any(abs(value - free) <= _SAME_ENERGY for value in outcar.all_energies):
        raise FailedRun(f"vasprun.xml and {name} are of different runs: {free if free is None else round(free, 6)} eV is not in the latter")
    at = [place for place, value in enumerate(outcar.energies) if abs(value - free) <= _SAME_ENERGY]
    if at and at[-1] < len(outcar.energies) - 1:  # a response calculation writes none of a finished ionic step after it
        return f"unconverged: vasprun.xml lacks the last {len(outcar.energies) - 1 - at[-1]} of the ionic steps of {name}"
    return None


def _correction(run: Run) -> float | None:
    """eV for the cell, by the Materials Project's 2020 scheme; None where the settings are not compatible with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entry = MaterialsProject2020Compatibility().process_entry(run.get_computed_entry(inc_structure=True), inplace=False)
    except Exception:  # what the scheme cannot judge gets no correction
        return None
    return None if entry is None else float(entry.correction)
