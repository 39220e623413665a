"""The torus of fractional coordinates: matrices whose last rows, the lattice, are plain numbers. Torch only."""

import torch
from torch import Tensor

from crystalgen.generative.data.format import LATTICE_ROWS
from crystalgen.generative.samplers import Generators, Net, draw
from crystalgen.generative.symmetry import FREE, Symmetry

LATTICE = slice(-LATTICE_ROWS, None)
ATOMS = slice(None, -LATTICE_ROWS)
UNIFORM_STD = 12**-0.5  # of U(0, 1): scaled lattices have its mean and spread


def shortest(difference: Tensor) -> Tensor:
    """Return differences (B, rows, 3) that go the shorter way around the cell, those of the lattice as they are."""
    return torch.cat([difference[:, ATOMS] - difference[:, ATOMS].round(), difference[:, LATTICE]], dim=1)


def informed_noise(shape: tuple[int, ...], generators: Generators) -> Tensor:
    """Draw coordinates from U(0, 1), and lattices from the normal distribution with the training crystals' mean and spread."""
    return torch.cat([
        draw(torch.rand, (shape[0], shape[1] - LATTICE_ROWS, 3), generators),
        0.5 + UNIFORM_STD * draw(torch.randn, (shape[0], LATTICE_ROWS, 3), generators),
    ], dim=1)  # fmt: skip


def faster(net: Net, speed: float) -> Net:
    """Return a velocity that moves coordinates (1 + speed t) times as fast (arXiv 2502.02582); at 0 the network itself."""
    if speed == 0:
        return net

    def fast(x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        velocity = net(x, t, condition)
        return torch.cat([velocity[:, ATOMS] * (1 + speed * t.view(-1, 1, 1)), velocity[:, LATTICE]], dim=1)

    return fast


def approach(toward: Net, x: Tensor, condition: dict[str, Tensor], steps: int, speed: float, first: float = 0.0,
             until: int | None = None, symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
    """Go towards where a network sees the data, from time `first` to 1 in equal steps; never past it.

    toward: (x, t, condition) -> the expected way from x to the data, (B, rows, 3).
    speed: see `faster`.
    until: steps that are taken; all of them without.
    """
    for step in range(steps if until is None else until):
        time = first + (1 - first) * step / steps
        share = 1 / (steps - step)  # of the way that is left: a velocity way / (1 - t) for a step of (1 - first) / steps
        way = toward(x, torch.full((len(x),), time, device=x.device), condition)
        x = symmetry.move(x, x + torch.cat([way[:, ATOMS] * min(1.0, share * (1 + speed * time)), way[:, LATTICE] * share], dim=1))
    return x
