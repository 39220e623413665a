"""B's 1-D U-Net over the rows of the matrix, guided-diffusion style (B §4, A.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalgen.config import UNet1dConfig
from crystalgen.nets.blocks import Trunk, zero_init
from crystalgen.nets.conditioning import ElementEmbedding, EnergyEmbedding, SpaceGroupEmbedding, TimeEmbedding

LATTICE_ROWS = 3


class Attention(nn.Module):
    """Self-attention over rows; rows without content are not attended to."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = zero_init(nn.Conv1d(channels, channels, 1))

    def forward(self, h: Tensor, held: Tensor) -> Tensor:  # (B, C, rows), (B, rows) bool
        parts = self.qkv(self.norm(h)).chunk(3, dim=1)
        q, k, v = (part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=held[:, None, None])
        return h + self.out(mixed.transpose(2, 3).flatten(1, 2))


class UNet1d(nn.Module):
    """(x, t, condition) -> a tensor like x, (B, rows, 3).

    Args:
        rows: rows of the matrix.
        element_properties: (104, 22), standardised.
        operations: (231, 192, 4, 4) symmetry operations.
        config: widths and depths.
    """

    def __init__(self, rows: int, element_properties: Tensor, operations: Tensor, config: UNet1dConfig):
        super().__init__()
        channels, width = config.channels, 4 * config.channels
        self.time = TimeEmbedding(channels, width)
        self.energy = EnergyEmbedding(width)
        self.space_group = SpaceGroupEmbedding(operations, width)
        self.elements = ElementEmbedding(element_properties, channels)
        self.combine = nn.Sequential(nn.Linear(2 * width + channels, width), nn.SiLU(), nn.Linear(width, width))
        self.position = nn.Parameter(torch.randn(channels, rows) * 0.02)
        self.enter = nn.Conv1d(3 + channels, channels, 3, padding=1)

        def attention(channels: int, depth: int) -> Attention | None:
            return Attention(channels, config.heads) if 2**depth in config.attention else None

        self.trunk = Trunk(1, channels, config.multipliers, config.blocks, config.dropout, (2,), width, attention)
        self.leave = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), zero_init(nn.Conv1d(channels, 3, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """x (B, rows, 3), t (B,) in [0, 1], condition as `tensors.MatrixData.condition`."""
        numbers = condition["atomic_numbers"]
        features, pooled = self.elements(numbers)  # (B, C, rows), (B, C)
        known = [pooled, self.space_group(condition["space_group"]), self.energy(condition["energy"])]
        embedding = self.time(t) + self.combine(torch.cat(known, dim=1))  # (B, E)
        h = self.enter(torch.cat([x.transpose(1, 2), features + self.position], dim=1))  # (B, C, rows)
        h = self.trunk(h, embedding, self._held(numbers))
        return self.leave(h).transpose(1, 2)

    def _held(self, numbers: Tensor) -> list[Tensor]:
        """Rows with content at each depth: atoms and lattice, and what they are pooled into."""
        held = numbers > 0
        held[:, -LATTICE_ROWS:] = True
        masks = [held]
        for _ in self.trunk.shrink:
            masks.append(F.max_pool1d(masks[-1].float(), 2, ceil_mode=True) > 0)
        return masks
