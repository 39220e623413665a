"""Element vectors fitted so that the templates near a composition are of its prototype (neighbourhood components analysis).

Goldberger et al., NeurIPS 2004, with element vectors in place of a linear map: each training crystal is asked for with itself left
out, and the share of the votes that its own arrangement gets is raised. The mined vectors are the start.
"""

import numpy as np

from crystalgen.baselines.retrieval.element_vectors import ROLES, FittedVectors, fill_unseen, mined_vectors, roles_of, seen_elements
from crystalgen.baselines.retrieval.neighbours import request_distances
from crystalgen.baselines.retrieval.templates import ELEMENTS, TemplateGroup, Templates

_START_SCALE = 10.0  # squared length of the vectors at the start
_FLOOR = 1e-3  # added to the share of votes, so that a crystal like no other does not decide
_BATCH = 2000  # crystals per step
_ENTRIES = 2_000_000  # distances held at once
_WARM_UP = 0.1  # share of the steps


def fit_vectors(templates: Templates, epochs: int = 12, rate: float = 0.02, seed: int = 0, dims: int = 24) -> FittedVectors:
    """Fit element vectors and their weights by role to the training crystals by Adam; about 40 s for MP-20.

    Args:
        templates: with arrangements.
        epochs: times that each crystal is asked for.
        rate: of learning, at its highest.
        seed: of the crystals' order.
        dims: of the vectors.
    """
    rng = np.random.default_rng(seed)
    parameters = [mined_vectors(templates, dims) * np.sqrt(_START_SCALE), np.zeros((len(ROLES) + 1, dims))]
    optimiser = _Adam(parameters)
    groups = [group for group in templates.groups.values() if len(group.rows) > 1]
    steps, step = epochs * (sum(len(group.rows) for group in groups) // _BATCH + 1), 0
    for _ in range(epochs):
        chunks = _chunks(groups, rng)
        while chunks:
            batch, size = [], 0
            while chunks and size < _BATCH:
                batch.append(chunks.pop())
                size += len(batch[-1][1])
            fitted = FittedVectors(parameters[0], np.exp(parameters[1]))
            distances = fitted.distances()
            slope = sum(_slope(group, members, distances) for group, members in batch) / size
            optimiser.step(_gradients(fitted, slope), rate * _schedule(step / steps))
            step += 1
    return FittedVectors(fill_unseen(parameters[0], seen_elements(templates)), np.exp(parameters[1]))


def _chunks(groups: list[TemplateGroup], rng: np.random.Generator) -> list[tuple[TemplateGroup, np.ndarray]]:
    """Return groups with some of their templates each, in random order."""
    chunks = []
    for group in groups:
        members, size = rng.permutation(len(group.rows)), max(1, _ENTRIES // group.arrangements.size)
        chunks += [(group, members[start : start + size]) for start in range(0, len(members), size)]
    return [chunks[place] for place in rng.permutation(len(chunks))]


def _slope(group: TemplateGroup, members: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return the derivative of the summed loss with respect to the distances between elements, (r, 120, 120)."""
    species = group.species[members]
    apart = request_distances(group, species, distances)
    apart[np.arange(len(members)), members] = np.inf
    weights = np.exp(apart.min(axis=(1, 2), keepdims=True) - apart)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    own = np.where(group.arrangements[None] == group.arrangements[members, 0][:, None, None], weights, 0.0)
    share = own.sum(axis=(1, 2), keepdims=True)
    inside = np.divide(own, share, out=np.zeros_like(own), where=share > 0)
    force = (inside - weights) * share / (share + _FLOOR)
    shares, roles = group.counts / group.counts.sum(), roles_of(group.counts)
    slope = np.zeros((len(ROLES) + 1, ELEMENTS * ELEMENTS))
    for ours in range(len(group.counts)):
        for theirs in np.flatnonzero(group.counts == group.counts[ours]):
            pulled = force[:, :, group.permutations[:, theirs] == ours].sum(axis=-1)
            pairs = species[:, ours][:, None] * ELEMENTS + group.species[None, :, theirs]
            slope[roles[theirs]] += shares[theirs] * np.bincount(pairs.ravel(), pulled.ravel(), ELEMENTS * ELEMENTS)
    return slope.reshape(-1, ELEMENTS, ELEMENTS)


def _gradients(fitted: FittedVectors, slope: np.ndarray) -> list[np.ndarray]:
    """Return the derivatives with respect to the vectors and to the logarithms of their weights."""
    slope = slope + slope.transpose(0, 2, 1)
    weighted = fitted.vectors[None] * fitted.weights[:, None]
    of_weighted = 2 * (slope.sum(axis=2)[:, :, None] * weighted - slope @ weighted)
    return [(of_weighted * fitted.weights[:, None]).sum(axis=0), (of_weighted * weighted).sum(axis=1)]


def _schedule(done: float) -> float:
    """Return the share of the highest rate: a linear rise, then half a cosine."""
    return done / _WARM_UP + 0.05 if done < _WARM_UP else 0.5 + 0.5 * np.cos(np.pi * (done - _WARM_UP) / (1 - _WARM_UP))


class _Adam:
    """Kingma and Ba, ICLR 2015; changes the parameters in place."""

    def __init__(self, parameters: list[np.ndarray], decay: tuple[float, float] = (0.9, 0.999)):
        self.parameters, self.decay, self.steps = parameters, decay, 0
        self.means = [np.zeros_like(p) for p in parameters]
        self.squares = [np.zeros_like(p) for p in parameters]

    def step(self, gradients: list[np.ndarray], rate: float) -> None:
        self.steps += 1
        first, second = self.decay
        for parameter, gradient, mean, square in zip(self.parameters, gradients, self.means, self.squares, strict=True):
            mean += (1 - first) * (gradient - mean)
            square += (1 - second) * (gradient**2 - square)
            scaled = mean / (1 - first**self.steps) / (np.sqrt(square / (1 - second**self.steps)) + 1e-8)
            parameter -= rate * scaled
