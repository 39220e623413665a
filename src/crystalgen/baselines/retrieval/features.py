"""What a ranker is told of a candidate: votes, neighbours, and how the request fits among the members of the arrangement."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from ase.data import covalent_radii

from crystalgen.baselines.retrieval.neighbours import Arrangements, request_distances
from crystalgen.baselines.retrieval.templates import ELEMENTS, TemplateGroup, Templates
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.chemistry.elements import property_table
from crystalgen.crystals import formulas
from crystalgen.crystals.geometry import nearest_distances

_SHARP = 0.4  # temperature of further votes
_FAR = 9.0  # distance of a neighbour that there is not
_SPREADS = {"size": 0.02, "electronegativity": 0.1, "valence": 0.1}  # added to members' spread: Å as logarithm, Pauling, electrons
NAMES = (
    *("log_votes", "rank", "votes_behind_first", "votes_sharp", "votes_of_space_group"),
    *("distance", "distance_2", "distance_3", "distance_5", "distance_10", "members"),
    *("least_support", "mean_log_support", "size_misfit", "worst_size_misfit", "electronegativity_misfit", "valence_misfit"),
    *("size_change", "worst_size_change", "period_change", "group_change", "worst_group_change", "valence_change"),
    *("shortest_contact", "contact_change", "template_volume"),
    *("e_above_hull", "least_e_above_hull", "template_e_above_hull"),
    *("formula_has_arrangement", "formula_arrangements", "formula_crystals"),
    *("species", "atoms", "templates", "first_votes", "entropy", "nearest"),
    *("mean_electronegativity", "highest_electronegativity", "mean_size", "size_range", "mean_valence"),
)


def candidate_features(templates: Templates, requests: pd.DataFrame, candidates: pd.DataFrame, distances: np.ndarray,
                       exclude: Sequence[Collection[str]] | None = None) -> np.ndarray:  # fmt: skip
    """Return the features of candidates, (n, len(NAMES)); NaN where an energy is not known.

    Args:
        templates, requests, distances, exclude: as for `retrieve.find_candidates`.
        candidates: from it; of one request, at most one per arrangement.
    """
    result = np.empty((len(candidates), len(NAMES)))
    known = Counter(templates.table["reduced_formula"])
    reduced = formulas(requests["atomic_numbers"])[1]
    kinds = [ordered_species(numbers) for numbers in requests["atomic_numbers"]]
    describers: dict[tuple[int, ...], _GroupDescriber] = {}
    for request, places in candidates.groupby("request").indices.items():
        species, counts = kinds[request]
        if counts not in describers:
            describers[counts] = _GroupDescriber(templates, templates.groups[counts])
        left_out = [templates.row_of_id[name] for name in exclude[request] if name in templates.row_of_id] if exclude else []
        same_formula = known[reduced[request]] - (templates.table["reduced_formula"].iloc[left_out] == reduced[request]).sum()
        result[places] = describers[counts].describe(species, candidates.iloc[places], distances, left_out, same_formula)
    return result


class _GroupDescriber:
    """Describes candidates of one group; what does not depend on the request is made once."""

    def __init__(self, templates: Templates, group: TemplateGroup):
        self.templates, self.group = templates, group
        self.arrangements = Arrangements.of(group)
        self.shares = group.counts / group.counts.sum()
        count = len(group.permutations)
        self.aligned = np.empty((len(group.rows), count, len(group.counts)), dtype=int)
        for place, permutation in enumerate(group.permutations):
            self.aligned[:, place][:, permutation] = group.species  # the element that each of the request's species replaces
        self.aligned = self.aligned.reshape(-1, len(group.counts))
        self.space_groups = templates.table["space_group"].to_numpy(int, na_value=0)[group.rows]
        energies = templates.table.get("e_above_hull", pd.Series(np.nan, index=templates.table.index)).to_numpy(float)
        self.e_above_hull = np.repeat(energies[group.rows], count)
        self.elements = element_scales(templates)
        self.row_place = {row: place for place, row in enumerate(group.rows)}

    def describe(self, species: np.ndarray, candidates: pd.DataFrame, distances: np.ndarray, left_out: list[int],
                 same_formula: int) -> np.ndarray:  # fmt: skip
        """Return features (k, len(NAMES)) of one request's candidates."""
        group, shares = self.group, self.shares
        apart = request_distances(group, species[None], distances)
        apart[:, np.isin(group.rows, left_out)] = np.inf
        votes, sharp = (self.arrangements.votes(apart, temperature)[0] for temperature in (1.0, _SHARP))
        apart = apart[0]
        weights = np.exp(apart.min() - apart.min(axis=1))
        by_space_group = np.bincount(self.space_groups, weights, minlength=231) / weights.sum()
        same = (group.species == species).all(axis=1) & np.isfinite(apart[:, 0])
        of_formula = set(group.arrangements[same, 0].tolist())
        size, electronegativity, period, column, valence = (values[species] for values in self.elements)
        entropy = -(votes * np.log(votes + 1e-12)).sum()
        whole = [len(species), group.counts.sum(), len(group.rows), votes.max(), entropy, apart.min()]
        whole += [shares @ electronegativity, electronegativity.max(), shares @ size, np.ptp(size), shares @ valence]
        rows = []
        for rank, (template, permutation, arrangement) in enumerate(
            candidates[["template", "permutation", "arrangement"]].itertuples(index=False, name=None)
        ):
            members = self.arrangements.members(arrangement)
            count = len(members)  # with what is left out: a count that is one less for a right answer would give it away
            members = members[np.isfinite(apart.ravel()[members])]
            away = np.sort(apart.ravel()[members])
            entry = self.row_place[template] * len(group.permutations) + permutation
            ours = [np.log(votes[arrangement] + 1e-9), rank, votes.max() - votes[arrangement]]
            ours += [sharp[arrangement], by_space_group[self.space_groups[self.row_place[template]]]]
            ours += [away[place] if place < len(away) else _FAR for place in (0, 1, 2, 4, 9)] + [count]
            ours += self._fit(species, members, np.exp(away[0] - apart.ravel()[members]))
            ours += self._change(species, entry, template, permutation)
            ours += self._energies(members, np.exp(away[0] - apart.ravel()[members]), entry)
            ours += [arrangement in of_formula, len(of_formula), same_formula]
            rows.append(ours + whole)
        return np.array(rows, dtype=float)

    def _fit(self, species: np.ndarray, members: np.ndarray, weights: np.ndarray) -> list[float]:
        """Return how often members have the same element in a role, and how far the request lies outside of their spread."""
        weights, aligned = weights / weights.sum(), self.aligned[members]
        support = (aligned == species).sum(axis=0)
        size, electronegativity, _, _, valence = self.elements
        relative = size[aligned] - (size[aligned] @ self.shares)[:, None]
        sizes = _misfit(size[species] - size[species] @ self.shares, relative, weights, _SPREADS["size"])
        charges = _misfit(electronegativity[species], electronegativity[aligned], weights, _SPREADS["electronegativity"])
        electrons = _misfit(valence[species] @ self.shares, valence[aligned] @ self.shares, weights, _SPREADS["valence"])
        log_support = np.log1p(support) @ self.shares
        return [support.min(), log_support, sizes @ self.shares, sizes.max(), charges @ self.shares, float(electrons)]

    def _change(self, species: np.ndarray, entry: int, template: int, permutation: int) -> list[float]:
        """Return what the exchange of elements changes, and how near atoms come to each other."""
        size, _, period, column, valence = self.elements
        replaced = self.aligned[entry]
        sizes, periods, columns = (np.abs(scale[species] - scale[replaced]) for scale in (size, period, column))
        changes = [sizes @ self.shares, sizes.max(), periods @ self.shares, columns @ self.shares, columns.max()]
        changes.append((valence[species] - valence[replaced]) @ self.shares)
        own, volume = self.group.species[self.row_place[template]], self.templates.volumes
        atoms = self.group.counts
        row = self.templates.table.iloc[template]
        radii_before, radii_after = covalent_radii[own], covalent_radii[species[self.group.permutations[permutation]]]
        near = self._contacts(template)
        before = (near / (radii_before[:, None] + radii_before[None, :])).min()
        scale = np.cbrt((volume[species] @ atoms) / (volume[own] @ atoms))
        after = (near * scale / (radii_after[:, None] + radii_after[None, :])).min()
        return [*changes, after, after - before, np.log(abs(np.linalg.det(row["lattice"])) / (volume[own] @ atoms))]

    def _contacts(self, template: int) -> np.ndarray:
        """Return the least distance between atoms of each two species of a template, Å (s, s)."""
        row = self.templates.table.iloc[template]
        if row["id"] not in self.templates.contacts:
            places = (row["atomic_numbers"][:, None] == self.group.species[self.row_place[template]]).argmax(axis=1)
            near = np.full((len(self.group.counts),) * 2, np.inf)
            np.minimum.at(near, (places[:, None], places[None, :]), nearest_distances(row["lattice"], row["frac_coords"]))
            self.templates.contacts[row["id"]] = near
        return self.templates.contacts[row["id"]]

    def _energies(self, members: np.ndarray, weights: np.ndarray, entry: int) -> list[float]:
        """Return energies above the hull where known: the members' weighted mean and least, and the template's, eV/atom."""
        energies = self.e_above_hull[members]
        known = ~np.isnan(energies)
        if not known.any() or weights[known].sum() == 0:
            return [np.nan, np.nan, self.e_above_hull[entry]]
        return [np.average(energies[known], weights=weights[known]), energies[known].min(), self.e_above_hull[entry]]


def element_scales(templates: Templates) -> tuple[np.ndarray, ...]:
    """Return size (logarithm of the length of an atom's volume), electronegativity, period, group and valence electrons, each (120,)."""
    table, _ = property_table()
    columns = []
    for name in ("en_pauling", "period", "group_id"):
        values = np.full(ELEMENTS, np.nan)
        values[table.index] = table[name]
        columns.append(values)
    electronegativity, period, column = columns
    valence = np.where(column <= 12, column, column - 10)
    return np.log(templates.volumes) / 3, electronegativity, period, column, valence


def _misfit(value: np.ndarray, members: np.ndarray, weights: np.ndarray, least_spread: float) -> np.ndarray:
    """Return how many standard deviations a value lies from the members' weighted mean."""
    mean = weights @ members
    return np.abs(value - mean) / np.sqrt(weights @ (members - mean) ** 2 + least_spread**2)
