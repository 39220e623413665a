"""Scaffolds: what a crystal of a space group has before its coordinates are known, in the cell that a network works in.

A scaffold is a crystal of the group in the reduced cell (`represent.reduced`), with the group's rotations there and the site to which
each of them brings each site. Displacements that the group allows form a linear space, whatever its origin: they are all that a sampler
has to know of the group (`generative.symmetry`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch

from crystalgen.chemistry.orbits import Filling, random_crystal
from crystalgen.chemistry.spacegroups import STRICT, symmetry_dataset
from crystalgen.chemistry.wyckoff import space_group
from crystalgen.generative.symmetry import Subspaces
from crystalgen.represent.reduced import reduction
from crystalgen.utils.elements import SYMBOLS

_ENANTIOMORPHS = {76: 78, 91: 95, 92: 96, 144: 145, 151: 153, 152: 154, 169: 170, 171: 172, 178: 179, 180: 181, 212: 213}
PARTNERS = _ENANTIOMORPHS | {other: one for one, other in _ENANTIOMORPHS.items()}  # groups of each other's mirror images
_DRAWS = 20  # of random coordinates, of which the atoms furthest apart are taken
_SMALL = np.array([v for v in product((0, 1, -1, 2, -2), repeat=3) if any(v)])
_SMALL = _SMALL[np.argsort((_SMALL**2).sum(axis=1), kind="stable")]
_FREE = 1e-9


@dataclass(frozen=True)
class Scaffold:
    """A crystal of n sites with g operations.

    lattice: (3, 3), Å, lower triangular. coords: (n, 3). rotations: of columns of coordinates, int (g, 3, 3). images: (g, n).
    mirrored: whether this is the mirror image of a crystal of the space group; coordinates are inverted in the end.
    positions: of the orbits, e.g. `B:c Ti:a`; empty where unknown.
    """

    space_group: int
    lattice: np.ndarray
    numbers: np.ndarray
    coords: np.ndarray
    rotations: np.ndarray
    images: np.ndarray
    mirrored: bool = False
    positions: str = ""

    @property
    def orbits(self) -> np.ndarray:
        """The first site of each site's orbit, (n,)."""
        return self.images.min(axis=0)


def filled(number: int, filling: Filling, rng: np.random.Generator, volume: float | None = None) -> Scaffold:
    """Return a scaffold of a filling, with random coordinates; volume: Å^3."""
    group = space_group(number)
    lattice, numbers, coords = random_crystal(group, filling, rng, volume, _DRAWS)
    return _described(number, lattice, numbers, coords, group.rotations, group.translations, str(filling))


def found_in(number: int, lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray, symprec: float = STRICT) -> Scaffold | None:
    """Return the scaffold of a crystal in a primitive cell; None where it does not show the group or its mirror image's at `symprec`, Å."""
    found = symmetry_dataset((lattice, coords, numbers), symprec)
    if found is None or number not in (found.number, PARTNERS.get(found.number)):
        return None
    orbits = np.unique(found.crystallographic_orbits, return_index=True)[1]
    positions = " ".join(sorted(f"{SYMBOLS[numbers[i] - 1]}:{found.wyckoffs[i]}" for i in orbits))
    made = _described(found.number, lattice, numbers, coords, found.rotations, found.translations, positions)
    if made is None or found.number == number:
        return made
    return Scaffold(number, *(getattr(made, part) for part in ("lattice", "numbers", "coords", "rotations", "images")),
                    not made.mirrored, positions)  # fmt: skip


def orbits_in(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray, symprec: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first site of each site's orbit, int (n,), and whether that orbit cannot move against site 0, bool (n,).

    symprec: Å. Where spglib finds no symmetry, each site is an orbit of its own.
    """
    found = symmetry_dataset((lattice, coords, numbers), symprec)
    images = None if found is None else _images(numbers, coords, found.rotations, found.translations, lattice)
    turns = np.eye(3, dtype=int)[None] if images is None else found.rotations
    images = np.arange(len(numbers))[None] if images is None else images
    scaffold = Scaffold(0, lattice, numbers, coords, turns, images)
    return scaffold.orbits, _tensors(scaffold, len(numbers))[-1]


def _described(number, lattice, numbers, coords, rotations, translations, positions) -> Scaffold | None:
    """In the reduced cell, exact to the group; None where an operation does not bring the sites onto each other."""
    images = _images(numbers, coords, rotations, translations, lattice)
    if images is None:
        return None
    lattice, coords = symmetrised(lattice, coords, rotations, images)
    basis, origin, order = reduction(lattice, numbers, coords)
    turned = np.round(np.linalg.inv(basis.T) @ rotations @ basis.T).astype(int)
    axes, described = basis @ lattice, ((coords - coords[origin]) @ np.linalg.inv(basis))[order]
    place = np.argsort(order)
    return Scaffold(number, np.linalg.cholesky(axes @ axes.T), numbers[order].astype(int), described % 1.0, turned, place[images[:, order]],
                    bool(np.linalg.det(basis) < 0), positions)  # fmt: skip


def _images(numbers, coords, rotations, translations, lattice) -> np.ndarray | None:
    moved = np.einsum("gij,nj->gni", rotations, coords) + translations[:, None]
    apart = moved[:, :, None] - coords[None, None]
    apart = (apart - np.round(apart)) @ lattice
    far = (apart**2).sum(axis=-1)
    far[:, numbers[:, None] != numbers[None, :]] = np.inf
    images = far.argmin(axis=-1)
    return images if all(len(set(image)) == len(image) for image in images.tolist()) else None


def symmetrised(lattice: np.ndarray, coords: np.ndarray, rotations: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lattice, lower triangular, and coordinates of a crystal that has the operations nearly, exact to them.

    The translations of the operations are those that fit the crystal best, so that its origin does not matter.
    """
    metric = lattice @ lattice.T
    metric = np.mean(rotations.transpose(0, 2, 1) @ metric @ rotations, axis=0)
    moved = np.einsum("gij,nj->gni", rotations, coords)
    apart = coords[images] - moved  # (g, n, 3), the translation as each site has it
    apart -= np.round(apart - apart[:, :1])
    shift = apart.mean(axis=1, keepdims=True)
    total = np.zeros_like(coords)
    for image, point in zip(images, moved + shift, strict=True):
        step = point - coords[image]
        total[image] += step - np.round(step)
    return np.linalg.cholesky(metric), coords + total / len(images)


def misfit(lattice: np.ndarray, coords: np.ndarray, scaffold: Scaffold) -> float:
    """Return by how much a crystal misses the scaffold's operations: the largest error of a fractional coordinate or relative length."""
    moved = np.einsum("gij,nj->gni", scaffold.rotations, coords)
    apart = coords[scaffold.images] - moved
    apart -= np.round(apart - apart[:, :1])
    metric = lattice @ lattice.T
    turned = scaffold.rotations.transpose(0, 2, 1) @ metric @ scaffold.rotations
    return float(max(np.abs(apart - apart[:, :1]).max(), np.abs(turned - metric).max() / np.diag(metric).max()))


def subspaces(scaffolds: Sequence[Scaffold]) -> Subspaces:
    """Return what samplers need of scaffolds, one for each sample; those that are the same object are kept once."""
    own = {id(scaffold): scaffold for scaffold in scaffolds}
    rank = {name: place for place, name in enumerate(own)}
    size = max(len(scaffold.numbers) for scaffold in own.values())
    parts = [_tensors(scaffold, size) for scaffold in own.values()]
    which = torch.tensor([rank[id(scaffold)] for scaffold in scaffolds])
    return Subspaces(which, *(torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True)))


def _tensors(scaffold: Scaffold, size: int) -> tuple[np.ndarray, ...]:
    """The fields of `Subspaces` after the first, padded to `size` sites."""
    sites, count = len(scaffold.numbers), len(scaffold.images)
    turns, images = scaffold.rotations.astype(float), scaffold.images
    average = np.zeros((sites, sites, 3, 3))  # to, from
    for turn, image in zip(turns, images, strict=True):
        average[image, np.arange(sites)] += turn / count
    spread = np.zeros_like(average)
    for first in np.unique(scaffold.orbits):
        stabiliser = turns[images[:, first] == first]
        free = _free_axes(stabiliser)
        for site in np.flatnonzero(scaffold.orbits == first):
            spread[site, first] = turns[np.argmax(images[:, first] == site)] @ free
    mean = average.transpose(0, 2, 1, 3).reshape(3 * sites, 3 * sites)
    drift = np.kron(np.full((sites, sites), 1 / sites), np.eye(3))  # of all sites alike, which moves the origin alone
    whole = mean + drift - drift @ mean
    relative = (whole.reshape(sites, 3, -1) - whole.reshape(sites, 3, -1)[:1]).reshape(sites, -1)
    loose = np.abs(relative).max(axis=1)
    metric = np.mean([np.kron(turn.T, turn.T) for turn in turns], axis=0)

    def padded(values: np.ndarray, shape: tuple[int, ...], fill: float = 0.0) -> np.ndarray:
        result = np.full(shape, fill, dtype=values.dtype if values.dtype in (bool, np.int64) else np.float32)
        result[tuple(slice(n) for n in values.shape)] = values
        return result

    return (
        padded(scaffold.coords, (size, 3)),
        scaffold.lattice.astype(np.float32),
        padded(whole, (3 * size, 3 * size)),
        padded(spread.transpose(0, 2, 1, 3).reshape(3 * sites, 3 * sites), (3 * size, 3 * size)),
        metric.astype(np.float32),
        padded(scaffold.orbits.astype(np.int64), (size,), -1),
        padded(np.array([loose[scaffold.orbits == orbit].max() for orbit in scaffold.orbits]) < _FREE, (size,), False),
    )


def _free_axes(stabiliser: np.ndarray) -> np.ndarray:
    """Columns (3, 3): short whole vectors that span what the rotations (s, 3, 3) leave as it is, then zeros."""
    kept = _SMALL[(np.abs(_SMALL @ stabiliser.transpose(0, 2, 1) - _SMALL) < _FREE).all(axis=(0, 2))]
    rank = np.linalg.matrix_rank(stabiliser.mean(axis=0), tol=1e-6)
    axes = np.zeros((3, 3))
    for chosen in combinations(kept[:12], rank):
        if rank and np.linalg.matrix_rank(chosen) == rank:
            axes[:, :rank] = np.array(chosen).T
            break
    return axes
