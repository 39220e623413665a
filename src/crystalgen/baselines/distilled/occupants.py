"""Which elements take the roles of a prototype: centres of its members' compositions in the space of element vectors."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2

from crystalgen.baselines.retrieval.element_vectors import FittedVectors, roles_of

_SPREAD_WEIGHT = 0.5  # of a centre's own spread in its distance; between 0.2 and 1 it changes little


@dataclass(frozen=True)
class Occupants:
    """Centres of compositions, k of them.

    places: (k, s * d), see `composition_places`. numbers: members of each, (k,). spreads: their mean squared distance from it, (k,).
    rest: what the slopes of the prototype's shape leave of their modes, on average, (k, m).
    """

    places: np.ndarray
    numbers: np.ndarray
    spreads: np.ndarray
    rest: np.ndarray

    def log_weights(self, places: np.ndarray) -> np.ndarray:
        """Return the logarithm of each centre's weight for compositions (q, s * d), (q, k): its members times exp(-distance)."""
        apart = ((places[:, None] - self.places[None]) ** 2).sum(axis=-1)
        return np.log(self.numbers) - apart - _SPREAD_WEIGHT * self.spreads


def composition_places(vectors: FittedVectors, counts: np.ndarray, species: np.ndarray) -> np.ndarray:
    """Return compositions (q, s) as points (q, s * d) whose squared distances are those of `neighbours.request_distances`."""
    weights = vectors.weights[roles_of(counts)] * np.sqrt(counts / counts.sum())[:, None]
    return (vectors.vectors[species] * weights).reshape(len(species), -1)


def find_occupants(places: np.ndarray, rest: np.ndarray, members_each: float = 5.0, seed: int = 0) -> Occupants:
    """Return the centres of a prototype's members, one for about `members_each` of them, by k-means.

    Args:
        places: of the members, (n, s * d). rest: see `Shape`, (n, m).
        members_each: of a centre.
        seed: of k-means.
    """
    labels = np.zeros(len(places), dtype=int)
    count = min(int(np.ceil(len(places) / members_each)), len(np.unique(places, axis=0)))
    if count > 1:
        _, labels = kmeans2(places, count, minit="++", seed=seed, iter=20, missing="warn")
    inside = [labels == label for label in np.unique(labels)]
    centres = np.stack([places[mask].mean(axis=0) for mask in inside])
    spreads = np.array([((places[mask] - centre) ** 2).sum(axis=1).mean() for mask, centre in zip(inside, centres, strict=True)])
    return Occupants(centres, np.array([mask.sum() for mask in inside]), spreads, np.stack([rest[mask].mean(axis=0) for mask in inside]))
