"""The volume of least energy of a crystal whose shape is kept: a scan by CHGNet, and an equation of state through it."""

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field
from pymatgen.core import Structure

from crystalgen.potentials import single_point
from crystalgen.utils.strict import Strict
from crystalgen.utils.values import Count, Positive

_FIT_POINTS = 5


def _rising(scales: list[float]) -> list[float]:
    if sorted(set(scales)) != scales:
        raise ValueError("expected each scale above the one before")
    return scales


Rising = AfterValidator(_rising)


class Volumes(Strict):
    """The volume scan."""

    scales: Annotated[list[Annotated[Positive, Field(le=10)]], Field(min_length=_FIT_POINTS), Rising]
    batch_size: Count


def best_volumes(structures: list[Structure], settings: Volumes) -> np.ndarray:
    """Return the volume of least CHGNet energy of each structure, shape kept, Å^3; NaN where the scan finds none.

    The scan multiplies each structure's own volume by `settings.scales`, then fits a third-order
    Birch-Murnaghan equation (a cubic in V^(-2/3)) through the points around the least energy.
    """
    scales = np.asarray(settings.scales)
    trials = []
    for structure in structures:
        for scale in scales:
            trial = structure.copy()
            trial.scale_lattice(structure.volume * scale)
            trials.append(trial)
    energies = single_point.chgnet_energies_per_atom(trials, settings.batch_size).reshape(len(structures), len(scales))
    fitted = [birch_murnaghan_minimum(scales, e) for e in energies]
    return np.array(fitted) * np.array([s.volume for s in structures])


def birch_murnaghan_minimum(scales: np.ndarray, energies: np.ndarray) -> float:
    """Return the scale of least energy; NaN unless the least point is inside the scan and the fit has a minimum there."""
    if not np.isfinite(energies).all():
        return np.nan
    least = int(np.argmin(energies))
    if least in (0, len(scales) - 1):
        return np.nan
    start = int(np.clip(least - _FIT_POINTS // 2, 0, len(scales) - _FIT_POINTS))
    window = slice(start, start + _FIT_POINTS)
    x = scales ** (-2 / 3)
    cubic = np.polynomial.Polynomial.fit(x[window], energies[window], 3)
    roots = cubic.deriv().roots()
    roots = roots[np.isreal(roots)].real
    inside = [r for r in roots if x[least + 1] < r < x[least - 1] and cubic.deriv(2)(r) > 0]
    return float(min(inside, key=cubic) ** (-3 / 2)) if inside else float(scales[least])
