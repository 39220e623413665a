"""B's 1-D U-Net over the rows of the matrix, guided-diffusion style (B §4, A.3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalgen.generative.data.format import LATTICE_ROWS
from crystalgen.generative.nets.blocks import Trunk, zero_init
from crystalgen.generative.nets.conditioning import ElementEmbedding, EnergyEmbedding, SpaceGroupEmbedding, TimeEmbedding
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig

PERIODIC_WAVES = 2


class Attention(nn.Module):
    """Self-attention over rows; rows without content are not attended to."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = zero_init(nn.Conv1d(channels, channels, 1))

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:  # (B, C, rows), (B, rows) bool
        parts = self.qkv(self.norm(h)).chunk(3, dim=1)
        q, k, v = (part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        return h + self.out(mixed.transpose(2, 3).flatten(1, 2))


class UNet1d(nn.Module):
    """(x, t, condition) -> a tensor like x, (B, rows, 3).

    Args:
        rows: rows of the matrix.
        element_properties: (104, 22), standardised.
        operations: (231, 192, 4, 4) symmetry operations.
        config: widths, depths and inputs.
        energy: the condition that its energy is, `energy` or, for modification, `energy_difference`.
    """

    def __init__(self, rows: int, element_properties: Tensor, operations: Tensor, config: UNet1dConfig,
                 energy: str = "energy"):  # fmt: skip
        super().__init__()
        channels, width = config.channels, 4 * config.channels
        self.config, self.energy_name = config, energy
        self.time = TimeEmbedding(channels, width, config.time_scale)
        self.energy = EnergyEmbedding(width, config.energy_waves, config.energy_octaves)
        self.space_group = SpaceGroupEmbedding(operations, width)
        self.elements = ElementEmbedding(element_properties, channels)
        self.combine = nn.Sequential(nn.Linear(2 * width + channels, width), nn.SiLU(), nn.Linear(width, width))
        self.position = nn.Parameter(torch.randn(channels, rows) * 0.02)
        inputs = (3 + 6 * PERIODIC_WAVES if config.periodic else 3) * (2 if config.start else 1)
        self.enter = nn.Conv1d(inputs + channels, channels, 3, padding=1)

        def attention(channels: int, depth: int) -> Attention | None:
            return Attention(channels, config.heads) if 2**depth in config.attention else None

        self.trunk = Trunk(1, channels, config.multipliers, config.blocks, config.dropout, (2,), width, attention)
        self.leave = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), zero_init(nn.Conv1d(channels, 3, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """x (B, rows, 3), t (B,) in [0, 1], condition as `MatrixData.condition`."""
        numbers = condition["atomic_numbers"]
        masks = self._masks(numbers)
        features, pooled = self.elements(numbers)  # (B, C, rows), (B, C)
        energy = self.energy(condition[self.energy_name], condition[f"{self.energy_name}_known"])
        conditions = [pooled, self.space_group(condition["space_group"]), energy]
        embedding = self.time(t) + self.combine(torch.cat(conditions, dim=1))  # (B, E)
        inputs = [x] + ([condition["start"]] if self.config.start else [])
        channels = [self._coordinates(part * masks[0][..., None]) for part in inputs]  # no loss is on padding: it is masked
        h = self.enter(torch.cat([*channels, features + self.position], dim=1))  # (B, C, rows)
        h = self.trunk(h, embedding, masks)
        return self.leave(h).transpose(1, 2)

    def _coordinates(self, x: Tensor) -> Tensor:
        """The rows as input channels (B, 3 or more, rows); periodic, coordinates enter by their waves and lattices as they are."""
        if self.config.periodic:
            atoms, lattice = x[:, :-LATTICE_ROWS], x[:, -LATTICE_ROWS:]
            angles = torch.cat([2 * math.pi * (k + 1) * atoms for k in range(PERIODIC_WAVES)], dim=2)
            waves = F.pad(torch.cat([angles.sin(), angles.cos()], dim=2), (0, 0, 0, LATTICE_ROWS))
            x = torch.cat([F.pad(lattice, (0, 0, atoms.shape[1], 0)), waves], dim=2)
        return x.transpose(1, 2)

    def _masks(self, numbers: Tensor) -> list[Tensor]:
        """Mask rows with content at each depth: atoms and lattice, and what they are pooled into."""
        mask = numbers > 0
        mask[:, -LATTICE_ROWS:] = True
        masks = [mask]
        for _ in self.trunk.shrink:
            masks.append(F.max_pool1d(masks[-1].float(), 2, ceil_mode=True) > 0)
        return masks
