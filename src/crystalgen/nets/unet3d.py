"""UniMat's 3-D U-Net over (L, H, W): convolution interleaved with attention, down over H x W, then up (A §2.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalgen.config import UNet3dConfig
from crystalgen.nets.blocks import Trunk, zero_init
from crystalgen.nets.conditioning import TimeEmbedding


class FactorisedAttention(nn.Module):
    """Attention along L at each place of the table, then over the places of the table in each layer."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels) for _ in range(2)])
        self.qkv = nn.ModuleList([nn.Linear(channels, 3 * channels) for _ in range(2)])
        self.out = nn.ModuleList([zero_init(nn.Linear(channels, channels)) for _ in range(2)])

    def forward(self, h: Tensor, held: None) -> Tensor:  # (B, C, L, H, W); every place is attended to
        batch, channels, layers, height, width = h.shape
        along = self.norms[0](h).permute(0, 3, 4, 2, 1).reshape(batch * height * width, layers, channels)
        mixed = self._attend(along, 0).view(batch, height, width, layers, channels)
        h = h + mixed.permute(0, 4, 3, 1, 2)
        across = self.norms[1](h).permute(0, 2, 3, 4, 1).reshape(batch * layers, height * width, channels)
        mixed = self._attend(across, 1).view(batch, layers, height, width, channels)
        return h + mixed.permute(0, 4, 1, 2, 3)

    def _attend(self, tokens: Tensor, which: int) -> Tensor:  # (B', N, C)
        q, k, v = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in self.qkv[which](tokens).chunk(3, dim=2))
        return self.out[which](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class UNet3d(nn.Module):
    """(x, t, condition) -> a tensor like x, (B, channels, L, H, W).

    Args:
        shape: (channels, L, H, W) of x.
        config: widths and depths.
    """

    def __init__(self, shape: tuple[int, int, int, int], config: UNet3dConfig):
        super().__init__()
        channels, width = config.channels, 4 * config.channels
        self.time = TimeEmbedding(channels, width)
        self.enter = nn.Conv3d(shape[0], channels, 3, padding=1)
        self.place = nn.Parameter(torch.randn(channels, 1, *shape[2:]) * 0.02)  # which element a place belongs to
        self.layer = nn.Parameter(torch.randn(channels, shape[1], 1, 1) * 0.02)

        def attention(channels: int, depth: int) -> FactorisedAttention:
            return FactorisedAttention(channels, config.heads)

        self.trunk = Trunk(3, channels, config.multipliers, config.blocks, config.dropout, (1, 2, 2), width, attention)
        self.leave = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), zero_init(nn.Conv3d(channels, shape[0], 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """x (B, channels, L, H, W), t (B,) in [0, 1]; nothing is conditioned on."""
        h = self.enter(x) + self.place + self.layer
        return self.leave(self.trunk(h, self.time(t)))
