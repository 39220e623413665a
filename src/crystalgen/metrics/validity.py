"""Validity as CDVAE defines it: of a structure by distances, of a composition by SMACT (A Table 1)."""

import numpy as np
import pandas as pd
import smact
from pymatgen.core import Composition
from smact import metals
from smact.screening import smact_validity

from crystalgen.crystals.geometry import nearest_distances
from crystalgen.crystals.schema import MIN_VOLUME

MIN_DISTANCE = 0.5  # Å
INVALID = f"invalid: atoms within {MIN_DISTANCE} Å or an empty cell"  # of a crystal that is not asked for its energy
_STATES = "smact14"
_MANY = 1e4  # combinations of oxidation states, beyond which SMACT's trying takes too long


def structure_validity(table: pd.DataFrame) -> np.ndarray:
    """Return whether each crystal is valid, bool (n,): no two atoms too close, no empty cell."""
    columns = zip(table["lattice"], table["frac_coords"], strict=True)
    return np.array([_valid(lattice, coords) for lattice, coords in columns], dtype=bool)


def composition_validity(table: pd.DataFrame) -> np.ndarray:
    """Return whether each composition can be neutral by SMACT's oxidation states and electronegativities, bool (n,).

    Elements and alloys of metals pass, as in CDVAE; its list of oxidation states (`smact14`) is asked for by name, since
    SMACT's default has changed.
    """
    verdicts = {formula: _neutral(formula) for formula in pd.unique(table["reduced_formula"])}
    return table["reduced_formula"].map(verdicts).to_numpy(dtype=bool)


def _neutral(reduced_formula: str) -> bool:
    composition = Composition(reduced_formula)
    states = _states(tuple(composition.get_el_amt_dict()))
    if states is not None and np.prod([float(len(own)) for own, _ in states]) > _MANY:
        return _neutral_by_sums([int(count) for count in composition.get_el_amt_dict().values()], states)
    return bool(smact_validity(composition, use_pauling_test=True, include_alloys=True, oxidation_states_set=_STATES))


def _states(symbols: tuple[str, ...]) -> list[tuple[list[int], float]] | None:
    """SMACT's oxidation states and electronegativity of each element; None where it decides without them."""
    if len(symbols) == 1 or all(symbol in metals for symbol in symbols):
        return None
    elements = [smact.Element(symbol) for symbol in symbols]
    if any(not element.oxidation_states_smact14 or element.pauling_eneg is None for element in elements):
        return None
    return [(element.oxidation_states_smact14, element.pauling_eneg) for element in elements]


def _neutral_by_sums(counts: list[int], states: list[tuple[list[int], float]]) -> bool:
    """SMACT's question, whether a choice of states is neutral with every cation less electronegative than every anion.

    SMACT tries the product of all states, of a dozen elements for hours. Here the sums that can be reached are kept, for each
    electronegativity up to which elements are cations.
    """
    for border in {eneg for _, eneg in states}:
        sums = {0}
        for count, (own, eneg) in zip(counts, states, strict=True):
            allowed = [state for state in own if state == 0 or (state > 0) == (eneg <= border)]
            sums = {total + count * state for total in sums for state in allowed}
        if 0 in sums:
            return True
    return False


def _valid(lattice: np.ndarray, coords: np.ndarray) -> bool:
    if not np.isfinite(lattice).all() or not np.isfinite(coords).all() or abs(np.linalg.det(lattice)) <= MIN_VOLUME:
        return False
    return bool(nearest_distances(lattice, coords).min() > MIN_DISTANCE)
