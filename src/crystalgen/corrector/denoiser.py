"""A network that says how far the sites and the cell of a crystal under noise are off, from the distances and directions between sites.

It is the score of a diffusion in real space: what it answers turns with the crystal, does not depend on the choice of the cell or of the
origin, and changes places with the sites. Torch only.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crystalgen.config import Denoiser as Settings
from crystalgen.corrector.neighbours import RADIAL
from crystalgen.corrector.net import Block
from crystalgen.generative.nets.blocks import zero_init

ELEMENTS = 119  # by atomic number
_NEAR = 10  # Gaussians of the distances within which directions are looked at, up to 1.3 of (volume / sites)^(1/3)
_CHANNELS = 16  # vectors and tensors of each site
_WAVES = 8  # of the noise level
_VOLUME = 2.0, 3.0  # subtracted from the logarithm of the volume of a site in Å^3, and multiplied with it


class Angles(nn.Module):
    """What the directions to a site's neighbours say: invariants of their weighted sums, up to the second order."""

    def __init__(self, width: int):
        super().__init__()
        self.gate = nn.Linear(width, 2 * _CHANNELS)
        self.vectors, self.tensors = (nn.Linear(_NEAR, _CHANNELS, bias=False) for _ in range(2))
        self.norm = nn.LayerNorm(4 * _CHANNELS)
        self.leave = nn.Sequential(nn.Linear(4 * _CHANNELS, width), nn.SiLU(), zero_init(nn.Linear(width, width)))

    def forward(self, h: Tensor, directions: Tensor, tensors: Tensor) -> Tensor:
        """h (B, n, width), directions (B, n, n, 3, near), tensors (B, n, n, 6, near), traceless, in the order of `_traceless`."""
        one, other = self.gate(h)[:, None, :, None].chunk(2, dim=4)
        vector, tensor = (self.vectors(directions) * one).sum(dim=2), (self.tensors(tensors) * other).sum(dim=2)  # (B, n, 3 or 6, C)
        (x, y, z), (xx, yy, zz, yz, xz, xy) = vector.unbind(dim=2), tensor.unbind(dim=2)
        invariants = [
            x * x + y * y + z * z,
            xx * xx + yy * yy + zz * zz + 2 * (yz * yz + xz * xz + xy * xy),
            xx * x * x + yy * y * y + zz * z * z + 2 * (yz * y * z + xz * x * z + xy * x * y),
            xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz),
        ]
        return h + self.leave(self.norm(torch.cat(invariants, dim=2)))


class Denoiser(nn.Module):
    """Crystals under noise to the noise, with its sign turned: shifts and strain that lead back, in units of the noise's spread.

    settings: width, depth, and the least and the most noise.
    """

    def __init__(self, settings: Settings):
        super().__init__()
        width, self.least, self.most = settings.width, settings.least, settings.most
        self.element = nn.Embedding(ELEMENTS, width)
        self.level = nn.Sequential(nn.Linear(2 * _WAVES + 2, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.blocks = nn.ModuleList([Block(width, settings.heads) for _ in range(settings.blocks)])
        self.angles = nn.ModuleList([Angles(width) for _ in self.blocks[::2]])
        self.norm = nn.LayerNorm(width)
        self.one, self.other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.near = nn.Linear(RADIAL, width, bias=False)
        self.shift, self.strain, self.swelling = (zero_init(nn.Linear(width, size)) for size in (RADIAL, RADIAL, 1))
        nn.init.normal_(self.element.weight, std=0.1)

    def forward(self, numbers: Tensor, noise: Tensor, volume: Tensor, radial: Tensor, directions: Tensor, tensors: Tensor
                ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Answer a batch of crystals with equally many sites.

        Args:
            numbers: atomic, (B, n). noise: spread of what was added to sites, in units of (volume / sites)^(1/3), (B,).
            volume: of a site, Å^3, (B,).
            radial, directions, tensors: (B, n, n, RADIAL), (..., 3), (..., 3, 3), see `neighbours.pair_features`.

        Returns:
            shifts (B, n, 3), Cartesian, of mean zero, and the strain's logarithm (B, 3, 3), symmetric.
        """
        h = self.element(numbers) + self.level(self._facts(noise, volume))[:, None]
        near = directions[:, :, :, :_NEAR].transpose(3, 4).contiguous(), _traceless(tensors[:, :, :, :_NEAR])
        for place, block in enumerate(self.blocks):
            if place % 2 == 0:
                h = self.angles[place // 2](h, *near)
            h = block(h, radial)
        h = self.norm(h)
        pair = F.silu(self.one(h)[:, :, None] + self.other(h)[:, None] + self.near(radial))
        shift = torch.einsum("bijr,bijrx->bix", self.shift(pair).to(directions.dtype), directions)
        strain = torch.einsum("bijr,bijrxy->bxy", self.strain(pair).to(tensors.dtype), tensors) / h.shape[1]
        strain = strain + torch.eye(3).to(strain) * self.swelling(h).mean(dim=1)[:, :, None].to(strain.dtype)
        return shift - shift.mean(dim=1, keepdim=True), strain

    def _facts(self, noise: Tensor, volume: Tensor) -> Tensor:
        """(B, 2 waves + 2): the noise between the least, 0, and the most, 1, on a logarithmic scale, waves of it, and the volume."""
        level = (torch.log(noise / self.least) / math.log(self.most / self.least))[:, None]
        angles = level * math.pi * torch.arange(_WAVES).to(level)
        middle, scale = _VOLUME
        return torch.cat([angles.cos(), angles.sin(), level, (volume.log()[:, None] - middle) * scale], dim=1)


def _traceless(tensors: Tensor) -> Tensor:
    """(..., near, 3, 3), symmetric, to their traceless parts' xx, yy, zz, yz, xz, xy: (..., 6, near)."""
    third = tensors.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    squares = [tensors[..., axis, axis] - third for axis in range(3)]
    return torch.stack([*squares, tensors[..., 1, 2], tensors[..., 0, 2], tensors[..., 0, 1]], dim=-2)
