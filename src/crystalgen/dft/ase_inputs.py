"""Folders for `ase_run`: one crystal and its settings each."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

from crystalgen.crystals import to_structures
from crystalgen.utils.cache import digest
from crystalgen.utils.files import write_json
from crystalgen.utils.safe_names import safe_names

_LOG = logging.getLogger(__name__)

# Energies of other cut-offs, densities of k-points or smearings have other errors: one set of settings for all that is compared.
# Cut-offs in eV, density of k-points in points per 1/Å, forces in eV/Å. Of the crystals here none is magnetic.
_COMMON = {
    "functional": "PBE",
    "spin_polarised": False,
    "smearing_ev": 0.1,
    "energy_ev_per_electron": 1e-5,
    "relax": {"cutoff_ev": 400.0, "k_density": 2.5, "fmax": 0.03, "max_steps": 80},
    "static": {"cutoff_ev": 520.0, "k_density": 4.0},
}
SETTINGS = {
    "gpaw": {"code": "gpaw", **_COMMON},
    "espresso": {"code": "espresso", **_COMMON, "pseudopotentials": {}},  # element -> file in $ESPRESSO_PSEUDO
}
_ROUNDING = 1e-8  # Å, and of fractional coordinates
_SYMPREC = 0.01  # Å; to which a cell is made exact before the code looks for its symmetries


def write_ase_inputs(table: pd.DataFrame, folder: Path, settings: dict) -> list[Path]:
    """Write `<folder>/<id>/input.json` for each crystal: its exact primitive cell and the settings.

    Folders are called by the ids made safe. A crystal that cannot be written is left out, which a line of the log says.
    A folder that has the same input already is left as it is, results and all.

    Args:
        table: crystals; `origin` and `note`, where there are such columns, are kept with the input.
        settings: of `SETTINGS`, or alike.

    Raises:
        ValueError: a folder has another input, or nothing can be written, as where no pseudopotential is named for an element.
    """
    written, reasons = [], []
    for name, row, structure in zip(safe_names(table["id"]), table.itertuples(), to_structures(table), strict=True):
        try:
            cell = _primitive(structure, settings)
        except ValueError as error:
            reasons.append(f"{row.id}: {error}")
            _LOG.warning("left out: %s", reasons[-1])
            continue
        given = {
            "id": row.id,
            "formula": cell.composition.reduced_formula,
            "origin": getattr(row, "origin", row.source),
            "lattice": cell.lattice.matrix.tolist(),
            "atomic_numbers": [int(z) for z in cell.atomic_numbers],
            "frac_coords": cell.frac_coords.tolist(),
            "settings": settings,
            "settings_id": settings_id(settings),
        }
        file = Path(folder) / name / "input.json"
        if not file.exists():
            write_json(given, file)
        elif not same_input(json.loads(file.read_text()), json.loads(json.dumps(given))):
            raise ValueError(f"{file}: holds another crystal or other settings; expected a new folder, so that no result is lost")
        written.append(file)
    if not written:
        raise ValueError(f"nothing to write inputs for{f': {reasons[0]}' if reasons else ''}")
    return written


def _primitive(structure: Structure, settings: dict) -> Structure:
    """The exact primitive cell; raises ValueError where a pseudopotential is not named, or where there is no cell to find."""
    if settings["code"] == "espresso" and (missing := sorted(set(structure.symbol_set) - set(settings["pseudopotentials"]))):
        raise ValueError(f"no pseudopotential is named for {', '.join(missing)}; expected a file in $ESPRESSO_PSEUDO for each element")
    try:
        return SpacegroupAnalyzer(structure, symprec=_SYMPREC).get_primitive_standard_structure()
    except (SymmetryUndeterminedError, TypeError, ValueError, IndexError):  # of spglib's failures, where atoms coincide
        raise ValueError("no symmetry can be found, as where two atoms are in one place") from None


def same_input(one: dict, other: dict) -> bool:
    """Return whether two inputs ask for the same, geometries to the rounding of processors: there 0 and 1 are one place in a cell."""
    geometry = ("lattice", "frac_coords")
    if {k: v for k, v in one.items() if k not in geometry} != {k: v for k, v in other.items() if k not in geometry}:
        return False
    lattice, shift = (np.array(one[name]) - np.array(other[name]) for name in geometry)
    return bool(np.abs(lattice).max() < _ROUNDING and np.abs(shift - shift.round()).max() < _ROUNDING)


def settings_id(settings: dict) -> str:
    """Return what calculations whose energies may be compared have in common."""
    decisive = {name: settings[name] for name in ("code", "functional", "spin_polarised", "smearing_ev", "static")}
    return digest(json.dumps(decisive, sort_keys=True))[:12]
