"""UniMat's 3-D U-Net over (L, H, W): convolution interleaved with attention, down over H x W, then up (A §2.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalgen.generative.data.format import NULL
from crystalgen.generative.data.unimat import Layout
from crystalgen.generative.nets.blocks import Trunk, zero_init
from crystalgen.generative.nets.conditioning import AuxiliaryEmbedding, TimeEmbedding
from crystalgen.generative.nets.scores import null_scores
from crystalgen.generative.nets.unet3d.settings import UNet3dConfig


class FactorisedAttention(nn.Module):
    """Attention along L at each place of the table, then over the places of the table in each layer."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels) for _ in range(2)])
        self.qkv = nn.ModuleList([nn.Linear(channels, 3 * channels) for _ in range(2)])
        self.out = nn.ModuleList([zero_init(nn.Linear(channels, channels)) for _ in range(2)])

    def forward(self, h: Tensor, mask: None) -> Tensor:  # (B, C, L, H, W); every place is attended to
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
    """(x, t, condition) -> a tensor like x (see `data.unimat.Layout`).

    Which places may hold an atom, where it is conditioned on, is one more input channel (A §2.2); x is set to the null
    atom elsewhere, and where the table has no element, since what is known needs no noise.

    Args:
        layout: of x.
        elements: atomic number at each place, (H, W), 0 where there is none.
        composed: whether the condition says which places may hold an atom.
        auxiliary: names of further conditions, see `AuxiliaryEmbedding`.
        config: widths and depths.
    """

    def __init__(self, layout: Layout, elements: Tensor, composed: bool, auxiliary: tuple[str, ...], config: UNet3dConfig):
        super().__init__()
        channels, width = config.channels, 4 * config.channels
        self.layout, self.composed = layout, composed
        self.register_buffer("used", (elements > 0).expand(1, *layout.grid).clone(), persistent=False)
        self.time = TimeEmbedding(channels, width)
        self.auxiliary = AuxiliaryEmbedding(auxiliary, width)
        cell = 0 if layout.as_token else 6
        self.scored = config.scores
        self.enter = nn.Conv3d(3 + cell + (3 if config.scores else 0) + composed, channels, 3, padding=1)
        self.place = nn.Parameter(torch.randn(channels, 1, *layout.grid[1:]) * 0.02)  # which element a place belongs to
        self.layer = nn.Parameter(torch.randn(channels, layout.grid[0], 1, 1) * 0.02)

        def attention(channels: int, depth: int) -> FactorisedAttention:
            return FactorisedAttention(channels, channels // config.head_channels if config.head_channels else config.heads)

        stride = (1, config.stride, config.stride)
        self.trunk = Trunk(3, channels, config.multipliers, config.blocks, config.dropout, stride, width, attention)
        self.leave = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), zero_init(nn.Conv3d(channels, 3 + cell, 3, padding=1)))
        if layout.as_token:
            self.cell_in = nn.Sequential(nn.Linear(6, width), nn.SiLU(), nn.Linear(width, width))
            self.cell_out = nn.Sequential(nn.Linear(channels + width, width), nn.SiLU(), zero_init(nn.Linear(width, 6)))

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """x (B, ...), t (B,) in [0, 1], condition as `UniMatCodec.conditions`."""
        coordinates, cell = self.layout.split(x)
        embedding = self.time(t) + self.auxiliary(condition)  # (B, E)
        places = condition.get("places", self.used)[:, None]  # (B or 1, 1, L, H, W)
        parts = [torch.where(places, coordinates, NULL)]
        if not self.layout.as_token:
            parts.append(torch.where(places, cell, 0.0))
        if self.scored:
            parts.append(null_scores(parts[0], t))
        if self.composed:
            parts.append(places.to(x.dtype))
        if self.layout.as_token:
            embedding = embedding + self.cell_in(cell)
        h = self.trunk(self.enter(torch.cat(parts, dim=1)) + self.place + self.layer, embedding)  # (B, C, L, H, W)
        out = self.leave(h)
        if self.layout.as_token:
            return self.layout.join(out, self.cell_out(torch.cat([h.mean(dim=(2, 3, 4)), embedding], dim=1)))
        return out
