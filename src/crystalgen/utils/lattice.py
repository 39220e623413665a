"""Lattice vectors from cell parameters, for the representation and for training data alike. Numpy only."""

import numpy as np


def lattices_from_parameters(parameters: np.ndarray) -> np.ndarray:
    """Return rows a, b, c (n, 3, 3) for (a, b, c, α, β, γ) (n, 6), Å and degrees; a along x, b in the plane of x and y.

    NaN where no such cell exists (the sample is then invalid).
    """
    parameters = np.asarray(parameters, dtype=np.float64)
    lengths, angles = parameters[:, :3], parameters[:, 3:]
    possible = ((lengths > 0) & (angles > 0) & (angles < 180)).all(axis=1)
    cosines = np.cos(np.radians(angles))
    sine = np.sin(np.radians(angles[:, 2]))
    with np.errstate(invalid="ignore", divide="ignore"):
        tilt = (cosines[:, 0] - cosines[:, 1] * cosines[:, 2]) / sine
        height = np.sqrt(1 - cosines[:, 1] ** 2 - tilt**2)
    lattices = np.zeros((len(parameters), 3, 3))
    lattices[:, 0, 0] = 1
    lattices[:, 1, 0], lattices[:, 1, 1] = cosines[:, 2], sine
    lattices[:, 2] = np.stack([cosines[:, 1], tilt, height], axis=1)
    lattices *= lengths[:, :, None]
    lattices[~possible] = np.nan
    return lattices
