"""One output of GPAW or Quantum ESPRESSO: from its text to a row; strict about `ase_run`'s own folders, which say what was asked for."""

import io
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from crystalgen.dft.rows import CONVERGED, FailedRun, row_of
from crystalgen.dft.text import read_text
from crystalgen.utils.cache import digest

_RYDBERG = 13.605693122990  # eV
_KBAR = 1602.1766208  # of an eV/Å^3
_HEAD = 4096  # characters within which a code names itself


def is_output(text: str) -> bool:
    """Return whether a text begins as an output of a code that `read_ase` reads."""
    return _code_of(text) is not None


def read_ase(path: Path) -> dict:
    """Read what a calculation found, by its text output; energies are extrapolated to no smearing.

    Beside an input.json of `ase_inputs`, cut-off, functional and atoms of the output must be the input's, and a relaxation counts as
    converged only if record.json says so.

    Args:
        path: plain or gzipped.

    Raises:
        FailedRun: the output holds no result, or another one than its folder's input asks for.
    """
    text = read_text(path)
    if (code := _code_of(text)) is None:
        raise FailedRun(f"{path.name}: no output of {' or '.join(known.name for known in _CODES)}")
    atoms = _last(text, code.format, path)
    energy = code.energy(text)
    if energy is None or not np.isfinite(energy):
        raise FailedRun(f"{path.name}: no finite energy")
    settings, status, notes = {"code": code.name, **code.settings(text)}, code.status(text), []
    if (path.parent / "input.json").exists():
        settings, status, notes = _as_asked(path.parent, path.name.partition(".txt")[0], atoms, settings, status)
    stress = atoms.calc.results.get("stress")
    return row_of(
        atoms.cell.array,
        atoms.numbers,
        atoms.get_scaled_positions(),
        energy=energy,
        forces=atoms.calc.results.get("forces"),
        code=code.name,
        version=code.banner.search(text)[1],
        settings_id=settings.pop("settings_id", None) or digest(json.dumps(settings, sort_keys=True))[:12],
        settings=json.dumps(settings, sort_keys=True),
        potentials=json.dumps(sorted({f"{Path(file).name.removesuffix('.gz')} {key[:8]}" for file, key in code.potentials(text)})),
        status=status,
        stress=None if stress is None else (-_full(stress) * _KBAR).tolist(),  # VASP's sign
        ionic_steps=len(code.converged.findall(text)),
        warnings="; ".join(notes),
    )


@dataclass(frozen=True)
class _Code:
    """How a code writes; `step` begins a self-consistent calculation, `converged` and `end` end it and the whole output."""

    name: str
    format: str  # ASE's name
    banner: re.Pattern
    step: re.Pattern
    converged: re.Pattern
    end: re.Pattern
    settings: Callable[[str], dict]
    energy: Callable[[str], float | None]  # eV
    potentials: Callable[[str], list[tuple[str, str]]]  # file, checksum

    def status(self, text: str) -> str:
        """Return the state of the last self-consistent calculation."""
        rest = text[max((found.start() for found in self.step.finditer(text)), default=0) :]
        if not self.converged.search(rest):
            return "unconverged: electronic steps"
        return CONVERGED if self.end.search(rest) else "unconverged: the output ends early"


def _code_of(text: str) -> _Code | None:
    return next((code for code in _CODES if code.banner.search(text[:_HEAD])), None)


def _last(text: str, format: str, path: Path) -> Atoms:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = ase.io.read(io.StringIO(text), index=-1, format=format)
    except Exception as error:  # the parsers raise types of their own for broken files
        raise FailedRun(f"{path.name}: {type(error).__name__}: {' '.join(str(error).split())[:120] or 'broken'}") from None
    if atoms.calc is None or not len(atoms) or not np.isfinite(atoms.positions).all():
        raise FailedRun(f"{path.name}: no result")
    return atoms


def _gpaw_settings(text: str) -> dict:
    return {
        "functional": _one(r"^  xc: (\S+)", text),
        "cutoff_ev": _number(r"ecut: ([\d.]+)", text),
        "k_density": _number(r"kpts: \{?density: ([\d.]+)", text),
        "smearing_ev": _number(r"width: ([\d.]+)", text),
    }


def _espresso_settings(text: str) -> dict:
    cutoff, width = _number(r"kinetic-energy cutoff\s+=\s+([\d.]+)", text), _number(r"width \(Ry\)=\s*([\d.]+)", text)
    return {
        "functional": _one(r"Exchange-correlation=\s*(\S+)", text),
        "cutoff_ev": None if cutoff is None else round(cutoff * _RYDBERG, 2),
        "smearing_ev": None if width is None else round(width * _RYDBERG, 3),
    }


def _as_asked(folder: Path, name: str, atoms: Atoms, settings: dict, status: str) -> tuple[dict, str, list[str]]:
    """Settings, status and notes of an output in a folder of `ase_run`.

    Raises:
        FailedRun: the output is of another crystal or of other settings than the folder's input.
    """
    try:
        given = json.loads((folder / "input.json").read_text())
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
        record = json.loads((folder / "record.json").read_text())
    except (OSError, ValueError):
        return merged, status if status != CONVERGED else "unconverged: no record.json, the run did not finish", notes
    if record.get("relax_converged") is False and status == CONVERGED:
        status = "unconverged: ionic steps"
    if record.get("relax_converged") is None and asked["relax"] is not None:
        status = f"failed: {record.get('status', 'no status')}".replace("failed: failed: ", "failed: ")
    if asked["relax"] is None:
        notes.append("not relaxed")
    return merged, status, notes


def _gpaw_energy(text: str) -> float | None:
    found = re.findall(r"^Extrapolated:\s+(-?[\d.]+)", text, re.MULTILINE)
    return float(found[-1]) if found else None


def _espresso_energy(text: str) -> float | None:
    """The free energy without half of the smearing's share."""
    free = re.findall(r"^!\s+total energy\s+=\s+(-?[\d.]+) Ry", text, re.MULTILINE)
    entropy = re.findall(r"smearing contrib\. \(-TS\)\s+=\s+(-?[\d.]+) Ry", text)
    return (float(free[-1]) - (float(entropy[-1]) / 2 if entropy else 0.0)) * _RYDBERG if free else None


def _gpaw_potentials(text: str) -> list[tuple[str, str]]:
    return [(file, key) for key, file in re.findall(r"id: (\w+)\n(?:.*\n){1,6}?\s+file: (\S+)", text)]


def _espresso_potentials(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^\s+(\S+\.UPF)\n\s+MD5 check sum: (\w+)", text, re.MULTILINE)


def _full(stress: np.ndarray) -> np.ndarray:
    """(3, 3), of that or of Voigt's six."""
    if np.shape(stress) == (3, 3):
        return np.asarray(stress)
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _one(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else None


def _number(pattern: str, text: str) -> float | None:
    found = _one(pattern, text)
    return float(found) if found else None


_CODES = (
    _Code(
        name="GPAW",
        format="gpaw-out",
        banner=re.compile(r"^ \|__ \|  _\|___\|_____\|\s+(\S+)", re.MULTILINE),
        step=re.compile(r"^\s+iter\s+time", re.MULTILINE),
        converged=re.compile(r"^Converged (?:after|in) \d+", re.MULTILINE),
        end=re.compile(r"^Forces in eV/Ang:[\s\S]*^Date: .+ \d{4}\s*\Z", re.MULTILINE),
        settings=_gpaw_settings,
        energy=_gpaw_energy,
        potentials=_gpaw_potentials,
    ),
    _Code(
        name="Quantum ESPRESSO",
        format="espresso-out",
        banner=re.compile(r"^\s+Program PWSCF v\.(\S+)", re.MULTILINE),
        step=re.compile(r"^\s+Self-consistent Calculation", re.MULTILINE),
        converged=re.compile(r"convergence has been achieved"),
        end=re.compile(r"JOB DONE\.\s*=?-*=?\s*\Z"),
        settings=_espresso_settings,
        energy=_espresso_energy,
        potentials=_espresso_potentials,
    ),
)
