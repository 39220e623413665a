"""The shape that the members of a prototype share, and how it follows their elements.

A member is its strain and displacements from the reference, kept to those that leave the reference's symmetry whole; so is every
crystal made from them. Strain is Hencky's (logarithmic), so that means and straight lines of it are strains again.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from crystalgen.baselines.distilled.classes import PrototypeClass

_MODES = 5  # at most
_LEAST = 0.03  # Å, root mean square over the members, of a mode that is kept
_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 1e6)  # of the ridge; the last is the mean


@dataclass(frozen=True)
class Shape:
    """A prototype's cell and the ways in which its members differ.

    lattice: (3, 3), Å, exact to the symmetry. coords: (n, 3), fractional. roles: of each site, (n,).
    modes: (k, 7 + 3 n): strain xx, yy, zz, yz, xz, xy; logarithm of the volume in units of the elements' volumes; displacements, Å.
    slopes: (k, f), of each mode on standardised features. center, scale: of the features, (f,). spread: of each mode over the
    members, its standard deviation, (k,).
    """

    lattice: np.ndarray
    coords: np.ndarray
    roles: np.ndarray
    log_volume: float
    modes: np.ndarray
    slopes: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    spread: np.ndarray

    def crystal(self, features: np.ndarray, volume: float, shift: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return lattice (3, 3), Å, and coordinates (n, 3) for elements of some features.

        Args:
            features: (f,), see `element_features`.
            volume: Å^3, the sum of the elements' volumes.
            shift: of the modes from what the features say, (k,).
        """
        amounts = self.slopes @ ((features - self.center) / self.scale)
        amounts = amounts + (0 if shift is None else shift)
        change = amounts @ self.modes
        lattice = self.lattice @ expm(_matrix(change[:6]))
        coords = self.coords + change[7:].reshape(-1, 3) @ np.linalg.inv(self.lattice)
        wanted = volume * np.exp(self.log_volume + change[6])
        return lattice * np.cbrt(wanted / abs(np.linalg.det(lattice))), coords


def fit_shape(prototype: PrototypeClass, features: np.ndarray, volumes: np.ndarray) -> tuple[Shape, np.ndarray]:
    """Fit a shape to the members of a prototype; return it with what its slopes leave of each member's modes, (m, k).

    Args:
        prototype: of `find_classes`.
        features: of each member's elements, (m, f).
        volumes: sum of each member's elements' volumes, Å^3, (m,).
    """
    symmetry = prototype.symmetry
    strains = prototype.strains[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    logs = np.log(prototype.volumes / volumes)[:, None]
    changes = np.concatenate([strains, logs, prototype.displacements.reshape(len(strains), -1)], axis=1)
    mean = changes.mean(axis=0)
    lattice = symmetry.lattice @ expm(_matrix(mean[:6]))
    coords = symmetry.coords + mean[7:].reshape(-1, 3) @ np.linalg.inv(symmetry.lattice)
    modes, amounts = _modes(changes - mean)
    center, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    slopes = np.array([_ridge((features - center) / scale, values) for values in amounts.T]).reshape(len(modes), features.shape[1])
    rest = amounts - (features - center) / scale @ slopes.T
    shape = Shape(lattice, coords, prototype.roles, float(mean[6]), modes, slopes, center, scale, amounts.std(axis=0))
    return shape, rest


def _matrix(vector: np.ndarray) -> np.ndarray:
    xx, yy, zz, yz, xz, xy = vector
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _modes(changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return principal modes (k, d) of centred changes (m, d), the larger first, and the members' amounts of them, (m, k)."""
    weights = np.ones(changes.shape[1])
    weights[:6] = 5.0  # Å at which a strain counts as the displacement of an atom
    left, values, right = np.linalg.svd(changes * weights, full_matrices=False)
    kept = int(min(_MODES, max(1, (len(changes) - 1) // 2), (values > _LEAST * np.sqrt(len(changes))).sum()))  # two members a mode
    return right[:kept] / weights, left[:, :kept] * values[:kept]


def _ridge(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the slopes (f,) of the ridge regression whose leave-one-out error is least."""
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    best, least = np.zeros(features.shape[1]), np.inf
    for strength in _STRENGTHS:
        shrink = singular / (singular**2 + strength)
        hat = (left * (singular * shrink)) @ left.T
        remaining = (values - hat @ values) / np.maximum(1 - np.diag(hat) - 1 / len(values), 1e-3)
        if (error := (remaining**2).mean()) < least:
            best, least = right.T @ (shrink * (left.T @ values)), error
    return best
