"""The symmetry of a cell, and what it leaves of strains and displacements."""

import os
import warnings
from dataclasses import dataclass

import numpy as np
import spglib
from scipy.linalg import expm, logm

from crystalgen.matching.reduction import ReducedCell

os.environ.setdefault("SPGLIB_WARNING", "OFF")  # of cells without the group that is looked for at one of these symprecs
_SYMPRECS = (0.1, 0.05, 0.2, 0.01, 0.3)  # Å; the first is the one of the benchmark tables' space groups


@dataclass(frozen=True)
class Symmetry:
    """A cell made exact to its space group.

    lattice: (3, 3), Å. coords: (n, 3), fractional. images: where each of g operations brings each site, (g, n). turns: the
    operations' rotations of Cartesian row vectors, (g, 3, 3).
    """

    lattice: np.ndarray
    coords: np.ndarray
    images: np.ndarray
    turns: np.ndarray

    @classmethod
    def of(cls, cell: ReducedCell, space_group: int) -> "Symmetry | None":
        """Find the operations of a cell; None where it does not show the space group."""
        for symprec in _SYMPRECS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = spglib.get_symmetry_dataset((cell.lattice, cell.coords, cell.numbers), symprec=symprec)
            if found is not None and found.number == space_group:
                break
        else:
            return None
        rotations, translations = found.rotations.astype(float), found.translations
        lattice = _symmetric_lattice(cell.lattice, rotations)
        moved = np.einsum("gij,nj->gni", rotations, cell.coords) + translations[:, None]
        apart = moved[:, :, None] - cell.coords[None, None]
        apart -= np.round(apart)
        far = (np.einsum("gnmi,ij->gnmj", apart, lattice) ** 2).sum(axis=-1)
        far[:, cell.numbers[:, None] != cell.numbers[None, :]] = np.inf
        images = far.argmin(axis=-1)
        if any(len(set(image)) < len(image) for image in images.tolist()):
            return None
        step = np.take_along_axis(apart, images[:, :, None, None], axis=2)[:, :, 0]
        correction = np.zeros_like(cell.coords)
        for image, offsets in zip(images, step, strict=True):
            correction[image] += offsets
        inverse = np.linalg.inv(lattice)
        turns = np.einsum("ij,gkj,kl->gil", inverse, rotations, lattice)  # x' = x @ turn, Cartesian rows
        return cls(lattice, cell.coords + correction / len(images), images, turns)

    def displacements(self, apart: np.ndarray) -> np.ndarray:
        """Return the part of displacements (n, 3), Å, that the symmetry leaves as it is."""
        total = np.zeros_like(apart)
        for image, turn in zip(self.images, self.turns, strict=True):
            total[image] += apart @ turn
        return total / len(self.images)

    def strain(self, strain: np.ndarray) -> np.ndarray:
        """Return the same of a symmetric strain (3, 3)."""
        return np.einsum("gji,jk,gkl->il", self.turns, strain, self.turns) / len(self.turns)


def _symmetric_lattice(lattice: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Return the lattice whose metric is the mean over the rotations, laid as the given one."""
    metric = lattice @ lattice.T
    mean = np.einsum("gji,jk,gkl->il", rotations, metric, rotations) / len(rotations)
    inverse = np.linalg.inv(lattice)
    return lattice @ expm(logm(inverse @ mean @ inverse.T).real / 2)


def hencky_strain(reference: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Return Hencky's strain (3, 3) that makes one lattice the other up to a rotation, without its volume."""
    inverse = np.linalg.inv(reference)
    strain = logm(inverse @ lattice @ lattice.T @ inverse.T).real / 2
    return strain - np.eye(3) * np.trace(strain) / 3
