"""Where coordinates and lattice stand in what a network sees, so that they can be read and changed while sampling. Torch only."""

from copy import copy

import torch
from torch import Tensor

from crystalgen.generative.data.format import LATTICE_ROWS
from crystalgen.generative.data.matrix import MatrixCodec
from crystalgen.generative.data.unimat import CELL_STD, UniMatCodec
from crystalgen.generative.torus import UNIFORM_STD

_ANGLES = (15.0, 165.0)  # degrees, of cells in noise
_LEAST_LENGTH = 0.5  # Å, likewise
_LEAST_HEIGHT = 0.05  # of a cell of edges 1, likewise


class MatrixView:
    """See `symmetry.View`. sites: bool (B, A), those that are no padding."""

    cartesian = False

    def __init__(self, codec: MatrixCodec, sites: Tensor):
        self.sites = sites[..., None]
        mean, std = (codec.tensors[f"lattice_{part}"].to(sites.device) for part in ("mean", "std"))
        size = sites.sum(dim=1).double().pow(1 / 3).float()[:, None, None]
        self._shift, self._scale = (mean - 0.5 / UNIFORM_STD * std) * size, std / UNIFORM_STD * size

    def of(self, numbers: Tensor) -> "MatrixView":
        """See `symmetry.View`."""
        part = copy(self)
        part.sites, part._shift, part._scale = self.sites[numbers], self._shift[numbers], self._scale[numbers]
        return part

    def slots(self, x: Tensor) -> Tensor:
        """See `symmetry.View`."""
        return x[:, : self.sites.shape[1]]

    def filled(self, x: Tensor, values: Tensor) -> Tensor:
        """See `symmetry.View`."""
        own = self.slots(x)
        return torch.cat([torch.where(self.sites, values, own), x[:, own.shape[1] :]], dim=1)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `symmetry.View`."""
        return self.slots(x), x[:, -LATTICE_ROWS:] * self._scale + self._shift

    def write(self, x: Tensor, coords: Tensor, lattice: Tensor) -> Tensor:
        """See `symmetry.View`."""
        return torch.cat([self.filled(x, coords % 1.0)[:, :-LATTICE_ROWS], (lattice - self._shift) / self._scale], dim=1)


class UniMatView:
    """See `symmetry.View`. places: of each site in the grid, row by row, int (B, A); -1 for none.

    Cartesian coordinates have no slots: noise in them stays as it is.
    """

    def __init__(self, codec: UniMatCodec, places: Tensor):
        self.layout, self.cartesian = codec.layout, codec.input.coordinates == "cartesian"
        self.sites = (places >= 0)[..., None]
        self._places = torch.where(self.sites, places[..., None], places[:, :1, None]).expand(-1, -1, 3)  # padding writes the first again
        self._mean, self._std = (codec.tensors[f"cell_{part}"].to(places.device) for part in ("mean", "std"))
        self._low = codec.tensors["cartesian_low"].to(places.device)
        self._span = (codec.tensors["cartesian_high"].to(places.device) - self._low).clamp(min=1e-3)

    def of(self, numbers: Tensor) -> "UniMatView":
        """See `symmetry.View`."""
        part = copy(self)
        part.sites, part._places = self.sites[numbers], self._places[numbers]
        return part

    def slots(self, x: Tensor) -> Tensor:
        """See `symmetry.View`."""
        return self.layout.split(x)[0].flatten(2).transpose(1, 2).gather(1, self._places)

    def filled(self, x: Tensor, values: Tensor) -> Tensor:
        """See `symmetry.View`."""
        grid, cell = self.layout.split(x)
        return self.layout.join(self._grid(grid, values), cell)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `symmetry.View`; of channels, the mean over the grid's places with an atom is the cell."""
        cell, slots = self.layout.split(x)[1], self.slots(x)
        if not self.layout.as_token:
            each = cell.flatten(2).transpose(1, 2).gather(1, self._places[..., :1].expand(-1, -1, 6)) * self.sites
            cell = each.sum(dim=1) / self.sites.sum(dim=1)
        lattice = lattices(cell / CELL_STD * self._std + self._mean)
        return (slots * self._span + self._low) @ torch.linalg.inv(lattice) if self.cartesian else slots, lattice

    def write(self, x: Tensor, coords: Tensor, lattice: Tensor) -> Tensor:
        """See `symmetry.View`."""
        coords = coords % 1.0
        values = (coords @ lattice - self._low) / self._span if self.cartesian else coords
        cell = (parameters(lattice) - self._mean) / self._std * CELL_STD
        return self.layout.join(self._grid(self.layout.split(x)[0], values), cell)

    def _grid(self, grid: Tensor, values: Tensor) -> Tensor:
        flat = grid.flatten(2).transpose(1, 2)
        return flat.scatter(1, self._places, torch.where(self.sites, values, values[:, :1])).transpose(1, 2).view_as(grid)


def lattices(parameters: Tensor) -> Tensor:
    """Return lattices (B, 3, 3), lower triangular, of a, b, c, α, β, γ (B, 6), Å and degrees; impossible cells are made possible."""
    lengths, angles = parameters[:, :3].clamp(min=_LEAST_LENGTH), parameters[:, 3:].clamp(*_ANGLES)
    alpha, beta, gamma = torch.deg2rad(angles).cos().unbind(1)
    sine = (1 - gamma**2).sqrt()
    tilt = (alpha - beta * gamma) / sine
    height = (1 - beta**2 - tilt**2).clamp(min=_LEAST_HEIGHT**2).sqrt()
    zero, one = torch.zeros_like(sine), torch.ones_like(sine)
    rows = torch.stack([one, zero, zero, gamma, sine, zero, beta, tilt, height], dim=1).view(-1, 3, 3)
    return rows * lengths[..., None]


def parameters(lattice: Tensor) -> Tensor:
    """Return a, b, c, α, β, γ (B, 6), Å and degrees, of lattices (B, 3, 3)."""
    lengths = lattice.norm(dim=2)
    unit = lattice / lengths[..., None]
    cosines = torch.stack([(unit[:, i] * unit[:, j]).sum(dim=1) for i, j in ((1, 2), (0, 2), (0, 1))], dim=1)
    return torch.cat([lengths, torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))], dim=1)
