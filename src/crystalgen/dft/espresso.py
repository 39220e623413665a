"""What an output of pw.x, 4 to 7, says: settings, energy, magnetisation, state."""

import re

import numpy as np
from ase import Atoms

from crystalgen.dft.gpaw import number, one
from crystalgen.dft.rows import CONVERGED, EARLY, ELECTRONIC, IONIC, OTHER
from crystalgen.dft.settings import families, k_density, mesh_size

BANNER = re.compile(r"^\s+Program PWSCF\s+v\.\s*(\S+)", re.MULTILINE)
MARK = b"Program PWSCF"  # in BANNER
CONVERGED_STEP = re.compile(r"convergence has been achieved")
END = re.compile(r"^\s*JOB DONE\.", re.MULTILINE)
_STEP = re.compile(r"^\s+Self-consistent Calculation", re.MULTILINE)
_FIRST_STEP = re.compile(r"^\s+(?:Self-consistent|Band Structure) Calculation", re.MULTILINE)
_DAMPED = re.compile(r"[Dd]amped (?:[Cc]ell )?[Dd]ynamics|Entering FIRE|FIRE: |End of FIRE")
_RELAXATION = re.compile(r"BFGS Geometry Optimization|bfgs converged")
_RELAXED = re.compile(r"bfgs converged in|^\s*(?:Damped|Wentzcovitch|FIRE)[^\n]*convergence achieved", re.MULTILINE)
_DYNAMICS = re.compile(r"Entering Dynamics|Molecular Dynamics Calculation|End of molecular dynamics|Over-damped Langevin")
_NOT_RELAXED = re.compile(r"bfgs failed|The maximum number of steps has been reached|history already reset at previous step|"
                          r"Maximum CPU time exceeded|Program stopped by user request|SCF convergence has? ?NOT been achieved")  # fmt: skip
_RYDBERG = 13.605693122990  # eV
_BOHR = 0.529177210903  # Å
# Indices of exchange, correlation and their gradient corrections by pw.x's names (funct.f90, xclib); functionals by their indices.
_EXCHANGE = {"NOX": 0, "SLA": 1, "SL1": 2, "RXC": 3, "OEP": 4, "HF": 5, "PB0X": 6, "B3LP": 7, "KZK": 8}
_CORRELATION = {"NOC": 0, "PZ": 1, "VWN": 2, "LYP": 3, "PW": 4, "WIG": 5, "HL": 6, "OBZ": 7, "OBW": 8, "GL": 9, "KZK": 10}
_GRADIENT_EXCHANGE = {"NOGX": 0, "B88": 1, "GGX": 2, "PBX": 3, "REVX": 4, "RPB": 4, "HCTH": 5, "OPTX": 6, "PB0X": 8, "B3LP": 9, "PSX": 10,
                      "WCX": 11, "HSE": 12, "RW86": 13}  # fmt: skip
_GRADIENT_CORRELATION = {"NOGC": 0, "P86": 1, "GGC": 2, "BLYP": 3, "PBC": 4, "HCTH": 5, "NONE": 6, "B3LP": 7, "PSC": 8}
_PARTS = (_EXCHANGE, _CORRELATION, _GRADIENT_EXCHANGE, _GRADIENT_CORRELATION)
_NAMES = {
    (1, 4, 3, 4): "PBE", (1, 4, 10, 8): "PBEsol", (1, 1, 0, 0): "LDA", (1, 4, 0, 0): "LDA", (1, 2, 0, 0): "LDA", (1, 4, 4, 4): "revPBE",
    (1, 4, 2, 2): "PW91", (1, 3, 1, 3): "BLYP", (1, 1, 1, 1): "BP", (6, 4, 8, 4): "PBE0", (1, 4, 12, 4): "HSE", (7, 12, 9, 7): "B3LYP",
    (1, 4, 11, 4): "WC",
}  # fmt: skip
_SHORT = {"PBE": (1, 4, 3, 4), "PBESOL": (1, 4, 10, 8), "LDA": (1, 1, 0, 0), "PZ": (1, 1, 0, 0), "REVPBE": (1, 4, 4, 4),
          "PW91": (1, 4, 2, 2), "BLYP": (1, 3, 1, 3), "BP": (1, 1, 1, 1), "PBE0": (6, 4, 8, 4), "HSE": (1, 4, 12, 4),
          "WC": (1, 4, 11, 4)}  # fmt: skip


def settings(text: str, atoms: Atoms) -> dict:
    """Return settings by name, of the last run in an output."""
    head = _head(text)
    functional, indices = exchange_correlation(head)
    cutoff, density_cutoff = (number(rf"{what} cutoff\s+=\s+([\d.]+)", head) for what in ("kinetic-energy", "charge density"))
    width, smearing = _smearing(head)
    found = {
        "functional": functional,
        "xc": indices,
        "cutoff_ev": None if cutoff is None else round(cutoff * _RYDBERG, 2),
        "density_cutoff_ev": None if density_cutoff is None else round(density_cutoff * _RYDBERG, 1),
        "smearing_ev": None if width is None else round(width * _RYDBERG, 3),
        "smearing": smearing,
        "spin_polarised": bool(re.search(r"Starting magnetic structure|total magnetization\s+=", text)),
        "total_charge": _charge(head),
        "k_density": _k_density(head, atoms),
        "pseudopotentials": families(potentials(head)),
    }
    if "oncollinear" in head or "spin-orbit" in head:
        found["spin_orbit"] = [line for line in ("with spin-orbit", "without spin-orbit") if line in head] or ["noncollinear"]
    for name, lines in (
        ("hubbard", _hubbard(head)),
        ("dispersion", _dispersion(head, text)),
        ("hybrid", _hybrid(head)),
        ("outside", _outside(head)),
    ):
        if lines:
            found[name] = lines
    return found


def exchange_correlation(head: str) -> tuple[str | None, str | None]:
    """Return the functional's name and its indices, the same for each way in which pw.x writes it.

    The ways: a short name, parts apart by blanks, `-` or `+`, or nothing, before the indices; these apart or in one, from four to seven.
    """
    found = re.findall(r"Exchange-correlation\s*=[ \t]*([^\n(]*)(?:\n?[ \t]*\(([\d\s]+)\))?", head)
    if not found:
        return None, None
    written, digits = found[-1]
    written = " ".join(written.split()).upper()
    parts = [] if written.startswith("XC-") else [part for part in re.split(r"[\s+\-]+", written) if part]
    indices = _indices(digits)
    if indices is None:
        indices = _SHORT.get("".join(parts)) if len(parts) == 1 else _by_parts(parts)
    if indices is None:
        return written or None, None
    indices = (*indices, *[0] * 7)[:7]
    plain = not any(indices[4:])
    name = _NAMES.get(indices[:4]) if plain else None
    if name is None:
        name = written or "-".join(map(str, indices))
    return name, " ".join(map(str, indices))


def energy(text: str) -> float | None:
    """Return the last free energy, eV, without half of the smearing's share."""
    free = list(re.finditer(r"^!\s+total energy\s+=\s+(-?[\d.]+) Ry", text, re.MULTILINE))
    if not free:
        return None
    entropy = re.search(r"smearing contrib\. \(-TS\)\s+=\s+(-?[\d.]+) Ry", text[free[-1].end() :])
    return (float(free[-1][1]) - (float(entropy[1]) / 2 if entropy else 0.0)) * _RYDBERG


def magnetisation(text: str) -> float | None:
    """Return that of the cell, Bohr magnetons, of noncollinear spins its length; None of a run without spin."""
    found = re.findall(r"total magnetization\s+=((?:\s+-?\d+\.\d+){1,3})\s+Bohr mag/cell", text)
    values = [float(value) for value in found[-1].split()] if found else []
    return None if not values else values[0] if len(values) == 1 else float(np.linalg.norm(values))


def potentials(text: str) -> list[tuple[str, str]]:
    """Return file and checksum of each pseudopotential."""
    return re.findall(r"PseudoPot\. *#.*read from file:?\s+(\S+)(?:\s+MD5 check sum: (\w+))?", text)


def status(text: str, forces: np.ndarray | None) -> str:
    """Return the state of the last run: of its last self-consistent calculation, and of the relaxation if it is one."""
    damped = _DAMPED.search(text)
    if not damped and _DYNAMICS.search(text):
        return f"{OTHER}molecular dynamics"
    rest = text[max((found.start() for found in _STEP.finditer(text)), default=0) :]
    if "Band Structure Calculation" in rest or ("Band Structure Calculation" in text and not _STEP.search(text)):
        return f"{OTHER}bands at a fixed density"
    done = list(CONVERGED_STEP.finditer(rest))
    if not done:
        return ELECTRONIC
    if not END.search(rest, done[-1].end()):
        return EARLY
    if _NOT_RELAXED.search(text) or ((damped or _RELAXATION.search(text)) and not _RELAXED.search(text)):
        return IONIC
    return CONVERGED


def stopped(text: str) -> str | None:
    """Return what pw.x says it stopped for."""
    found = re.search(r"^\s*(Error in routine .*)\n\s*(.*)", text, re.MULTILINE)
    return " ".join(f"{found[1]} {found[2]}".split())[:160] if found else None


def ionic_steps(text: str) -> int:
    """Return the number of geometries: by the optimiser's own count, where it counts."""
    counted = re.findall(r"number of scf cycles\s+=\s+(\d+)", text)
    return max([len(CONVERGED_STEP.findall(text)), *(int(count) for count in counted[-1:])])


def checked_volume(text: str) -> float | None:
    """Return the volume (Å^3) that pw.x itself gives the last geometry of a relaxation of the cell."""
    found = re.findall(r"new unit-cell volume =\s+([\d.]+) a\.u\.\^3", text)
    return float(found[-1]) * _BOHR**3 if found else None


def without_bands(text: str) -> str:
    """Return a text without the lists of k-points and bands, in which lines of other programs stop ASE's reader."""
    text = re.sub(r"(?m)^(\s+number of k points=)", r"     k points:", text)
    return re.sub(r"(?m)^\s+End of (?:self-consistent|band structure) calculation", "", text)


def _head(text: str) -> str:
    first = _FIRST_STEP.search(text)
    return text[: first.start()] if first else text


def _indices(digits: str) -> tuple[int, ...] | None:
    """Of "1  4  3  4 0 0", "1434" or "1434 0 0"; None of fewer than four, and of such as 14108, which may be read in two ways."""
    tokens = digits.split()
    if len(tokens) < 4 and tokens and len(tokens[0]) == 4:
        tokens = [*tokens[0], *tokens[1:]]
    return tuple(int(token) for token in tokens) if len(tokens) >= 4 else None


def _by_parts(parts: list[str]) -> tuple[int, ...] | None:
    if not 1 < len(parts) <= 4:
        return None
    found = [table.get(part) for table, part in zip(_PARTS, parts, strict=False)]
    return None if None in found else tuple(found)


def _smearing(head: str) -> tuple[float | None, str]:
    line = one(r"number of k points=\s*\d+([^\n]*)", head) or ""
    width = re.search(r"(?:width|broad\.) \(Ry\)=\s*([\d.]+)", line)
    kind = re.sub(r"(,? *width.*|broad\..*|ngauss.*|[()])", "", line).strip().lower()
    order = re.search(r"ngauss\s*=\s*(-?\d+)", line)
    return float(width[1]) if width else None, " ".join(filter(None, [kind or "fixed", order and order[1]]))


def _charge(head: str) -> float:
    """Of the cell, by the electrons and what the species bring along."""
    electrons = number(r"number of electrons\s+=\s+([\d.]+)", head)
    table = re.search(r"atomic species\s+valence\s+mass.*\n((?:\s+\S+\s+[\d.]+\s+[\d.]+.*\n)+)", head)
    if electrons is None or table is None:
        return 0.0
    valence = {line.split()[0]: float(line.split()[1]) for line in table[1].splitlines() if line.split()}
    sites = re.findall(r"^\s+\d+\s+(\S+)\s+tau\(", head, re.MULTILINE)
    if not sites or not set(sites) <= set(valence):
        return 0.0
    return round(sum(valence[site] for site in sites) - electrons, 2) + 0.0


def _k_density(head: str, atoms: Atoms) -> float | None:
    """By the listed points' weights; where too many are not listed, by their number and that of the symmetries, which is less exact."""
    weights = [float(value) for value in re.findall(r"^\s+k\(\s*\d+\) = .*wk =\s*([\d.]+)", head, re.MULTILINE)]
    count = number(r"number of k points=\s*(\d+)", head)
    if count is None:
        return None
    if weights:
        size = mesh_size(weights[: int(count)])
    else:
        operations, inversion = number(r"(\d+) Sym\. ?Ops\.", head) or 1.0, "with inversion" in head
        size = count * operations * (1 if inversion else 2) * 0.8
    return k_density(max(size, 1.0), atoms.cell.array)


def _hubbard(head: str) -> list[str]:
    """The lines that give U, J and V, for versions 5 to 7, in one form."""
    found = []
    for block in re.findall(r"Hubbard parameters of DFT\+U[^\n]*\n((?:[ \t]*\S[^\n]*\n)*?)(?:[ \t]*\n|\s*Internal)", head):
        found += ["".join(line.split()) for line in block.splitlines()]
    for block in re.findall(r"LDA\+U calculation.*\n(?:.*atomic species.*\n)?((?:\s+[A-Z]\S*\s+\d\s+-?[\d.]+.*\n)+)", head):
        found += [" ".join(line.split()) for line in block.splitlines() if line.strip()]
    if "LDA+U calculation" in head or "DFT+U" in head or "Hubbard" in head:
        found += re.findall(r"Hubbard projectors[a-z ]*[: ]+(\S+)", head) or ["U"] * (not found)
    return sorted(set(found))


def _dispersion(head: str, text: str) -> list[str]:
    """By what is announced, and by the terms of the energy."""
    names = ("DFT-D3", "DFT-D2", "Parameters for Dispersion Correction", "Tkatchenko", "TS-vdW", "vdW kernel table")
    terms = re.findall(r"^\s+(DFT-D3 Dispersion|Dispersion (?:\S+ )?Correction)\s+=", text, re.MULTILINE)
    return sorted({name for name in names if name in head} | set(terms))


def _hybrid(head: str) -> list[str]:
    pairs = re.findall(r"(EXX-fraction|exx_fraction|screening_parameter)\s*=\s*([\d.]+)", head)
    return [" ".join(pair) for pair in pairs]


def _outside(head: str) -> list[str]:
    lines = re.findall(
        r"^\s*(Using a sawtooth.*|.*Adding external electric field.*|.*assume_isolated.*|Constrained .*)$", head, re.MULTILINE
    )
    return sorted({" ".join(line.split()) for line in lines})
