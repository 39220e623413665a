"""Move atoms of a crystal apart without leaving its space group, where a sampler has put one inside another."""

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Lattice

from crystalgen.crystals.geometry import IMAGES
from crystalgen.represent.scaffold import Scaffold
from crystalgen.utils.limits import MIN_CONTACT

_ROUNDS = 100
_GROW_EVERY, _GROWTH = 10, 1.15  # rounds in vain, after which the lattice grows by this factor
_MARGIN = 1.02  # of the distance that is aimed at, so that it is reached within a few rounds
_KICK = 0.2  # Å, of atoms that are at one place and know no direction to leave it


def kept_apart(lattice: np.ndarray, coords: np.ndarray, scaffold: Scaffold) -> tuple[np.ndarray, np.ndarray]:
    """Return lattice (3, 3), Å, and coordinates (n, 3) in which no two atoms are closer than `MIN_CONTACT` of the sum of their radii.

    Pairs that are closer push each other to that distance, and of the pushes the part is taken that the scaffold's operations allow. Where
    that does not suffice the lattice grows, to four times its lengths at most. A crystal whose atoms are apart stays as it is.
    """
    radii, rng = covalent_radii[scaffold.numbers], np.random.default_rng(len(coords))
    need = MIN_CONTACT * (radii[:, None] + radii[None])[:, :, None]
    own = np.eye(len(coords), dtype=bool)[:, :, None]
    itself = own & (IMAGES == 0).all(axis=1)
    axes = Lattice(lattice).get_lll_reduced_lattice().matrix
    to_axes = lattice @ np.linalg.inv(axes)  # of fractional coordinates
    for number in range(1, _ROUNDS + 1):
        apart = (coords[:, None] - coords[None]) @ to_axes
        apart = ((apart - np.round(apart))[:, :, None] + IMAGES) @ np.linalg.inv(to_axes) @ lattice
        far = np.where(itself, np.inf, np.linalg.norm(apart, axis=3))
        if (far >= need).all():
            break
        push = np.where(own, 0.0, (_MARGIN * need - far).clip(min=0) / (2 * far.clip(min=1e-9)))
        moves = (push[..., None] * apart).sum(axis=(1, 2))
        if np.where(own, np.inf, far).min() < _KICK / 10:
            moves += _KICK * rng.standard_normal(moves.shape)
        coords = coords + allowed(moves @ np.linalg.inv(lattice), scaffold)
        lattice = lattice * (1.0 if number % _GROW_EVERY else _GROWTH)
    return lattice, coords


def allowed(moves: np.ndarray, scaffold: Scaffold) -> np.ndarray:
    """Return the part of displacements (n, 3), fractional, that keeps the operations: their average over these."""
    turned, total = np.einsum("gij,nj->gni", scaffold.rotations, moves), np.zeros_like(moves)
    for image, moved in zip(scaffold.images, turned, strict=True):
        total[image] += moved
    return total / len(scaffold.images)
