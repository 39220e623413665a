"""The distilled prototypes of a training table, and their answers to compositions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Element

from crystalgen.baselines.distilled.classes import PrototypeClass
from crystalgen.baselines.distilled.occupants import Occupants, composition_places, find_occupants
from crystalgen.baselines.distilled.shape import Shape, fit_shape
from crystalgen.baselines.retrieval.element_vectors import FittedVectors, mendeleev_numbers, seen_elements
from crystalgen.baselines.retrieval.templates import ELEMENTS, Templates
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.crystals import from_columns

SOURCE = "prototypes"
_NOBLE = {2: 3.5, 10: 3.5, 18: 3.2}  # Allen's electronegativities, where Pauling's scale has none
_MODES_SHIFTED = 3  # modes along which further candidates of one prototype differ


@dataclass(frozen=True)
class Prototype:
    """A prototype in one space group.

    counts: atoms of each role, ascending, (s,). members: training crystals behind it. permutations, arrangements: see
    `TemplateGroup`; numbers of arrangements are shared by the prototypes of a stoichiometry.
    """

    space_group: int
    counts: np.ndarray
    members: int
    permutations: np.ndarray
    arrangements: np.ndarray
    shape: Shape
    occupants: Occupants


@dataclass(frozen=True)
class Candidate:
    """A way to fill a prototype. votes: share of all votes for its arrangement. species: atomic number of each role, (s,).

    weight: logarithm of the prototype's own votes, which compare between cells of different size of one composition.
    shift: of the shape's modes from their most likely amounts, in units of their spread, (k,).
    """

    votes: float
    weight: float
    prototype: Prototype
    species: np.ndarray
    shift: np.ndarray


class DistilledPrototypes:
    """Prototypes by stoichiometry; answers compositions without any training crystal."""

    def __init__(self, prototypes: list[Prototype], vectors: FittedVectors, volumes: np.ndarray, elements: np.ndarray):
        """Sort the prototypes.

        Args:
            prototypes: of `distil`.
            vectors: element vectors that `occupants` are centres of.
            volumes: of the elements, Å^3 per atom, (120,).
            elements: atomic numbers that the training crystals have, ascending.
        """
        self.prototypes, self.vectors, self.volumes, self.elements = prototypes, vectors, volumes, elements
        self.features = element_features(volumes)
        self.groups: dict[tuple[int, ...], list[Prototype]] = {}
        for prototype in prototypes:
            self.groups.setdefault(tuple(prototype.counts.tolist()), []).append(prototype)

    def answer(self, requests: pd.DataFrame, count: int = 1, within_space_group: bool = False) -> pd.DataFrame:
        """Return crystals for compositions, best first.

        Args:
            requests: id and atomic_numbers (n,) of a primitive cell each; with space_group where `within_space_group` is set.
            count: candidates per request at most.
            within_space_group: whether prototypes of the request's space group alone are used, where there is one.

        Returns:
            crystals with target_id, rank, votes, members (of the prototype) and the prototype's space group; none for a request
            of a stoichiometry without prototypes (see `problem`).
        """
        groups = requests["space_group"] if within_space_group else [None] * len(requests)
        rows = []
        for name, numbers, group in zip(requests["id"], requests["atomic_numbers"], groups, strict=True):
            for rank, candidate in enumerate(self.candidates(np.asarray(numbers), count, group)):
                found = candidate.prototype
                rows.append((*self.crystal(candidate), name, rank, candidate.votes, found.members, found.space_group))
        lattices, species, coords, names, ranks, votes, members, space_groups = zip(*rows, strict=True) if rows else ((),) * 8
        ids = [f"{name}-{rank}" for name, rank in zip(names, ranks, strict=True)]
        extra = {"target_id": list(names), "rank": np.array(ranks, int), "votes": np.array(votes, float), "members": np.array(members, int)}
        space_group = pd.array(space_groups, dtype="Int16")
        return from_columns(lattices, species, coords, SOURCE, ids, **extra, space_group=space_group, symprec=0.01)

    def candidates(self, numbers: np.ndarray, count: int = 1, space_group: int | None = None) -> list[Candidate]:
        """Return ways to fill prototypes with the atoms of a cell, the likeliest first.

        First one for each distinct arrangement of the species, by votes; then the arrangements' other prototypes; then the same
        ones again with their shapes changed along the modes in which the members differ most.
        """
        kinds, counts = ordered_species(numbers)
        group = self.groups.get(counts, []) if np.isin(kinds, self.elements).all() else []
        if space_group is not None and any(prototype.space_group == space_group for prototype in group):
            group = [prototype for prototype in group if prototype.space_group == space_group]
        entries = []
        for prototype in group:
            places = composition_places(self.vectors, prototype.counts, kinds[prototype.permutations])
            weights = np.logaddexp.reduce(prototype.occupants.log_weights(places), axis=1)
            for arrangement in np.unique(prototype.arrangements):
                same = np.flatnonzero(prototype.arrangements == arrangement)
                best = same[weights[same].argmax()]
                entries.append((arrangement, np.logaddexp.reduce(weights[same]), prototype, kinds[prototype.permutations[best]]))
        if not entries:
            return []
        top = max(weight for _, weight, _, _ in entries)
        votes: dict[int, float] = {}
        for arrangement, weight, _, _ in entries:
            votes[arrangement] = votes.get(arrangement, 0.0) + np.exp(weight - top)
        total = sum(votes.values())
        entries.sort(key=lambda entry: (-votes[entry[0]], -entry[1]))
        ranked = sorted(range(len(entries)), key=lambda place: sum(entries[place][0] == other[0] for other in entries[:place]))
        whole = [Candidate(votes[a] / total, weight, prototype, species, np.zeros(len(prototype.shape.modes)))
                 for a, weight, prototype, species in (entries[place] for place in ranked)]  # fmt: skip
        return [*whole, *(_changed(whole))][:count] if len(whole) < count else whole[:count]

    def crystal(self, candidate: Candidate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return lattice (3, 3), Å, atomic numbers (n,) and coordinates (n, 3) of a candidate."""
        prototype, species = candidate.prototype, candidate.species
        weights = prototype.occupants.log_weights(composition_places(self.vectors, prototype.counts, species[None]))[0]
        shares = np.exp(weights - weights.max())
        shift = shares @ prototype.occupants.rest / shares.sum() + candidate.shift * prototype.shape.spread
        volume = float((self.volumes[species] * prototype.counts).sum())
        lattice, coords = prototype.shape.crystal(self.features[species].ravel(), volume, shift)
        return lattice, species[prototype.shape.roles], coords

    def problem(self, numbers: np.ndarray) -> str | None:
        """Return why a composition has no answer and what has one; None where it has."""
        if unknown := [z for z in np.unique(numbers) if z not in self.elements]:
            names = ", ".join(Element.from_Z(int(z)).symbol for z in unknown)
            return f"no crystal of the training set holds {names}; expected some of its {len(self.elements)} elements"
        kinds, counts = ordered_species(numbers)
        if counts in self.groups:
            return None
        units = np.gcd.reduce(counts)
        others = [n for n in range(1, 9) if tuple(int(c) // units * n for c in counts) in self.groups]
        largest = max((sum(group) for group in self.groups), default=0)
        reason = f"no prototype has {':'.join(map(str, counts))} atoms in its primitive cell"
        if sum(counts) > largest:
            reason += f"; the largest has {largest} atoms"
        if others:
            return f"{reason}; with {' or '.join(map(str, others))} formula units in place of {units} there are some"
        near = sorted(self.groups, key=lambda group: (len(group) != len(counts), _unlike(group, counts)))[:3]
        return f"{reason}; the most similar that have: {', '.join(':'.join(map(str, group)) for group in near)}"


def distil(templates: Templates, vectors: FittedVectors, classes: list[PrototypeClass]) -> DistilledPrototypes:
    """Distil classes of training crystals (see `find_classes`) into prototypes."""
    features = element_features(templates.volumes)
    prototypes = []
    for found in classes:
        volumes = (templates.volumes[found.species] * found.counts).sum(axis=1)
        shape, rest = fit_shape(found, features[found.species].reshape(len(found.species), -1), volumes)
        occupants = find_occupants(composition_places(vectors, found.counts, found.species), rest)
        prototypes.append(
            Prototype(found.space_group, found.counts, len(found.members), found.permutations, found.arrangements, shape, occupants)
        )
    return DistilledPrototypes(prototypes, vectors, templates.volumes, seen_elements(templates))


def element_features(volumes: np.ndarray) -> np.ndarray:
    """Return what a shape may follow, (120, 4): cube root of the volume (Å), electronegativity, place in Pettifor's order, period."""
    features = np.zeros((ELEMENTS, 4))
    features[:, 0], features[:, 2] = np.cbrt(volumes), mendeleev_numbers() / 10
    for z in range(1, 104):
        element = Element.from_Z(z)
        features[z, 1], features[z, 3] = _NOBLE[z] if z in _NOBLE else np.nan_to_num(element.X, nan=1.3), element.row
    return features


def _changed(candidates: list[Candidate]) -> Iterator[Candidate]:
    for mode in range(_MODES_SHIFTED):
        for candidate in candidates:
            if mode < len(candidate.shift):
                for sign in (1.0, -1.0):
                    shift = np.zeros_like(candidate.shift)
                    shift[mode] = sign
                    yield Candidate(candidate.votes, candidate.weight, candidate.prototype, candidate.species, shift)


def _unlike(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    size = max(len(one), len(other))
    shares = [np.pad(np.array(counts) / sum(counts), (size - len(counts), 0)) for counts in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() + 0.01 * abs(sum(one) - sum(other)))
