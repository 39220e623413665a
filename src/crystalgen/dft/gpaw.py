"""What a text output of GPAW says: settings, energy, magnetisation, state."""

import re

import numpy as np
from ase import Atoms

from crystalgen.dft.rows import CONVERGED, EARLY, ELECTRONIC, IONIC, OTHER
from crystalgen.dft.settings import families, k_density

BANNER = re.compile(r"^ \|__ \|  _\|___\|_____\|\s+(\S+)", re.MULTILINE)
MARK = b"|__ |  _|___|_____|"  # in BANNER
CONVERGED_STEP = re.compile(r"^Converged (?:after|in) \d+", re.MULTILINE)
_STEP = re.compile(r"^\s+iter\s+time", re.MULTILINE)
_END = re.compile(r"^Date: .+ \d{4}\b", re.MULTILINE)
_DECISIVE = (
    "mode",
    "h",
    "gpts",
    "basis",
    "setups",
    "charge",
    "background_charge",
    "external",
    "poissonsolver",
    "soc",
    "experimental",
    "hund",
)
_FMAX = 0.05  # eV/Å, ASE's own: what several geometries in one output are judged by, which does not say what was asked for


def settings(text: str, atoms: Atoms) -> dict:
    """Return settings by name, of the last run in an output."""
    given = _given(text)
    asked = number(r"kpts: \{?(?:size: [^}]*)?density: ([\d.]+)", text)
    mesh = re.search(r"^\d+ k-points?: (\d+) x (\d+) x (\d+)", text, re.MULTILINE)
    count = float(np.prod([int(n) for n in mesh.groups()])) if mesh else number(r"^(\d+) k-points?\b", text) or 1.0
    found = {
        "functional": _functional(text, given),
        "cutoff_ev": number(r"ecut: ([\d.]+)", text) or number(r"Cutoff energy: ([\d.]+)", text),
        "k_density": asked if asked is not None else k_density(count, atoms.cell.array),
        "smearing_ev": number(r"width: ([\d.]+)", text),
        "smearing": one(r"^Occupation numbers: ([\w\- ]+?)\s*:", text),
        "spin_polarised": "Spin-polarized calculation" in text,
        "total_charge": number(r"Total Charge: (-?[\d.]+)", text) or 0.0,
        "setups": families(potentials(text)),
        "further": {name: given[name] for name in _DECISIVE if name in given},
    }
    if vdw := one(r"^(?:vdW|VDW|van der Waals)[ \w]*correction: *(.*)", text):
        found["dispersion"] = vdw
    return found


def energy(text: str) -> float | None:
    """Return the last energy, eV, extrapolated to no smearing."""
    found = re.findall(r"^(?:Extrapolated|Zero Kelvin):\s+(-?[\d.]+)", text, re.MULTILINE)
    return float(found[-1]) if found else None


def magnetisation(text: str) -> float | None:
    """Return that of the cell, Bohr magnetons; None of a run without spin."""
    found = re.findall(r"^Total [Mm]agnetic [Mm]oment:\s+\(?([^)\n]+)", text, re.MULTILINE)
    values = [float(value) for value in re.findall(r"-?\d+\.?\d*", found[-1])] if found else []
    if not values or "Spin-paired calculation" in text:
        return None
    return values[-1] if len(values) < 3 else float(np.linalg.norm(values[:3]))


def potentials(text: str) -> list[tuple[str, str]]:
    """Return file and checksum of each setup."""
    return [(file, key) for key, file in re.findall(r"id: (\w+)\n(?:.*\n){1,6}?\s+file: (\S+)", text)]


def status(text: str, forces: np.ndarray | None) -> str:
    """Return the state of the last run, whose geometry is one unless several are in the output."""
    rest = text[max((found.start() for found in _STEP.finditer(text)), default=0) :]
    if re.search(r"fixdensity: (?:True|\d)", text):
        return f"{OTHER}bands at a fixed density"
    done = list(CONVERGED_STEP.finditer(rest))
    if not done:
        return ELECTRONIC
    if not _END.search(rest, done[-1].end()) or energy(rest) is None:
        return EARLY
    if len(re.findall(r"^Positions:", text, re.MULTILINE)) > 1 and (forces is None or np.linalg.norm(forces, axis=1).max() > _FMAX):
        return IONIC
    return CONVERGED


def stopped(text: str) -> str | None:
    """Return what the last lines of a broken run say, as Python does."""
    found = re.findall(r"^(?:\w+\.)*\w+(?:Error|Exception): .*", text, re.MULTILINE)
    return found[-1][:160] if found else None


def ionic_steps(text: str) -> int:
    """Return the number of converged geometries."""
    return len(CONVERGED_STEP.findall(text))


def one(pattern: str, text: str) -> str | None:
    """Return the first group of the first place that fits."""
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else None


def number(pattern: str, text: str) -> float | None:
    """Return `one` as a number."""
    found = one(pattern, text)
    return float(found) if found else None


def _given(text: str) -> dict[str, str]:
    """The input parameters as they are printed, by name."""
    block = re.search(r"^Input parameters:\n((?:  .*\n)+)", text, re.MULTILINE)
    found = re.findall(r"^  (\w+): (.*(?:\n   +.*)*)", block[1], re.MULTILINE) if block else []
    return {name: " ".join(value.split()) for name, value in found}


def _functional(text: str, given: dict[str, str]) -> str | None:
    name = given.get("xc") or one(r"^XC parameters: (\S+)", text) or one(r"Using the (\S+) Exchange-Correlation functional", text)
    return name.strip("'\"") if name else None
