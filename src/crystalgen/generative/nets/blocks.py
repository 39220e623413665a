"""Build what both U-Nets are made of: residual blocks, and the way down, through the middle and up again."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = {1: nn.Conv1d, 3: nn.Conv3d}


def zero_init(layer: nn.Module) -> nn.Module:
    """Return a layer that starts as zero, so that a block starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ResidualBlock(nn.Module):
    """Two convolutions over 1 or 3 dimensions; the embedding scales and shifts between them."""

    def __init__(self, dimensions: int, channels_in: int, channels: int, embedding: int, dropout: float):
        super().__init__()
        conv = CONVOLUTIONS[dimensions]
        self.first = nn.Sequential(nn.GroupNorm(8, channels_in), nn.SiLU(), conv(channels_in, channels, 3, padding=1))
        self.modulate = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * channels))
        self.norm = nn.GroupNorm(8, channels)
        self.second = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), zero_init(conv(channels, channels, 3, padding=1)))
        self.skip = nn.Identity() if channels_in == channels else conv(channels_in, channels, 1)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:  # (B, C, ...), (B, E)
        scale, shift = self.modulate(embedding).view(*embedding.shape[:1], -1, *[1] * (h.dim() - 2)).chunk(2, dim=1)
        return self.skip(h) + self.second(self.norm(self.first(h)) * (1 + scale) + shift)


class Level(nn.Module):
    """A residual block, with attention where the network asks for it."""

    def __init__(self, block: ResidualBlock, attention: nn.Module | None):
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, h: Tensor, embedding: Tensor, mask: Tensor | None) -> Tensor:
        h = self.block(h, embedding)
        return h if self.attention is None else self.attention(h, mask)


class Trunk(nn.Module):
    """The U: (B, channels, ...) to the same shape. Sizes need not halve evenly.

    Going down a size becomes the ceiling of its half; going up it becomes the skip's size again.

    Args:
        dimensions: 1 or 3.
        channels, multipliers, blocks, dropout: width, width factors per depth, blocks per depth.
        stride: how a step down shrinks each dimension.
        embedding: width of the embedding each block is given.
        attention: (channels, depth) to an attention module, called as (h, mask), or None.
    """

    def __init__(self, dimensions: int, channels: int, multipliers: tuple[int, ...], blocks: int, dropout: float,
                 stride: tuple[int, ...], embedding: int, attention: Callable[[int, int], nn.Module | None]):  # fmt: skip
        super().__init__()
        conv = CONVOLUTIONS[dimensions]

        def level(channels_in: int, channels_out: int, depth: int) -> Level:
            block = ResidualBlock(dimensions, channels_in, channels_out, embedding, dropout)
            return Level(block, attention(channels_out, depth))

        self.down, self.shrink, self.up, self.grow = (nn.ModuleList() for _ in range(4))
        skips, current, deepest = [channels], channels, len(multipliers) - 1
        for depth, multiplier in enumerate(multipliers):
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(level(current, multiplier * channels, depth))
                current = multiplier * channels
                skips.append(current)
            self.down.append(stage)
            if depth < deepest:
                self.shrink.append(conv(current, current, 3, stride=stride, padding=1))
                skips.append(current)
        self.middle = nn.ModuleList([level(current, current, deepest) for _ in range(2)])
        for depth in range(deepest, -1, -1):
            stage = nn.ModuleList()
            for _ in range(blocks + 1):
                stage.append(level(current + skips.pop(), multipliers[depth] * channels, depth))
                current = multipliers[depth] * channels
            self.up.append(stage)
            if depth:
                self.grow.append(conv(current, current, 3, padding=1))

    def forward(self, h: Tensor, embedding: Tensor, masks: list[Tensor] | None = None) -> Tensor:
        """h (B, C, ...), embedding (B, E), masks: per depth, which places have content (B, ...)."""
        masks = masks or [None] * len(self.down)
        skips = [h]
        for depth, stage in enumerate(self.down):
            for level in stage:
                h = level(h, embedding, masks[depth])
                skips.append(h)
            if depth < len(self.shrink):
                h = self.shrink[depth](h)
                skips.append(h)
        for level in self.middle:
            h = level(h, embedding, masks[-1])
        for step, stage in enumerate(self.up):
            for level in stage:
                h = level(torch.cat([h, skips.pop()], dim=1), embedding, masks[len(self.up) - 1 - step])
            if step < len(self.grow):
                h = self.grow[step](F.interpolate(h, size=skips[-1].shape[2:], mode="nearest"))
        return h
