"""Candidates of all sources as one list: what is no crystal goes out, what is one crystal becomes one row with the evidence of each source.

What the sources say is one number, `prior`: a weighted sum of the logarithms of their shares, and of the votes of known compounds on the
space group. Shares are of all that a source says for the formula, over cells of every size. The generator is told the size and MP-20
ends at 20 atoms, so that how likely each size is, and what lies beyond, is taken from the prototypes. A crystal that was given as the
seed counts as much as the likeliest one. Weights were fitted to compounds of MP-20's validation split that no benchmark judges
(`benchmarks/ask.py --fit`).
"""

from collections import Counter

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import find_space_groups, primitive_cell
from crystalgen.crystals import from_columns
from crystalgen.crystals.plausibility import MIN_CONTACT, contact_problem
from crystalgen.experiments.compounds.known_groups import Votes, shares
from crystalgen.experiments.compounds.sources import CORRECTOR, GENERATOR, GENERATOR_ATOMS, PROTOTYPES, RANDOM, RETRIEVAL, SEED
from crystalgen.matching.match import CSP, reduce_table
from crystalgen.matching.matcher import compare
from crystalgen.matching.novelty import unique_classes
from crystalgen.matching.reduction import ReducedCell
from crystalgen.metrics.validity import structure_validity
from crystalgen.represent.canonical import wrap

GROUPS = "known_groups"  # evidence that proposes no crystal, see there
EVIDENCE = {source: f"share_{source}" for source in (PROTOTYPES, RETRIEVAL, CORRECTOR, GENERATOR)}
WEIGHTS = {RETRIEVAL: 0.28, CORRECTOR: 0.52, GROUPS: 1.3}  # of the logarithms
ALONE = {PROTOTYPES: 0.2, GENERATOR: 0.2, GROUPS: 1.8}  # where nothing was looked up
LOOKED_UP = (RETRIEVAL, CORRECTOR)  # sources that ask the crystals of MP-20
FLOOR = 0.01  # shares below this tell nothing
GROUP_FLOOR = 0.2  # votes on a space group, likewise
_GEOMETRY = ["lattice", "atomic_numbers", "frac_coords"]
SIZE_FLOOR = 0.02  # share of a size of cell that prototypes and what is looked up leave to the generator
_ORDER = (SEED, PROTOTYPES, CORRECTOR, RETRIEVAL, GENERATOR, RANDOM)  # whose geometry stands for a crystal: exact symmetry before draws


def merge(candidates: pd.DataFrame, most: int, votes: Votes) -> tuple[pd.DataFrame, Counter]:
    """Return distinct sound candidates, the likeliest first, and how many went out for which reason.

    Args:
        candidates: of `sources`, one below the other.
        most: that are kept.
        votes: of `known_groups.group_votes`.

    Returns:
        the candidates with id, sources (all that gave it), the shares of each and prior; at the end what only random search gave.
    """
    removed: Counter = Counter()
    problems = unsound(candidates)
    removed.update(problem for problem in problems if problem)
    table = candidates[[not problem for problem in problems]].reset_index(drop=True)
    table["order"] = table["source"].map(_ORDER.index)
    table = table.sort_values(["order", "weight"], ascending=[True, False], kind="stable", ignore_index=True)
    classes, cells = distinct(table)
    removed["the same crystal as another candidate"] += int((classes != np.arange(len(table))).sum())
    merged = with_prior(primitive(with_evidence(table, classes)), votes)
    merged = merged.sort_values("prior", ascending=False, kind="stable", ignore_index=True)
    if len(merged) > most:
        removed["less likely than those that are kept"] += len(merged) - most
    return merged.head(most).drop(columns="order"), removed


def unsound(candidates: pd.DataFrame) -> list[str]:
    """Return why each candidate is no crystal; empty where it is one."""
    valid = structure_validity(candidates)
    cells = zip(candidates["lattice"], candidates["frac_coords"], candidates["atomic_numbers"], strict=True)
    return ["two atoms within 0.5 Å" if not fine else contact_problem(*cell, MIN_CONTACT) for fine, cell in zip(valid, cells, strict=True)]


def distinct(table: pd.DataFrame) -> tuple[np.ndarray, list[ReducedCell | str]]:
    """Return the place of the first row that is the same crystal as each at 0.3 / 0.5 / 10 degrees, (n,), and the reduced cells."""
    cells = reduce_table(table, workers=1)
    return unique_classes(cells, CSP, workers=1), cells


def same_crystal(cell: ReducedCell | str, other: ReducedCell) -> bool:
    """Return StructureMatcher's verdict at 0.3 / 0.5 / 10 degrees; a crystal without a reduced cell is no other."""
    return not isinstance(cell, str) and cell.kinds == other.kinds and compare(cell, other, CSP, with_rms=False)[0]


def with_evidence(table: pd.DataFrame, classes: np.ndarray) -> pd.DataFrame:
    """Return the first row of each class with the sources and shares of all its members."""
    firsts = np.unique(classes)
    merged = table.iloc[firsts].reset_index(drop=True)
    shares = table["share"].to_numpy(float) * np.where(table["source"].isin(LOOKED_UP), _within_reach(table), 1.0)
    draws = table[table["source"] == GENERATOR].groupby("units").size()
    sizes = size_shares(table)
    for place, (source, units) in enumerate(zip(table["source"], table["units"], strict=True)):
        if source == GENERATOR:
            shares[place] = (sizes.get(units, 0.0) + SIZE_FLOOR) / draws[units]
    for source, column in EVIDENCE.items():
        given = (table["source"] == source).to_numpy()
        merged[column] = [float(shares[given & (classes == first)].sum()) for first in firsts]
    beyond = (merged["nsites"] > GENERATOR_ATOMS).to_numpy()
    for source in (*LOOKED_UP, GENERATOR):  # neither can tell of these cells: they are as likely as the prototypes say
        if (table["source"] == source).any():
            merged.loc[beyond, EVIDENCE[source]] = merged.loc[beyond, [EVIDENCE[source], EVIDENCE[PROTOTYPES]]].max(axis=1)
    names = [dict.fromkeys(table["source"][classes == first]) for first in firsts]
    merged["sources"] = [", ".join(found) for found in names]
    merged["id"] = [f"candidate-{place}" for place in range(len(merged))]
    return merged


def primitive(table: pd.DataFrame) -> pd.DataFrame:
    """Return candidates in their primitive cells, so that nothing is relaxed twice over."""
    if table.empty:
        return table
    cells = list(zip(table["lattice"], table["frac_coords"], table["atomic_numbers"], strict=True))
    smaller = [primitive_cell(cell) for cell in cells]
    lattices, coords, numbers = zip(*smaller, strict=True)
    given = from_columns(lattices, numbers, [wrap(fractional) for fractional in coords], "here")[["formula", "nsites", *_GEOMETRY]]
    return table.assign(**given, units=table["units"].to_numpy() * given["nsites"].to_numpy() // table["nsites"].to_numpy())


def with_prior(table: pd.DataFrame, votes: Votes) -> pd.DataFrame:
    """Return candidates with their space groups as they are now (0.1 Å), the votes on these, and `prior`."""
    table = find_space_groups(table)
    table = table.assign(share_groups=shares(table, votes))
    told = prior(table)
    return table.assign(prior=np.where([SEED in found for found in table["sources"]], told.max(initial=-np.inf), told))


def size_shares(table: pd.DataFrame) -> dict[int, float]:
    """Return how likely cells of each number of formula units are by the prototypes and what was looked up, on average."""
    found = []
    for source in (PROTOTYPES, RETRIEVAL):
        own = table[table["source"] == source]
        if len(own):
            found.append(own.groupby("units")["share"].sum() * (_within_reach(table) if source == RETRIEVAL else 1.0))
    return pd.concat(found, axis=1).fillna(0.0).mean(axis=1).to_dict() if found else {}


def _within_reach(table: pd.DataFrame) -> float:
    """Return the share of the prototypes' say that is of cells that MP-20 and the generator go to."""
    own = table[table["source"] == PROTOTYPES]
    return 1.0 if own.empty else float(own.loc[own["nsites"] <= GENERATOR_ATOMS, "share"].sum() / own["share"].sum())


def prior(merged: pd.DataFrame, sources: tuple[str, ...] = tuple(EVIDENCE)) -> np.ndarray:
    """Return what some sources say, natural logarithms, up to a constant (n,)."""
    looked_up = any(source in sources and (merged[EVIDENCE[source]] > 0).any() for source in LOOKED_UP)
    weights = WEIGHTS if looked_up else ALONE
    told = [weights[source] * np.log(merged[EVIDENCE[source]] + FLOOR) for source in sources if source in weights]
    told.append(weights[GROUPS] * np.log(merged["share_groups"].fillna(0.0) + GROUP_FLOOR))
    return np.sum([np.asarray(part, float) for part in told], axis=0) if len(merged) else np.zeros(0)
