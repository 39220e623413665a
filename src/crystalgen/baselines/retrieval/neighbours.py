"""Distances between requests and templates of one stoichiometry, and the votes of templates on arrangements."""

from dataclasses import dataclass

import numpy as np

from crystalgen.baselines.retrieval.element_vectors import roles_of
from crystalgen.baselines.retrieval.templates import TemplateGroup


def request_distances(group: TemplateGroup, species: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return mean distances over the atoms between requests and templates under each permutation, (q, t, p).

    Args:
        group: of t templates.
        species: the requests', (q, s), ordered as `templates.ordered_species` does.
        distances: between elements, (r, 120, 120).
    """
    shares, roles = group.counts / group.counts.sum(), roles_of(group.counts)
    if len(distances) == 1:
        roles = np.zeros_like(roles)
    result = np.zeros((len(species), *group.arrangements.shape))
    pairs: dict[tuple[int, int], np.ndarray] = {}
    for place, permutation in enumerate(group.permutations):
        for theirs, ours in enumerate(permutation):
            if (ours, theirs) not in pairs:
                table = distances[roles[theirs]]
                pairs[ours, theirs] = shares[theirs] * table[species[:, ours][:, None], group.species[None, :, theirs]]
            result[:, :, place] += pairs[ours, theirs]
    return result


@dataclass(frozen=True)
class Arrangements:
    """The entries (template, permutation) of a group, flattened and sorted by arrangement.

    order: flat entries, (t p,). starts, stops: where each arrangement begins and ends in `order`, (a,).
    """

    order: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @classmethod
    def of(cls, group: TemplateGroup) -> "Arrangements":
        """Sort the entries of a group."""
        flat = group.arrangements.ravel()
        order = np.argsort(flat, kind="stable")
        starts = np.flatnonzero(np.diff(flat[order], prepend=-1))
        return cls(order, starts, np.append(starts[1:], len(flat)))

    def votes(self, distances: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Return each arrangement's share of the weights exp(-distance / temperature), (q, a).

        distances: (q, t, p), infinite where a template may not be used; each request must have one that it may use.
        """
        flat = distances.reshape(len(distances), -1)
        weights = np.exp((flat.min(axis=1, keepdims=True) - flat) / temperature)
        votes = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return votes / votes.sum(axis=1, keepdims=True)

    def members(self, arrangement: int) -> np.ndarray:
        """Return the flat entries of an arrangement."""
        return self.order[self.starts[arrangement] : self.stops[arrangement]]
