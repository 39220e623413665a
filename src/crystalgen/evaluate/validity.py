"""Validity as CDVAE defines it: of a structure by distances, of a composition by SMACT (A Table 1)."""

import numpy as np
import pandas as pd
from pymatgen.core import Composition
from smact.screening import smact_validity

from crystalgen.crystals.geometry import nearest_distances
from crystalgen.crystals.schema import MIN_VOLUME

MIN_DISTANCE = 0.5  # Å


def structure_validity(table: pd.DataFrame) -> np.ndarray:
    """Whether each crystal is valid, bool (n,): no two atoms too close, no empty cell."""
    columns = zip(table["lattice"], table["frac_coords"], strict=True)
    return np.array([_valid(lattice, coords) for lattice, coords in columns], dtype=bool)


def composition_validity(table: pd.DataFrame) -> np.ndarray:
    """Whether each composition can be neutral by SMACT's oxidation states and electronegativities, bool (n,).

    Elements and alloys of metals pass, as in CDVAE; its list of oxidation states (`smact14`) is asked for by name, since
    SMACT's default has changed.
    """
    verdicts = {formula: _neutral(formula) for formula in pd.unique(table["reduced_formula"])}
    return table["reduced_formula"].map(verdicts).to_numpy(dtype=bool)


def _neutral(reduced_formula: str) -> bool:
    return bool(smact_validity(Composition(reduced_formula), use_pauling_test=True, include_alloys=True, oxidation_states_set="smact14"))


def _valid(lattice: np.ndarray, coords: np.ndarray) -> bool:
    if not np.isfinite(lattice).all() or not np.isfinite(coords).all() or abs(np.linalg.det(lattice)) <= MIN_VOLUME:
        return False
    return bool(nearest_distances(lattice, coords).min() > MIN_DISTANCE)
