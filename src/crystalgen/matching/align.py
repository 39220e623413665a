"""The best way to lay one crystal on another: its cell and sites in the other's setting and order."""

from dataclasses import dataclass

import numpy as np

from crystalgen.matching.matcher import Tolerances, best_way
from crystalgen.matching.reduction import ReducedCell


@dataclass(frozen=True)
class Alignment:
    """A crystal in another's setting.

    lattice: (3, 3), Å, at its own volume. coords: (n, 3), fractional, site i beside site i of the other and in its image next to it,
    moved so that the mean displacement is zero. rms: root mean square displacement in units of (volume / sites)^(1/3).
    """

    lattice: np.ndarray
    coords: np.ndarray
    rms: float


def align(sample: ReducedCell, target: ReducedCell, tolerances: Tolerances) -> Alignment | None:
    """Lay the sample on the target as `matcher.compare` does, by the way of least displacement; None where nothing fits."""
    _, rms, way = best_way(sample, target, tolerances)
    if way is None:
        return None
    coords = sample.coords @ np.linalg.inv(way.turn)
    theirs = target.coords + (coords[way.site] - target.coords[way.anchor])
    apart = coords[way.sites] - theirs
    apart -= np.round(apart)
    return Alignment(way.turn @ sample.lattice, target.coords + apart - apart.mean(axis=0), rms)
