"""One output of GPAW or Quantum ESPRESSO: from its text to a row; strict about `ase_run`'s own folders, which say what was asked for."""

import io
import json
import re
import warnings
from pathlib import Path
from types import ModuleType

import ase.io
import numpy as np
from ase import Atoms
from pymatgen.core import Element, Structure

from crystalgen.dft import espresso, gpaw
from crystalgen.dft.rows import CONVERGED, IONIC, OTHER, FailedRun, odd_energy, row_of
from crystalgen.dft.settings import settings_id
from crystalgen.dft.text import is_cut_short, read_text

_KBAR = 1602.1766208  # of an eV/Å^3
_NEXT = re.compile(r"^\s+Program (?!PWSCF)\S+\s+v\.\s*\S+\s+(?:\([^)]*\) )?starts on", re.MULTILINE)
_CODES = {"GPAW": (gpaw, "gpaw-out"), "Quantum ESPRESSO": (espresso, "espresso-out")}  # with ASE's names of their outputs


def is_output(text: str) -> bool:
    """Return whether the begin and the end of a text are of an output that `read_ase` reads, whatever lines stand around it."""
    return any(code.BANNER.search(text) for code, _ in _CODES.values()) or (
        "PWSCF        :" in text and espresso.END.search(text) is not None
    )


def read_ase(path: Path) -> dict:
    """Read what a calculation found, by its text output; energies are extrapolated to no smearing.

    Of several runs in one file the last counts. Beside an input.json of `ase_inputs`, cut-off, functional and atoms of the output must be
    the input's, and a relaxation counts as converged only if record.json says so.

    Args:
        path: plain or packed.

    Raises:
        FailedRun: the output holds no result, or another one than its folder's input asks for.
    """
    name, code, format, text = _last_run(read_text(path, marks=(gpaw.MARK, espresso.MARK)), path)
    own = (path.parent / "input.json").exists()
    if code is espresso and espresso.energy(text) is None and espresso.status(text, None).startswith(OTHER):
        return {"code": name, "version": code.BANNER.search(text)[1], "status": espresso.status(text, None)}
    atoms = _last(text, code, format, path)
    energy = code.energy(text)
    if energy is None or not np.isfinite(energy):
        raise FailedRun(f"{path.name}: no finite energy")
    forces = atoms.calc.results.get("forces")
    settings, status = {"code": name, **code.settings(text, atoms)}, code.status(text, forces)
    notes = [f"{path.name}: the middle of a large log is not read"] if is_cut_short(path) else []
    if own:
        settings, status, further = _as_asked(path.parent, path.name.partition(".txt")[0], atoms, settings, status)
        notes += further
    if status == CONVERGED and (odd := odd_energy(_structure(atoms), energy / len(atoms), below_atoms=code is gpaw)) is not None:
        status = f"{OTHER}{odd}"
    stress = atoms.calc.results.get("stress")
    return row_of(
        atoms.cell.array,
        atoms.numbers,
        atoms.get_scaled_positions(),
        energy=energy,
        forces=forces,
        code=name,
        version=code.BANNER.search(text)[1],
        settings_id=settings.pop("settings_id", None) or settings_id(settings),
        settings=json.dumps(settings, sort_keys=True),
        potentials=json.dumps(sorted({f"{Path(file).name.removesuffix('.gz')} {key[:8]}" for file, key in code.potentials(text)})),
        status=status,
        stress=None if stress is None else (-_full(stress) * _KBAR).tolist(),  # VASP's sign
        magnetisation=code.magnetisation(text),
        ionic_steps=code.ionic_steps(text),
        warnings="; ".join(notes),
    )


def _last_run(text: str, path: Path) -> tuple[str, ModuleType, str, str]:
    """Name, module and ASE's format of the code, and its text from where its last run begins.

    Raises:
        FailedRun: no code names itself.
    """
    found = [(place[-1].start(), name) for name, (code, _) in _CODES.items() if (place := list(code.BANNER.finditer(text)))]
    if not found:
        raise FailedRun(f"{path.name}: no begin of an output of {' or '.join(_CODES)}")
    if "\0" in text:
        raise FailedRun(f"{path.name}: damaged, {text.count(chr(0))} zero bytes in it")
    start, name = max(found)
    text = text[start:]
    further = _NEXT.search(text)  # such as ph.x, which writes alike
    return name, *_CODES[name], text[: further.start()] if further else text


def _last(text: str, code: ModuleType, format: str, path: Path) -> Atoms:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = ase.io.read(io.StringIO(espresso.without_bands(text) if code is espresso else text), index=-1, format=format)
    except Exception as error:  # the parsers raise types of their own for broken files
        said = code.stopped(text) or ("no energy in it" if code.energy(text) is None else "")
        said = said or f"{type(error).__name__}: {' '.join(str(error).split())[:120] or 'broken'}"
        raise FailedRun(f"{path.name}: {said}") from None
    if atoms.calc is None or not len(atoms) or not np.isfinite(atoms.positions).all():
        raise FailedRun(f"{path.name}: {code.stopped(text) or 'no result'}")
    volume = espresso.checked_volume(text) if code is espresso else None
    if volume is not None and abs(atoms.get_volume() / volume - 1) > 0.01:
        raise FailedRun(f"{path.name}: the last cell is not read whole: {atoms.get_volume():.1f} Å^3 for pw.x's {volume:.1f} Å^3")
    return atoms


def _structure(atoms: Atoms) -> Structure:
    return Structure(atoms.cell.array, [Element.from_Z(int(z)) for z in atoms.numbers], atoms.get_scaled_positions())


def _as_asked(folder: Path, name: str, atoms: Atoms, settings: dict, status: str) -> tuple[dict, str, list[str]]:
    """Settings, status and notes of an output in a folder of `ase_run`.

    Raises:
        FailedRun: the output is of another crystal or of other settings than the folder's input.
    """
    try:
        given = json.loads(read_text(folder / "input.json"))
        asked = given["settings"]
        stage = asked["static"] if name == "static" else asked["relax"]
        elements = sorted(given["atomic_numbers"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FailedRun(f"input.json: {type(error).__name__}: {error}") from None
    if stage is None or sorted(atoms.numbers.tolist()) != elements:
        raise FailedRun(f"input.json asks for another crystal than {name} computed")
    if settings["functional"] != asked["functional"] or abs((settings["cutoff_ev"] or 0) - stage["cutoff_ev"]) > 0.1:
        raise FailedRun(f"input.json asks for other settings than {name} used: {settings}")
    merged = settings | {"k_density": stage["k_density"], "smearing_ev": asked["smearing_ev"], "spin_polarised": asked["spin_polarised"]}
    if name == "static":
        merged["settings_id"] = given["settings_id"]
    notes = []
    try:
        record = json.loads(read_text(folder / "record.json"))
    except ValueError:  # broken or not there
        return merged, status if status != CONVERGED else "unconverged: no record.json, the run did not finish", notes
    if record.get("relax_converged") is False and status == CONVERGED:
        status = IONIC
    if record.get("relax_converged") is None and asked["relax"] is not None:
        status = f"failed: {record.get('status', 'no status')}".replace("failed: failed: ", "failed: ")
    if asked["relax"] is None:
        notes.append("not relaxed")
    return merged, status, notes


def _full(stress: np.ndarray) -> np.ndarray:
    """(3, 3), of that or of Voigt's six."""
    if np.shape(stress) == (3, 3):
        return np.asarray(stress)
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
