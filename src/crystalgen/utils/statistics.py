"""Intervals: how far a rate could move on other formulas."""

import numpy as np


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


def rate(values, clusters, draws: int, seeds: list[int], source: str) -> dict:
    """A row of metrics.json: value, 95 % interval, n, seeds and the file that it was read from."""
    values = np.asarray(values, dtype=float)
    low, high = clustered_bootstrap(values, np.asarray(clusters), draws)
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values), "seeds": seeds, "source": source}
