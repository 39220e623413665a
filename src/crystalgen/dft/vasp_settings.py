"""What of a VASP run decides its energies, by its vasprun.xml."""

import bz2
import copy
import json
import math
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from pymatgen.io.vasp import Vasprun
from pymatgen.io.vasp.inputs import POTCAR_STATS_PATH
from pymatgen.io.vasp.sets import MPRelaxSet

from crystalgen.dft.settings import k_density, mesh_size

_NONE = {"", "--", "NONE", "F", "FALSE", "N/A"}
_FAMILIES = {"PAW_PBE": ("PE", "PBE"), "PAW_GGA": ("91", "PW91"), "PAW": ("CA", "LDA")}  # of potentials: the functional by default
_HYBRID = ("AEXX", "HFSCREEN", "AGGAX", "AGGAC", "ALDAC", "LTHOMAS", "LMODELHF")
_VDW = ("Zab_VDW", "PARAM1", "PARAM2", "BPARAM", "CPARAM")
_QUIET = {"EFIELD": 0, "EFIELD_PEAD": 0, "PSTRESS": 0, "NUPDOWN": -1, "I_CONSTRAINED_M": 0, "IDIPOL": 0, "EPSILON": 1, "LSOL": False}
_REFERENCE = "PBE_54"  # the release of potentials that a set's dates are compared with


def vasp_settings(run: Vasprun, electrons: float | None) -> dict:
    """Return settings by name; those that act on nothing are left out.

    Args:
        run: with incar, parameters, k-points and the last geometry.
        electrons: of the neutral cell, if known.
    """
    settings = {
        "code": "VASP",
        "functional": functional(run),
        "cutoff_ev": float(run.parameters["ENMAX"]),
        "precision": str(run.parameters.get("PREC"))[:6].lower(),
        "lasph": bool(run.parameters.get("LASPH", False)),
        "spin": _spin(run),
        "smearing": _smearing(run),
        "k_points": _k_points(run),
        "charge": _charge(run, electrons),
        "hubbard": _hubbard(run),
        "potentials": _potentials(run.potcar_symbols),
        "xc": _exchange_correlation(run),
    }
    for name, quiet in _QUIET.items():  # what acts from outside, where it does
        value = _value(run, name)
        if value is not None and any(part != quiet for part in np.atleast_1d(value)):
            settings[name.lower()] = value
    return {name: value for name, value in settings.items() if value not in ({}, [], None)}


def functional(run: Vasprun) -> str:
    """Return pymatgen's name of the functional; the potentials' own where no tag names one."""
    if not _value(run, "LHFCALC"):  # pymatgen asks for the share of exact exchange alone, which then has no effect
        run = copy.copy(run)
        run.parameters = {**run.parameters, "AEXX": 0.0, "HFSCREEN": 0.0, "LHFCALC": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            name = run.run_type
    except Exception as error:  # such as lists of U that do not fit the elements
        return f"unknown ({' '.join(str(error).split())[:60]})"
    return name.replace("GGA", _FAMILIES.get(_family(run), ("", "GGA"))[1], 1) if name.split("+")[0] == "GGA" else name


def _value(run: Vasprun, name: str):
    return run.parameters.get(name, run.incar.get(name))


def _family(run: Vasprun) -> str:
    return Counter(symbol.split()[0] for symbol in run.potcar_symbols).most_common(1)[0][0]


def _exchange_correlation(run: Vasprun) -> dict:
    """The tags that choose a functional, beyond those that have no effect."""
    tag = str(_value(run, "GGA") or "--").upper()
    found = {"GGA": _FAMILIES.get(_family(run), (tag, ""))[0] if tag in _NONE else tag}
    names = []
    meta = str(_value(run, "METAGGA") or "--").upper()
    if meta not in _NONE:
        found["METAGGA"] = meta
    if _value(run, "LHFCALC"):
        names += ["LHFCALC", *_HYBRID]
    if _value(run, "LUSE_VDW"):
        names += ["LUSE_VDW", *_VDW]
    if (dispersion := _value(run, "IVDW") or 0) != 0:
        found["IVDW"] = dispersion
        found |= {name: value for name, value in run.incar.items() if name.startswith("VDW_")}
    return found | {name: value for name in names if (value := _value(run, name)) is not None}


def _spin(run: Vasprun) -> str:
    if _value(run, "LSORBIT"):
        return "spin-orbit"
    if _value(run, "LNONCOLLINEAR"):
        return "noncollinear"
    return "polarised" if _value(run, "ISPIN") == 2 else "paired"


def _smearing(run: Vasprun) -> str:
    kind = _value(run, "ISMEAR")
    kind = 1 if kind is None else int(kind)
    if kind in (-5, -4, -14, -15):
        return f"ISMEAR {kind}"
    width = _value(run, "SIGMA")
    return f"ISMEAR {kind}, {0.2 if width is None else width:g} eV"


def _k_points(run: Vasprun) -> str | None:
    """The spacing where the mesh is what that asks for; the density of the mesh otherwise."""
    lattice = run.final_structure.lattice
    divisions = run.kpoints.kpts[0] if len(run.kpoints.kpts) == 1 and len(run.actual_kpoints_weights) else None
    spacing = run.incar.get("KSPACING")
    if spacing and divisions and np.prod(divisions) > 0:
        start = run.initial_structure.lattice.reciprocal_lattice.abc
        if all(n == max(1, math.ceil(length / spacing - 1e-3)) for n, length in zip(divisions, start, strict=True)):
            return f"spacing {spacing:g} 1/Å"
    meshes = {"Gamma", "Monkhorst", "Automatic"}
    if divisions and run.kpoints.style.name in meshes and all(float(n).is_integer() and n > 0 for n in divisions):
        points = float(np.prod(divisions))
    elif len(run.actual_kpoints_weights):
        points = mesh_size(run.actual_kpoints_weights)
    else:
        return None
    return f"density {k_density(points, lattice.matrix):g} Å"


def _charge(run: Vasprun, electrons: float | None) -> float | str:
    count = run.parameters.get("NELECT", run.incar.get("NELECT"))
    if count is None:
        return 0.0
    if electrons is None:
        return f"{count:g} electrons" if "NELECT" in run.incar else 0.0
    return round(electrons - count, 3) + 0.0


def _hubbard(run: Vasprun) -> list[str]:
    """Element, l, U and J (eV), of those that have a U; of the rotationally invariant form the difference alone counts."""
    if not _value(run, "LDAU"):
        return []
    names = [symbol.split()[1].split("_")[0] for symbol in run.potcar_symbols]
    kind = _value(run, "LDAUTYPE") or 2
    kind = int(kind[0] if isinstance(kind, list) else kind)  # pymatgen reads some tags as lists of one
    u, j, l = (list(run.incar.get(name) or _value(run, name) or []) for name in ("LDAUU", "LDAUJ", "LDAUL"))  # noqa: E741
    if not (len(u) == len(names) == len(l)):
        return [f"type {kind} U {u} J {j} l {l}"]
    j = j if len(j) == len(u) else [0.0] * len(u)
    acting = [(name, *own) for name, *own in zip(names, l, u, j, strict=True) if own[0] >= 0 and (own[1] or own[2])]
    if kind == 2:
        return sorted(f"{name} l={l} U-J={u - j:g}" for name, l, u, j in acting if u != j)  # noqa: E741
    return sorted(f"{name} l={l} U={u:g} J={j:g} type {kind}" for name, l, u, j in acting)  # noqa: E741


def _potentials(symbols: list[str]) -> list[str]:
    """The potentials that are not those of the Materials Project's set, so that all crystals computed with that share their settings."""
    usual = _usual()
    return sorted({" ".join(symbol.split()) for symbol in symbols if "".join(symbol.split()) not in usual})


@cache
def _usual() -> frozenset[str]:
    """Titles, without blanks, of the set's potentials in their release."""
    titles = {title.lstrip("^") for title in json.loads(bz2.decompress(Path(POTCAR_STATS_PATH).read_bytes()))[_REFERENCE]}
    wanted = tuple(f"PAW_PBE{symbol}" for symbol in MPRelaxSet.CONFIG["POTCAR"].values())
    by_symbol = {}
    for title in titles:
        # a date follows the symbol at once: two digits at most, a month, a year
        for start in wanted:
            if title.startswith(start) and title[len(start) : len(start) + 1].isdigit():
                by_symbol.setdefault(start, []).append(title)
    return frozenset(found[0] for found in by_symbol.values() if len(found) == 1)
