"""Candidates of requests as networks see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch

from crystalgen.baselines.retrieval.features import candidate_features
from crystalgen.baselines.retrieval.neighbours import Arrangements, request_distances
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.corrector.sites import Sites

MEMBERS = 8  # of a candidate's arrangement, the nearest to the request, whose elements a network sees


@dataclass(frozen=True)
class Candidates:
    """c candidates of requests; S is the largest number of species.

    template: (c,). permutation: (c, S), which of the request's species takes the place of each of the template's. asked: (c, S), the
    request's elements, 0 beyond its species. before: (c, MEMBERS, S), elements that the arrangement's members have in their place.
    shares: (c, MEMBERS), weights of the members, the first 1; 0 where there are no more. facts: (c, f), see `candidate_facts`.
    """

    template: np.ndarray
    permutation: np.ndarray
    asked: np.ndarray
    before: np.ndarray
    shares: np.ndarray
    facts: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Return parts as one, with the columns of the one that has most species."""
        most = max(part.asked.shape[1] for part in parts)
        wide = [{name: _widened(getattr(part, name), most) for name in ("permutation", "asked", "before")} for part in parts]
        return cls(**{f.name: np.concatenate([one.get(f.name, getattr(part, f.name)) for one, part in zip(wide, parts, strict=True)])
                      for f in fields(cls)})  # fmt: skip

    def tensors(self, sites: Sites, rows: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Return what `net.SiteTransformer` is given of candidates, an array of any shape, whose templates have equally many sites."""
        place = sites.place[self.template[rows]]
        n = int(sites.count[self.template[rows.flat[0]]])
        roles = np.take_along_axis(self.permutation[rows], sites.species[n][place], axis=-1)
        most = int((self.asked[rows] > 0).sum(axis=-1).max())  # the others' columns are empty
        arrays = roles, self.asked[rows][..., :most], self.before[rows][..., :most]
        radial = torch.from_numpy(sites.radial[n])[torch.from_numpy(place)].float()
        return *map(torch.from_numpy, arrays), torch.from_numpy(self.shares[rows]), radial, torch.from_numpy(self.facts[rows])


def _widened(array: np.ndarray, most: int) -> np.ndarray:
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, most - array.shape[-1])])


def describe_candidates(templates: Templates, requests: pd.DataFrame, candidates: pd.DataFrame, distances: np.ndarray,
                        exclude: Sequence[Collection[str]] | None = None, with_facts: bool = True,
                        told: bool = False) -> Candidates:  # fmt: skip
    """Describe what `find_candidates` chose.

    Args:
        templates, requests, distances, exclude: as for `find_candidates`.
        candidates: from it.
        with_facts: whether a ranker's features are told, too; of one request they need at most one candidate per arrangement.
        told: whether the last fact says if a candidate's template is of the request's space group, 1 or -1; it is 0 without.
    """
    kinds = [ordered_species(numbers) for numbers in requests["atomic_numbers"]]
    most = max(len(species) for species, _ in kinds)
    count = len(candidates)
    permutation, asked = np.zeros((count, most), dtype=np.int64), np.zeros((count, most), dtype=np.int64)
    before, shares = np.zeros((count, MEMBERS, most), dtype=np.int64), np.zeros((count, MEMBERS), dtype=np.float32)
    grouped = {}
    for request, places in candidates.groupby("request").indices.items():
        species, counts = kinds[request]
        group = templates.groups[counts]
        if counts not in grouped:
            grouped[counts] = Arrangements.of(group), {row: place for place, row in enumerate(group.rows)}
        arrangements, place_of = grouped[counts]
        apart = request_distances(group, species[None], distances)[0]
        if exclude is not None:
            apart[np.isin(group.rows, [templates.row_of_id[name] for name in exclude[request] if name in templates.row_of_id])] = np.inf
        kinds_of, used = len(species), candidates.iloc[places]
        for place, template, chosen, arrangement in zip(places, used["template"], used["permutation"], used["arrangement"], strict=True):
            own = place_of[template] * len(group.permutations) + chosen
            members = nearest_members(arrangements.members(arrangement), apart.ravel(), own, len(group.permutations))
            rows, taken = np.divmod(members, len(group.permutations))
            permutation[place, :kinds_of], asked[place, :kinds_of] = group.permutations[chosen], species
            aligned = np.empty((len(members), kinds_of), dtype=np.int64)
            np.put_along_axis(aligned, group.permutations[taken], group.species[rows], axis=1)
            before[place, : len(members), :kinds_of] = aligned
            shares[place, : len(members)] = np.exp(np.minimum(apart.ravel()[own] - apart.ravel()[members], 0))
    facts = np.zeros((count, 1))
    if told:
        wanted, groups = (table["space_group"].to_numpy(int, na_value=0) for table in (requests, templates.table))
        facts[:, 0] = np.where(wanted[candidates["request"]] == groups[candidates["template"]], 1.0, -1.0)
    if with_facts:
        facts = np.concatenate([candidate_facts(candidate_features(templates, requests, candidates, distances, exclude)), facts], axis=1)
    return Candidates(candidates["template"].to_numpy(), permutation, asked, before, shares, facts.astype(np.float32))


def nearest_members(members: np.ndarray, apart: np.ndarray, own: int, permutations: int) -> np.ndarray:
    """Return the candidate's own entry and the nearest other templates of its arrangement, at most MEMBERS in all.

    Args:
        members: entries (template * permutations + permutation) of the arrangement. apart: distance of every entry, infinite where
        it may not be used.
    """
    members = members[np.isfinite(apart[members]) & (members // permutations != own // permutations)]
    members = members[np.argsort(apart[members], kind="stable")]
    _, first = np.unique(members // permutations, return_index=True)
    return np.concatenate([[own], members[np.sort(first)[: MEMBERS - 1]]])


def candidate_facts(features: np.ndarray) -> np.ndarray:
    """Bring a ranker's features (c, f) to like sizes: logarithms on both sides of 0; -1 where one is unknown."""
    return np.nan_to_num(np.sign(features) * np.log1p(np.abs(features)), nan=-1.0)
