"""Sampling on the crystals of a space group: displacements and lattices averaged over its operations (Reynolds). Torch only.

What a crystal may be displaced by without losing its symmetry is a linear space, the same wherever its origin lies. A sampler starts
from a crystal of the group, and each step adds the part of the network's step that lies in that space: no step leaves the group.
Lattices are averaged as metrics. `represent.scaffold` makes the tables.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from crystalgen.generative.data.format import LATTICE_ROWS

_ROUNDS = 3  # of bringing what a network gives for images of a site to the same side of the cell
_APART, _STRONG = 1.0, 30.0  # Å, and on the scale of logarithms of probabilities: identical atoms have the same posteriors
_NEAR = 0.1  # of draws, every second time: from anywhere in the cell, then from nearby
_RANGE = 4.0  # by which the edges of a crystal may differ from those of its scaffold, strained


class Symmetry(Protocol):
    """What samplers ask on their way; x (B, ...) is scaled as a network sees it."""

    def of(self, numbers: Tensor) -> "Symmetry":
        """Return that of some of the batch's crystals, int (m,)."""

    def begin(self, x: Tensor) -> Tensor:
        """Return where sampling starts, from noise."""

    def noise(self, x: Tensor) -> Tensor:
        """Return noise that may be added to a crystal."""

    def move(self, old: Tensor, new: Tensor, share: float = 1.0) -> Tensor:
        """Return the end of a step; it is this share of the way that is left."""

    def scaffold(self, x: Tensor) -> Tensor:
        """Return a crystal to begin with, shaped as x."""

    def anchored(self, x: Tensor) -> Tensor:
        """Return the crystal moved so that its first site is at the origin."""

    def together(self, values: Tensor) -> Tensor:
        """Return values of rows (B, rows, k), the same for all sites of an orbit."""

    def alike(self, values: Tensor) -> Tensor:
        """Return values of rows (B, rows, k), one of them, the same, for all sites of an orbit and over k."""

    def fixed(self, rows: Tensor) -> Tensor:
        """Return a mask of rows (B, rows, k) with those that the symmetry leaves no freedom."""

    def toward(self, old: Tensor, data: Tensor) -> Tensor:
        """Return the crystal that is nearest to what a network takes for the data, on its way from `old`."""


class View(Protocol):
    """Of a batch; A is the number of sites of its longest crystal. cartesian: whether x holds Cartesian coordinates."""

    cartesian: bool

    def of(self, numbers: Tensor) -> "View":
        """Return that of some of the batch's crystals, int (m,)."""

    def slots(self, x: Tensor) -> Tensor:
        """Return the values that stand for coordinates, as the network sees them, (B, A, 3)."""

    def filled(self, x: Tensor, values: Tensor) -> Tensor:
        """Return x with others."""

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return fractional coordinates (B, A, 3) and lattices (B, 3, 3), Å."""

    def write(self, x: Tensor, coords: Tensor, lattice: Tensor) -> Tensor:
        """Return x with others; coordinates are taken modulo 1."""


class Free:
    """No symmetry is asked for: everything stays as it is."""

    def of(self, numbers: Tensor) -> "Free":
        """See `Symmetry`."""
        return self

    def likeliest(self, old: Tensor, data: Tensor, shown: Tensor, score: Callable[[Tensor], Tensor], draws: Tensor) -> Tensor:
        """See `Symmetric`."""
        return data

    def begin(self, x: Tensor) -> Tensor:
        """See `Symmetry`."""
        return x

    noise = scaffold = anchored = together = alike = fixed = begin

    def move(self, old: Tensor, new: Tensor, share: float = 1.0) -> Tensor:
        """See `Symmetry`."""
        return new

    def toward(self, old: Tensor, data: Tensor) -> Tensor:
        """See `Symmetry`."""
        return data


FREE = Free()


@dataclass(frozen=True)
class Subspaces:
    """Crystals of k scaffolds with at most A sites, and which of them each of n samples is made on.

    which: int (n,). coords: of the scaffolds, (k, A, 3). lattice: (k, 3, 3), Å. average: displacements made allowed ones, (k, 3 A, 3 A).
    spread: noise of an orbit's first site brought to all, as far as it is free, likewise. metric: metrics made allowed ones, (k, 9, 9).
    orbit: first site of each site's orbit, (k, A); -1 for none. fixed: sites whose orbit cannot move against the first one, bool (k, A).
    """

    which: Tensor
    coords: Tensor
    lattice: Tensor
    average: Tensor
    spread: Tensor
    metric: Tensor
    orbit: Tensor
    fixed: Tensor

    def of(self, numbers: Tensor, device: torch.device | None = None) -> "Subspaces":
        """Return those of some samples, a scaffold each, on a device."""
        which = self.which[numbers.to(self.which.device)]
        parts = [getattr(self, field.name)[which].to(device) for field in fields(self)[1:]]
        return Subspaces(torch.arange(len(which)), *parts)


class Symmetric:
    """See `Symmetry`.

    space: a scaffold for each sample, see `Subspaces.of`. view: of x, in the layout of a representation.
    """

    def __init__(self, space: Subspaces, view: View):
        self.space, self.view = space, view

    def of(self, numbers: Tensor) -> "Symmetric":
        """See `Symmetry`."""
        return self if len(numbers) == len(self.space.which) else Symmetric(self.space.of(numbers), self.view.of(numbers))

    def begin(self, x: Tensor) -> Tensor:
        """Each free coordinate is as random as that of one site; the lattice is the noise's, averaged."""
        moved = self._times(self.space.spread, self.view.slots(x))
        return self.view.write(x, self.space.coords + moved, self.averaged(self.view.read(x)[1]))

    def noise(self, x: Tensor) -> Tensor:
        """That of an orbit's first site, as far as it is free, brought to the others; a lattice's stays as it is."""
        return x if self.view.cartesian else self.view.filled(x, self._times(self.space.spread, self.view.slots(x)))

    def move(self, old: Tensor, new: Tensor, share: float = 1.0) -> Tensor:
        """Displacements are averaged the shorter way around the cell, as they would be at the end of the way."""
        (before, _), (after, lattice) = self.view.read(old), self.view.read(new)
        way = (after - before) / share
        return self.view.write(new, before + share * self._times(self.space.average, way - way.round()), self.averaged(lattice))

    def toward(self, old: Tensor, data: Tensor) -> Tensor:
        """Displacements are averaged again where images had been on different sides of the cell."""
        (coords, _), (target, lattice) = self.view.read(old), self.view.read(data)
        for _ in range(_ROUNDS):
            way = target - coords
            coords = coords + self._times(self.space.average, way - way.round())
        return self.view.write(data, coords, self.averaged(lattice))

    def scaffold(self, x: Tensor) -> Tensor:
        """Return x with the scaffolds' coordinates and lattices."""
        return self.view.write(x, self.space.coords, self.space.lattice)

    def likeliest(self, old: Tensor, data: Tensor, shown: Tensor, score: Callable[[Tensor], Tensor], draws: Tensor) -> Tensor:
        """Return a crystal that a network finds likely; marginal posteriors of sites that are alike do not say which of them lies where.

        Of each orbit that is not shown, the best is taken of where it is, where the nearest crystal to `data` has it, and draws.

        Args:
            old: (B, rows, 3), with its first site at the origin, as all that is looked at.
            data: likewise, what the network says of each value.
            shown: bool (B, rows, k), rows that stay.
            score: x -> logarithms of probabilities, (B, rows, 3).
            draws: (m, B, A, 3), in [-0.5, 0.5), how far the first site of each orbit may be moved.
        """
        nearest = self.anchored(self.toward(old, data))
        (coords, lattice), (near, other) = self.view.read(old), self.view.read(nearest)
        sites, first = self.space.orbit.shape[1], self.space.orbit == 0  # the orbit of the site at the origin
        hidden = ~shown.all(dim=2)[:, :sites]

        def rated(coords: Tensor, lattice: Tensor) -> tuple[Tensor, Tensor]:
            logs = score(self.view.write(old, coords, lattice)).sum(dim=2, keepdim=True)
            crowded = self.crowding(coords, lattice)[..., None]
            return self.together(logs - F.pad(crowded, (0, 0, 0, logs.shape[1] - sites)))[:, :sites, 0], logs[:, -LATTICE_ROWS:, 0].sum(
                dim=1
            )

        best, of_lattice = rated(coords, lattice)
        better = rated(coords, other)[1] > of_lattice
        lattice = torch.where(better[:, None, None], other, lattice)

        def take(moved: Tensor, possible: Tensor, each: bool) -> None:
            """Take what is likelier, orbit by orbit or as a whole; orbits stay in one frame as long as only whole steps move the first."""
            nonlocal coords, best
            found = rated(moved, lattice)[0]
            taken = found > best if each else (((found - best) * hidden).sum(dim=1) > 0)[:, None].expand_as(best)
            taken = taken & possible
            coords, best = torch.where(taken[..., None], moved, coords), torch.where(taken, found, best)

        take(near, torch.ones_like(hidden), False)
        untouched = (hidden | (self.space.orbit < 0)).all(dim=1, keepdim=True)
        for number, draw in enumerate(draws):
            step = draw * (_NEAR if number % 2 else 1.0)
            take(coords + self._times(self.space.spread, torch.where(first[..., None], 0.0, step)), hidden, True)
            moved = coords + self._times(self.space.spread, torch.where(first[..., None], step, 0.0))
            take(moved - moved[:, :1], untouched.expand_as(hidden), False)
        return self.view.write(old, coords, lattice)

    def crowding(self, coords: Tensor, lattice: Tensor) -> Tensor:
        """Return for each site how far others are within `_APART` of it, in units of a strong preference, (B, A)."""
        apart = (coords[:, :, None] - coords[:, None]).flatten(1, 2)
        squares = ((apart - apart.round()) @ lattice).square().sum(dim=2).view(-1, *coords.shape[1:2] * 2)
        return _STRONG * ((1 - squares.sqrt() / _APART).clamp(min=0) * self._pairs).sum(dim=2)

    @cached_property
    def _pairs(self) -> Tensor:
        """Which pairs of sites there are, bool (B, A, A)."""
        sites = self.space.orbit >= 0
        return sites[:, :, None] & sites[:, None] & ~torch.eye(sites.shape[1], dtype=torch.bool, device=sites.device)

    def anchored(self, x: Tensor) -> Tensor:
        """Return x moved so that its first site is at the origin."""
        coords, lattice = self.view.read(x)
        return self.view.write(x, coords - coords[:, :1], lattice)

    def together(self, values: Tensor) -> Tensor:
        """Return values of a matrix's rows (B, rows, k) with those of an orbit's sites averaged, over k too."""
        first, sites = self._first, self.space.orbit >= 0
        own = values[:, : first.shape[1]]
        total, count = (torch.zeros_like(own[..., 0]).scatter_add(1, first, v) for v in (own.mean(dim=2), torch.ones_like(own[..., 0])))
        mean = (total / count.clamp(min=1)).gather(1, first)[..., None].expand_as(own)
        return torch.cat([torch.where(sites[..., None], mean, own), values[:, own.shape[1] :]], dim=1)

    def alike(self, values: Tensor) -> Tensor:
        """Return values of a matrix's rows (B, rows, k), for all sites of an orbit and over k the first of its first site."""
        own = values[:, : self._first.shape[1], 0].gather(1, self._first)[..., None].expand(-1, -1, values.shape[2])
        return torch.cat([own, values[:, own.shape[1] :]], dim=1)

    @cached_property
    def _first(self) -> Tensor:
        """The first site of each site's orbit, (B, A); a row that is no site is its own."""
        return torch.where(self.space.orbit >= 0, self.space.orbit, torch.arange(self.space.orbit.shape[1], device=self.space.orbit.device))

    def fixed(self, rows: Tensor) -> Tensor:
        """Return a mask of a matrix's rows, bool (B, rows, k), with the sites that cannot move against the first one."""
        own = self.space.fixed
        return torch.cat([rows[:, : own.shape[1]] | own[..., None], rows[:, own.shape[1] :]], dim=1)

    def averaged(self, lattice: Tensor) -> Tensor:
        """Return lattices (B, 3, 3), lower triangular, whose metrics are the averages over the rotations; within reason, see `_RANGE`."""
        own, reference = lattice.double(), self.space.lattice.double()
        metric = own @ own.transpose(1, 2)
        metric = (self.space.metric.double() @ metric.flatten(1)[..., None]).view(-1, 3, 3)
        inverse = torch.linalg.inv(reference)
        strained = torch.nan_to_num(inverse @ metric @ inverse.transpose(1, 2), posinf=_RANGE**2)  # its functions have the symmetry too
        values, vectors = torch.linalg.eigh((strained + strained.transpose(1, 2)) / 2)
        kept = vectors @ torch.diag_embed(values.clamp(_RANGE**-2, _RANGE**2)) @ vectors.transpose(1, 2)
        metric = reference @ kept @ reference.transpose(1, 2)
        return torch.linalg.cholesky((metric + metric.transpose(1, 2)) / 2).to(lattice.dtype)

    @staticmethod
    def _times(matrix: Tensor, coords: Tensor) -> Tensor:
        return (matrix @ coords.flatten(1)[..., None]).view_as(coords)
