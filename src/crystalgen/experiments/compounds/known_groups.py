"""Votes of known compounds of like composition on space group and size of cell, by the shipped single points.

The shipped table has no geometries, but space group, number of sites and energy of some hundred thousand structures. Each compound
has one vote, which its lowest polymorphs share, and which weighs the more, the more alike its elements are. The formula itself votes too,
unless a benchmark leaves it out.
"""

from functools import cache

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.neighbours import request_distances
from crystalgen.baselines.retrieval.templates import TemplateGroup
from crystalgen.baselines.stoichiometry import ordered_species, permutations_of
from crystalgen.potentials.shipped import SINGLE_POINTS
from crystalgen.represent.canonical import counted_numbers
from crystalgen.utils.formulas import parse_composition

Votes = dict[tuple[int, int], float]  # share of (space group, formula units of the primitive cell)
_DISTANCE = 0.5  # of compositions, at which a compound has 1/e of the weight; fitted as `merging.WEIGHTS` are
_HEIGHT = 0.03  # eV/atom above the lowest polymorph, likewise
_MAX_PERMUTATIONS = 720  # of species of equal amounts; beyond, a formula has hardly a relative


def group_votes(counts: dict[str, int], distances: np.ndarray, itself: bool = True) -> Votes:
    """Return the votes on a formula, which sum to one; none where no compound has its stoichiometry.

    Args:
        counts: atoms of each element in a formula unit, by symbol.
        distances: between elements, see `element_vectors.FittedVectors.distances`.
        itself: whether structures of the formula itself vote.
    """
    species, amounts = ordered_species(counted_numbers(counts))
    table = _by_stoichiometry().get(amounts)
    if table is None or len(permutations := permutations_of(amounts)) > _MAX_PERMUTATIONS:
        return {}
    theirs = np.stack(table["species"].to_numpy())
    group = TemplateGroup(np.array(amounts), np.arange(len(table)), theirs, permutations, np.zeros((len(table), len(permutations))))
    apart = request_distances(group, species[None], distances)[0].min(axis=1)
    logarithms = -apart / _DISTANCE + table["share"].to_numpy()
    if not itself:
        logarithms[(theirs == species).all(axis=1)] = -np.inf
    if not np.isfinite(logarithms).any():
        return {}
    weights = pd.Series(np.exp(logarithms - np.logaddexp.reduce(logarithms)))
    return weights.groupby([table["space_group"].to_numpy(), table["units"].to_numpy()]).sum().to_dict()


def shares(table: pd.DataFrame, votes: Votes) -> np.ndarray:
    """Return the votes on each crystal's space group and units, (n,); NaN for all where there are none."""
    if not votes:
        return np.full(len(table), np.nan)
    groups = table["space_group"].to_numpy(int, na_value=0)
    return np.array([votes.get(place, 0.0) for place in zip(groups.tolist(), table["units"].tolist(), strict=True)])


@cache
def _by_stoichiometry() -> dict[tuple[int, ...], pd.DataFrame]:
    """Single points of each stoichiometry: species, space_group, units, and share, the logarithm of the part of its formula's vote."""
    table = pd.read_parquet(SINGLE_POINTS).astype({"formula": object, "energy_per_atom": float})
    height = table["energy_per_atom"] - table.groupby("formula")["energy_per_atom"].transform("min")
    table["share"] = np.exp(np.maximum(-height / _HEIGHT, -100))
    table["share"] = np.log(table["share"] / table.groupby("formula")["share"].transform("sum"))
    parsed = {}
    for formula in table["formula"].unique():
        counts = parse_composition(formula)
        parsed[formula] = ordered_species(counted_numbers(counts))
    table["species"], table["amounts"] = zip(*table["formula"].map(parsed), strict=True)
    table["units"] = table["nsites"].astype(int) // table["amounts"].map(sum)
    table = table[["species", "amounts", "space_group", "units", "share"]]
    return {amounts: part.reset_index(drop=True) for amounts, part in table.groupby("amounts")}
