"""Validity as CDVAE defines it: of a structure by distances, of a composition by SMACT (A Table 1)."""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import smact
from pymatgen.core import Composition

from crystalgen.crystals.geometry import nearest_distances
from crystalgen.crystals.schema import MIN_VOLUME

MIN_DISTANCE = 0.5  # Å
INVALID = f"invalid: atoms within {MIN_DISTANCE} Å or an empty cell"  # of a crystal that is not asked for its energy


def structure_validity(table: pd.DataFrame) -> np.ndarray:
    """Return whether each crystal is valid, bool (n,): no two atoms too close, an atom and its own image among them, no empty cell."""
    return distance_validity(table)["valid_structure"].to_numpy()


def distance_validity(table: pd.DataFrame) -> pd.DataFrame:
    """Return whether each crystal is valid by ours and by the published definition: valid_structure, valid_structure_published.

    CDVAE's code, whose verdicts the literature has, takes the distances between different atoms of the cell alone, so that it calls a
    crystal valid whose atoms are within 0.5 Å of their own images.
    """
    columns = zip(table["lattice"], table["frac_coords"], strict=True)
    verdicts = [_valid(lattice, coords) for lattice, coords in columns]
    return pd.DataFrame(verdicts, columns=["valid_structure", "valid_structure_published"], index=table.index, dtype=bool)


def validity(table: pd.DataFrame, with_fingerprints: Callable[[np.ndarray], np.ndarray] | None = None) -> pd.DataFrame:
    """Return whether each crystal is valid, by each definition: columns of booleans.

    valid_structure and valid_structure_published as in `distance_validity`; valid_composition; valid: by structure and composition;
    valid_published: as CDVAE's and DiffCSP's scripts have it, by the published distances, composition and fingerprints.

    Args:
        table: crystals.
        with_fingerprints: says of places in the table (k,) whether these have fingerprints, bool (k,); without it, the published
            definition goes without them.
    """
    found = distance_validity(table).assign(valid_composition=composition_validity(table))
    published = (found["valid_structure_published"] & found["valid_composition"]).to_numpy(copy=True)
    if with_fingerprints is not None:
        published[published] = with_fingerprints(np.flatnonzero(published))
    return found.assign(valid=found["valid_structure"] & found["valid_composition"], valid_published=published)


def composition_validity(table: pd.DataFrame) -> np.ndarray:
    """Return whether each composition can be neutral by SMACT's oxidation states and electronegativities, bool (n,).

    Elements and alloys of metals pass, as in CDVAE; its list of oxidation states (`smact14`) is asked for by name, since
    SMACT's default has changed.
    """
    verdicts = {formula: neutral(Composition(formula).get_el_amt_dict()) for formula in pd.unique(table["reduced_formula"])}
    return table["reduced_formula"].map(verdicts).to_numpy(dtype=bool)


def neutral(counts: dict[str, float]) -> bool:
    """Answer SMACT's question (`smact.screening.smact_validity` with list smact14, Pauling test, alloys) for one composition.

    SMACT tries the product of all states, of a dozen elements for hours. Here the sums that can be reached are kept, for each
    electronegativity up to which elements are cations.

    counts: atoms by symbol, in any unit cell.
    """
    if len(counts) == 1 or alloy(counts):
        return True
    elements = [_element(symbol) for symbol in counts]
    if any(not states or eneg is None for states, eneg in elements):
        return False
    numbers = [int(count) for count in counts.values()]
    for border in {eneg for _, eneg in elements}:
        sums = {0}
        for count, (states, eneg) in zip(numbers, elements, strict=True):
            cation = eneg <= border
            sums = {total + count * state for state in states if state == 0 or (state > 0) == cation for total in sums}
        if 0 in sums:
            return True
    return False


def alloy(symbols: Iterable[str]) -> bool:
    """Return whether all elements are metals by SMACT."""
    return all(symbol in _metals() for symbol in symbols)


@functools.cache
def _metals() -> frozenset[str]:
    return frozenset(smact.metals)


@functools.cache
def _element(symbol: str) -> tuple[tuple[int, ...], float | None]:
    """Oxidation states of the list smact14, and Pauling's electronegativity."""
    element = smact.Element(symbol)
    return tuple(element.oxidation_states_smact14 or ()), element.pauling_eneg


def _valid(lattice: np.ndarray, coords: np.ndarray) -> tuple[bool, bool]:
    if not np.isfinite(lattice).all() or not np.isfinite(coords).all() or abs(np.linalg.det(lattice)) <= MIN_VOLUME:
        return False, False
    distances = nearest_distances(lattice, coords)
    apart = distances[~np.eye(len(distances), dtype=bool)]
    return bool(distances.min() > MIN_DISTANCE), bool(apart.min(initial=np.inf) >= MIN_DISTANCE)
