"""What is unique and novel where elements that may replace each other count as one, as MatterGen's evaluation has it.

Zeni et al., Nature 639, 624 (2025), supplement: by a modified rule of Hume-Rothery, elements replace each other whose radii differ by at
most 30 % of their mean and whose electronegativities differ by at most 1. Two crystals of one reduced formula match if StructureMatcher
calls them alike, or if it does so once the first's replaceable elements share their sites, in supercells, too.
"""

import warnings
from collections.abc import Sequence
from functools import cache, partial
from itertools import combinations

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import OrderDisorderElementComparator, StructureMatcher
from pymatgen.core import Element, Structure

from crystalgen.crystals import to_structures
from crystalgen.matching.match import TIME_LIMIT, reduce_table
from crystalgen.matching.novelty import nearest_target, unique_classes
from crystalgen.utils.limited_map import map_limited
from crystalgen.utils.timeout import TimeLimit

_RADIUS, _ELECTRONEGATIVITY = 0.3, 1.0  # largest differences, relative and by Pauling's scale


def disordered_verdicts(samples: pd.DataFrame, known: pd.DataFrame, workers: int = 2, limit: float = TIME_LIMIT) -> pd.DataFrame:
    """Return unique and novel (bool) and reason (of a comparison that failed; empty), a row for each sample.

    Args:
        samples, known: crystals; what matches one of the latter is not novel.
        workers: processes.
        limit: s of CPU time for one sample's comparisons.
    """
    cells, old = reduce_table(samples, workers, limit), reduce_table(known, workers, limit)
    usable = np.array([not isinstance(cell, str) for cell in cells], dtype=bool)
    first = unique_classes(cells, workers=workers, limit=limit) == np.arange(len(cells))
    seen = nearest_target(cells, old, workers=workers, with_rms=False, limit=limit)["matched"].to_numpy(bool)
    structures, others = to_structures(samples), to_structures(known)
    formulas = [samples["reduced_formula"].to_numpy(), known["reduced_formula"].to_numpy()]
    places = pd.Series(np.arange(len(known))).groupby(formulas[1]).indices
    asked = [i for i in np.flatnonzero(usable & ~seen) if _replaceable(structures[i]) and formulas[0][i] in places]
    items = [(structures[i], [others[j] for j in places[formulas[0][i]]]) for i in asked]
    novel, unique, reasons = usable & ~seen, usable & first, np.full(len(cells), "", dtype=object)
    _mark(novel, reasons, asked, map_limited(_match_any, items, workers, limit, 1))
    earlier = pd.Series(np.arange(len(samples))).groupby(formulas[0]).indices
    asked = [i for i in np.flatnonzero(unique) if _replaceable(structures[i]) and earlier[formulas[0][i]][0] < i]
    items = [(structures[i], [structures[j] for j in earlier[formulas[0][i]] if j < i and usable[j]]) for i in asked]
    _mark(unique, reasons, asked, map_limited(partial(_match_any, second=True), items, workers, limit, 1))
    return pd.DataFrame({"unique": unique, "novel": novel, "reason": reasons})


def replaceable_groups(elements: Sequence[Element]) -> list[list[Element]]:
    """Return the groups of elements that may replace each other, of two or more; directly, or by way of a third."""
    groups = [[element] for element in elements]
    for one, other in combinations(elements, 2):
        if _replace(one.Z, other.Z):
            joined = [group for group in groups if one in group or other in group]
            groups = [group for group in groups if group not in joined] + [sum(joined, [])]
    return [group for group in groups if len(group) > 1]


def share_sites(structure: Structure) -> Structure:
    """Return a copy in which the elements of each of `replaceable_groups` share all their sites, as their numbers are."""
    amounts = structure.composition.get_el_amt_dict()
    shared = {}
    for group in replaceable_groups(structure.composition.elements):
        total = sum(amounts[element.symbol] for element in group)
        shared |= dict.fromkeys((e.symbol for e in group), {e.symbol: amounts[e.symbol] / total for e in group})
    species = [shared.get(site.specie.symbol, site.specie.symbol) for site in structure]
    return Structure(structure.lattice, species, structure.frac_coords)


def _mark(verdicts: np.ndarray, reasons: np.ndarray, asked: list[int], found: list) -> None:
    for i, match in zip(asked, found, strict=True):
        if isinstance(match, TimeLimit | str):
            reasons[i] = f"disordered matching: {match}"
        elif match:
            verdicts[i] = False


def _replaceable(structure: Structure) -> bool:
    return bool(replaceable_groups(structure.composition.elements))


@cache
def _replace(one: int, other: int) -> bool:
    first, second = Element.from_Z(one), Element.from_Z(other)
    if first.atomic_radius is None or second.atomic_radius is None:
        return False
    radii = float(first.atomic_radius), float(second.atomic_radius)
    near = abs(radii[0] - radii[1]) <= _RADIUS * np.mean(radii)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an element has no electronegativity: then it replaces none
        return bool(near and abs(first.X - second.X) <= _ELECTRONEGATIVITY)


def _match_any(item: tuple[Structure, list[Structure]], second: bool = False) -> bool | str:
    """Whether a crystal with shared sites matches one of the others; `second` shares the other's sites, which comes first then."""
    structure, others = item
    matcher = StructureMatcher(attempt_supercell=True, allow_subset=True, comparator=OrderDisorderElementComparator())
    try:
        if second:
            return any(matcher.fit(share_sites(other), structure) for other in others)
        shared = share_sites(structure)
        return any(matcher.fit(shared, other) for other in others)
    except Exception as error:  # pymatgen raises types of its own for cells that it cannot reduce
        return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
