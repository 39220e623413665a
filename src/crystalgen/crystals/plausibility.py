"""Which crystals and energies are plausible: one set of limits, for the library, the search, generation, relaxation and evaluation.

A potential asked beyond what it learnt invents energies that no crystal has; one of them decides a hull, or a comparison of least energies.
"""

import numpy as np
import pandas as pd
from ase.data import covalent_radii

from crystalgen.crystals.geometry import nearest_distances
from crystalgen.utils.limits import MAX_BELOW_HULL, MAX_FORMATION_ENERGY, MIN_CONTACT

FAR_FROM_ELEMENTS = f"a formation energy beyond {MAX_FORMATION_ENERGY:g} eV/atom"
FAR_BELOW_HULL = f"an energy more than {MAX_BELOW_HULL:g} eV/atom below the hull"
_ENERGIES = ("energy_per_atom", "formation_energy_per_atom", "e_above_hull")


def implausible(table: pd.DataFrame) -> np.ndarray:
    """Return why each crystal or its energy is implausible, str (n,); empty where nothing is.

    table: crystals. Limits on formation_energy_per_atom and e_above_hull (eV/atom) apply where these are known.
    """
    cells = zip(table["lattice"], table["frac_coords"], table["atomic_numbers"], strict=True)
    contacts = np.array([contact_problem(*cell) for cell in cells], dtype=object)
    formation, above = (_known(table, column) for column in _ENERGIES[1:])
    choices = [contacts, FAR_FROM_ELEMENTS, FAR_BELOW_HULL]
    return np.select([contacts != "", np.abs(formation) > MAX_FORMATION_ENERGY, above < -MAX_BELOW_HULL], choices, "").astype(object)


def without_implausible(table: pd.DataFrame, status: str = "status", prefix: str = "") -> pd.DataFrame:
    """Return the table without the energies of implausible crystals, and without their source.

    Args:
        table: crystals with energies; those that have none stay as they are.
        status: the column where the reason goes; it is added if it is missing.
        prefix: of the reason.
    """
    energies = [column for column in _ENERGIES if column in table]
    rated = table[energies].notna().any(axis=1).to_numpy()
    reasons = np.full(len(table), "", dtype=object)
    reasons[rated] = implausible(table[rated])
    refused = reasons != ""
    kept = table.assign(**{column: table[column].mask(refused) for column in energies})
    kept[status] = np.where(refused, prefix + reasons, table[status] if status in table else "")
    if "energy_source" in table:
        kept["energy_source"] = np.where(refused, None, table["energy_source"])
    return kept


def contact_problem(lattice: np.ndarray, coords: np.ndarray, numbers: np.ndarray, min_contact: float = MIN_CONTACT) -> str:
    """Return what is wrong where two atoms lie inside each other, as a potential is to be told before it is asked; empty elsewhere."""
    close = not shortest_contact(lattice, coords, numbers) >= min_contact
    return f"atoms closer than {min_contact:g} of the sum of their radii" if close else ""


def shortest_contact(lattice: np.ndarray, coords: np.ndarray, numbers: np.ndarray) -> float:
    """Return the least distance between two atoms, as a share of the sum of their covalent radii.

    lattice: (3, 3), Å. coords: (n, 3), fractional. numbers: (n,) integers.
    """
    radii = covalent_radii[numbers]
    return float((nearest_distances(lattice, coords) / (radii[:, None] + radii[None, :])).min())


def _known(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].to_numpy(float) if column in table else np.full(len(table), np.nan)
