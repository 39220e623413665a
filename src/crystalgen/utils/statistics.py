"""Intervals: how far a rate could move on other formulas."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scoring:
    """What all numbers of one way to sample share.

    seeds: of training.
    requested: samples asked for, all seeds together; those that are lost count as failures.
    draws: redraws behind an interval.
    source: the file that the numbers are read from.
    """

    seeds: tuple[int, ...]
    requested: int
    draws: int
    source: str

    @property
    def origin(self) -> dict:
        """Seeds and source, as each entry of metrics.json has them."""
        return {"seeds": list(self.seeds), "source": self.source}


def clustered_bootstrap(values: np.ndarray, clusters: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean, whole clusters redrawn.

    Polymorphs of one formula succeed or fail together, so that redrawing single crystals would flatter.

    Args:
        values: (n,), e.g. 0 or 1 per crystal.
        clusters: (n,) labels, e.g. formulas.
    """
    _, inverse = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(inverse, weights=values), np.bincount(inverse)
    chosen = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    means = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def mean_with_interval(values, clusters, scoring: Scoring, by_seed) -> dict:
    """Return an entry of metrics.json: value, 95 % interval, n (of one seed), seeds, source and by_seed.

    Args:
        values: of all seeds, (n,).
        clusters: (n,) labels that are redrawn whole, all seeds together.
        by_seed: the mean of each training seed.
    """
    values = np.asarray(values, dtype=float)
    low, high = clustered_bootstrap(values, np.asarray(clusters, dtype=str), scoring.draws)
    interval = {"value": float(values.mean()), "low": low, "high": high, "n": len(values) // len(scoring.seeds)}
    return interval | scoring.origin | {"by_seed": [round(float(mean), 6) for mean in by_seed]}
