"""Distances between a property's distributions in generated and in real crystals (CDVAE's proxy metrics, A Table 1)."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from pymatgen.core import Element
from scipy.stats import wasserstein_distance

from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER

_GRAMS_PER_CM3 = 1.66053906660  # of one atomic mass unit per Å^3
_MASSES = np.array([0.0, *(float(Element.from_Z(z).atomic_mass) for z in range(1, MAX_ATOMIC_NUMBER + 1))])  # as in the peers' densities


def densities(table: pd.DataFrame) -> np.ndarray:
    """g/cm^3, (n,)."""
    masses = np.array([_MASSES[z].sum() for z in table["atomic_numbers"]])
    volumes = np.abs(np.linalg.det(np.stack(table["lattice"].to_numpy()).astype(float)))
    return masses / volumes * _GRAMS_PER_CM3


def numbers_of_elements(table: pd.DataFrame) -> np.ndarray:
    """Different elements in each crystal, (n,)."""
    return np.array([len(np.unique(z)) for z in table["atomic_numbers"]], dtype=float)


PROPERTIES: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {"density": densities, "elements": numbers_of_elements}


def wasserstein(generated: np.ndarray, reference: np.ndarray, draws: int, seed: int = 0) -> dict:
    """Wasserstein distance of two samples with a 95 % interval, the generated ones redrawn; value, low, high.

    Redrawing adds to a distance that is near zero: an interval can lie above its value.
    """
    value = wasserstein_distance(generated, reference)
    generator = np.random.default_rng(seed)
    redrawn = [wasserstein_distance(generator.choice(generated, len(generated)), reference) for _ in range(draws)]
    low, high = np.quantile(redrawn, [0.025, 0.975])
    return {"value": float(value), "low": min(float(low), float(value)), "high": float(high)}
