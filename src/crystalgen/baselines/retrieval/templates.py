"""Training crystals sorted by stoichiometry, and which of them are one prototype with the same roles of its species.

A crystal's species are ordered by count, then atomic number; "species 0" is the first in that order. A permutation says which of
the request's species takes the place of each of the template's; only species of equal count change places.
"""

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import joblib
import numpy as np
import pandas as pd

from crystalgen.baselines.stoichiometry import ordered_species, permutations_of
from crystalgen.matching.match import CSP, Tolerances, reduce_table
from crystalgen.matching.matcher import compare
from crystalgen.matching.reduction import ReducedCell

MAX_PERMUTATIONS = 5040  # seven species of equal count; templates of a stoichiometry with more are not used
ELEMENTS = 120  # entries of tables that are indexed by atomic number


@dataclass(frozen=True)
class TemplateGroup:
    """Training crystals of one stoichiometry.

    counts: atoms of each species, ascending, (s,). rows: in the training table, (t,). species: atomic numbers, (t, s).
    permutations: (p, s), the identity first: species `permutations[b, j]` of a request takes the place of the template's species j.
    arrangements: (t, p): with equal numbers, template and permutation give one crystal up to the matcher's tolerances, whatever
    the request. All numbers differ where arrangements were not searched for.
    """

    counts: np.ndarray
    rows: np.ndarray
    species: np.ndarray
    permutations: np.ndarray
    arrangements: np.ndarray


class Templates:
    """A training table with its groups of templates and the volumes of its elements."""

    def __init__(self, training: pd.DataFrame, arrangements: bool = True, tolerances: Tolerances = CSP, workers: int = 2):
        """Group the crystals and, with `arrangements`, compare those of each group.

        Args:
            training: crystals; each is a template.
            arrangements: whether equal prototypes are found (about 30 s for MP-20); without it each template stands for itself.
            tolerances: within which two templates are one prototype.
            workers: processes.
        """
        self.table = training.reset_index(drop=True)
        self.volumes = atomic_volumes(self.table)
        self.row_of_id = {name: row for row, name in enumerate(self.table["id"])}
        members: dict[tuple[int, ...], list[int]] = {}
        species = [ordered_species(numbers) for numbers in self.table["atomic_numbers"]]
        for row, (_, counts) in enumerate(species):
            if _permutation_count(counts) <= MAX_PERMUTATIONS:
                members.setdefault(counts, []).append(row)
        groups = [(np.array(counts), np.array(rows), np.stack([species[row][0] for row in rows])) for counts, rows in members.items()]
        self.contacts: dict[str, np.ndarray] = {}  # by id, found when needed, see `features`
        self.cells: list[ReducedCell | str] = reduce_table(self.table, workers) if arrangements else []
        if arrangements:
            space_groups = self.table["space_group"].to_numpy(int, na_value=0)
            jobs = (
                joblib.delayed(find_arrangements)(counts, species, [self.cells[row] for row in rows], space_groups[rows], tolerances)
                for counts, rows, species in sorted(groups, key=lambda group: -len(group[1]))
            )
            found = dict(zip(sorted(members, key=lambda c: -len(members[c])), joblib.Parallel(n_jobs=workers)(jobs), strict=True))
        self.groups: dict[tuple[int, ...], TemplateGroup] = {}
        for counts, rows, kinds in groups:
            key, permutations = tuple(counts.tolist()), permutations_of(counts)
            alone = np.arange(len(rows) * len(permutations)).reshape(len(rows), -1)
            self.groups[key] = TemplateGroup(counts, rows, kinds, permutations, found[key] if arrangements else alone)

    def __len__(self) -> int:
        return len(self.table)

    def subset(self, kept: np.ndarray) -> "Templates":
        """Return the templates of some rows, booleans (n,), with arrangements as they were found and volumes of all rows."""
        part = copy.copy(self)
        part.table = self.table[kept].reset_index(drop=True)
        part.row_of_id = {name: row for row, name in enumerate(part.table["id"])}
        part.cells = [cell for cell, keep in zip(self.cells, kept, strict=True) if keep] if self.cells else []
        part.groups, places = {}, np.cumsum(kept) - 1
        for counts, group in self.groups.items():
            mine = kept[group.rows]
            if mine.any():
                numbers = np.unique(group.arrangements[mine], return_inverse=True)[1].reshape(-1, len(group.permutations))
                part.groups[counts] = replace(group, rows=places[group.rows[mine]], species=group.species[mine], arrangements=numbers)
        return part


def atomic_volumes(training: pd.DataFrame) -> np.ndarray:
    """Fit the volume of each element, Å^3 per atom, (120,), by least squares of cell volumes on compositions.

    An element that no crystal has, or whose fit is not above 1 Å^3, gets the mean of all atoms.
    """
    counts = np.stack([np.bincount(numbers, minlength=ELEMENTS) for numbers in training["atomic_numbers"]]).astype(float)
    volumes = np.abs(np.linalg.det(np.stack(training["lattice"].to_numpy())))
    weights = 1 / volumes  # relative errors, so that large cells do not outweigh small ones
    fitted = np.linalg.lstsq(counts * weights[:, None], volumes * weights, rcond=None)[0]
    return np.where(fitted > 1.0, fitted, volumes.sum() / counts.sum())


def find_arrangements(counts: np.ndarray, species: np.ndarray, cells: Sequence[ReducedCell | str], space_groups: np.ndarray,
                      tolerances: Tolerances) -> np.ndarray:  # fmt: skip
    """Number the distinct crystals that templates of one stoichiometry become under every permutation, (t, p).

    Each template is compared, elements ignored, with the first of each prototype found so far, those of its space group and
    the frequent ones first. On a match it joins, with the roles of its species; otherwise it starts a prototype. The
    permutations that leave a prototype as it is give it one number. Comparisons grow with templates times prototypes.

    Args:
        counts: (s,). species: (t, s). cells: reduced, of the t templates; those without one are prototypes of their own.
        space_groups: (t,).
    """
    permutations = permutations_of(counts)
    identity = permutations[0]
    prototypes: list[_Prototype] = []
    numbers: dict[tuple, int] = {}
    found = np.empty((len(cells), len(permutations)), dtype=int)
    for row, cell in enumerate(cells):
        anonymous = None if isinstance(cell, str) else _relabelled(cell, species[row], identity)
        joined, roles = None, identity
        if anonymous is not None:
            for place in sorted(range(len(prototypes)), key=lambda i: prototypes[i].order(space_groups[row])):
                taken = prototypes[place].roles_of(anonymous, tolerances)
                if taken is not None:
                    joined, roles = place, taken
                    break
        if joined is None:
            joined = len(prototypes)
            prototypes.append(_Prototype(cell, species[row], permutations, anonymous, tolerances))
        prototypes[joined].members += 1
        prototypes[joined].space_groups.add(space_groups[row])
        for place, permutation in enumerate(permutations):
            key = (joined, prototypes[joined].name(permutation[np.argsort(roles)]))
            found[row, place] = numbers.setdefault(key, len(numbers))
    return found


class _Prototype:
    """The first template of a prototype, under every distinct exchange of its species."""

    def __init__(self, cell, species: np.ndarray, permutations: np.ndarray, anonymous: ReducedCell | None, tolerances: Tolerances):
        self.members, self.space_groups = 0, set()
        self.symmetries, self.variants = permutations[:1], []
        if anonymous is None:
            return
        variants = [(permutation, _relabelled(cell, species, permutation)) for permutation in permutations]
        same = [compare(variant, anonymous, tolerances, with_rms=False)[0] for _, variant in variants]
        same[0] = True
        self.symmetries = permutations[same]
        names = set()
        for permutation, variant in variants:
            if (name := self.name(permutation)) not in names:
                names.add(name)
                self.variants.append((permutation, variant))

    def name(self, assignment: np.ndarray) -> tuple[int, ...]:
        """Return one name for all assignments of species to the prototype's own that give the same crystal."""
        return min(tuple(assignment[symmetry].tolist()) for symmetry in self.symmetries)

    def order(self, space_group: int) -> tuple[bool, int]:
        return space_group not in self.space_groups, -self.members

    def roles_of(self, anonymous: ReducedCell, tolerances: Tolerances) -> np.ndarray | None:
        """Return which of the prototype's species each species of a template is, (s,); None if it is another prototype."""
        for permutation, variant in self.variants:
            if compare(variant, anonymous, tolerances, with_rms=False)[0]:
                return np.argsort(permutation)
        return None


def _relabelled(cell: ReducedCell, species: np.ndarray, labels: np.ndarray) -> ReducedCell:
    """Return the cell with species j named `labels[j]` + 1 in place of its element."""
    table = np.zeros(ELEMENTS, dtype=int)
    table[species] = labels + 1
    return ReducedCell(cell.lattice, table[cell.numbers], cell.coords)


def _permutation_count(counts: Sequence[int]) -> int:
    return math.prod(math.factorial(number) for number in Counter(counts).values())
