"""A transformer over the places of UniMat's table that may hold an atom: empty ones cost nothing.

Most places of a UniMat grid are empty (A's discussion names this as the representation's price). With the composition
given, a crystal of n atoms is n tokens here; without it, the places of all elements in use.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalgen.generative.data.format import NULL
from crystalgen.generative.data.unimat import CELL_STD, Layout
from crystalgen.generative.nets.blocks import zero_init
from crystalgen.generative.nets.conditioning import AuxiliaryEmbedding, TimeEmbedding
from crystalgen.generative.nets.places.settings import PlacesConfig
from crystalgen.generative.nets.scores import absent, null_scores, residual, settled

PARTS = 4  # of a batch, by the number of tokens


class Block(nn.Module):
    """Attention and a feed-forward layer; the embedding scales, shifts and gates both (as in DiT, arXiv 2212.09748)."""

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.modulate = nn.Sequential(nn.SiLU(), zero_init(nn.Linear(channels, 6 * channels)))
        self.norms = nn.ModuleList([nn.LayerNorm(channels, elementwise_affine=False) for _ in range(2)])
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * channels, channels))

    def forward(self, h: Tensor, embedding: Tensor, mask: Tensor) -> Tensor:  # (B, N, C), (B, C), (B, N)
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulate(embedding)[:, None].chunk(6, dim=2)
        tokens = self.qkv(self.norms[0](h) * (1 + scale1) + shift1)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in tokens.chunk(3, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        h = h + gate1 * self.out(mixed.transpose(1, 2).flatten(2))
        return h + gate2 * self.mlp(self.norms[1](h) * (1 + scale2) + shift2)


class PlaceTransformer(nn.Module):
    """(x, t, condition) -> a tensor like x (see `data.unimat.Layout`), zero at places that hold no atom; null where they are skipped.

    Args:
        layout: of x.
        elements: atomic number at each place, (H, W), 0 where there is none.
        auxiliary: names of further conditions, see `AuxiliaryEmbedding`.
        config: width, depth and what a token is.
    """

    def __init__(self, layout: Layout, elements: Tensor, auxiliary: tuple[str, ...], config: PlacesConfig):
        super().__init__()
        channels, layers = config.channels, layout.grid[0]
        self.layout, self.per_layer, self.stacked = layout, elements.numel(), config.token == "element"
        self.register_buffer("used", (elements > 0).expand(layout.grid).clone(), persistent=False)
        depth = layers if self.stacked else 1
        self.scored, self.waves, self.skips, self.residual = config.scores, config.waves, config.skips, config.residual
        features = (3 if layout.as_token else 9) * depth
        self.time = TimeEmbedding(channels, channels)
        self.auxiliary = AuxiliaryEmbedding(auxiliary, channels)
        self.element, self.layer = nn.Embedding(self.per_layer, channels), nn.Embedding(layers, channels)
        self.enter = nn.Linear(features + 3 * depth * (config.scores + 2 * config.waves), channels)
        self.leave = zero_init(nn.Linear(channels, features))
        if layout.as_token:
            self.cell_in, self.cell_out = nn.Linear(6, channels), zero_init(nn.Linear(channels, 6))
        self.blocks = nn.ModuleList([Block(channels, config.heads, config.dropout) for _ in range(config.blocks)])
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """x (B, ...), t (B,) in [0, 1], condition as `UniMatCodec.conditions`."""
        coordinates, cell = self.layout.split(x)
        places = condition.get("places", self.used[None].expand(len(x), -1, -1, -1))  # (B, L, H, W)
        masked = torch.where(places[:, None], coordinates, NULL)
        rows = self._rows(masked if self.layout.as_token else torch.cat([masked, cell * places[:, None]], dim=1))  # (B, all, F)
        skips = self.skips and "places" not in condition  # an element that was asked for is there
        heard = places & ~absent(coordinates, t)[:, None] if skips else places
        token, mask = self._tokens(heard.any(dim=1) if self.stacked else heard)  # (B, N)
        index = token[:, :, None].expand(-1, -1, rows.shape[2])
        inputs = self._inputs(masked, rows, t)
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round positions to 0.4 % of the cell
            h = self.enter(inputs.gather(1, token[:, :, None].expand(-1, -1, inputs.shape[2])))
            h = h + self.element(token % self.per_layer) + self.layer(token // self.per_layer)
            if self.layout.as_token:
                h, mask = torch.cat([h, self.cell_in(cell)[:, None]], dim=1), F.pad(mask, (0, 1), value=True)
        h = self.norm(self._mixed(h, self.time(t) + self.auxiliary(condition), mask)).float()
        with torch.autocast(x.device.type, enabled=False):
            prediction = self.leave(h[:, : token.shape[1]]) * mask[:, : token.shape[1], None]
            found = self.cell_out(h[:, -1]) if self.layout.as_token else None
        out = self._grids(torch.zeros_like(rows, dtype=prediction.dtype).scatter_add(1, index, prediction))
        if self.residual:
            meant = (residual if "places" in condition else settled)(out[:, :3], coordinates, t)
            out = torch.cat([torch.where(heard[:, None], meant, out[:, :3]), out[:, 3:]], dim=1)
            found = None if found is None else residual(found, cell, t, CELL_STD)
        if skips:
            out = torch.where((places & ~heard)[:, None], NULL, out)
        return out if found is None else self.layout.join(out, found)

    def _mixed(self, h: Tensor, embedding: Tensor, mask: Tensor) -> Tensor:
        """h (B, N, C) through all blocks; crystals of like length together where places are skipped, each part with tokens of its own."""
        if not self.skips:
            for block in self.blocks:
                h = block(h, embedding, mask)
            return h
        out = torch.zeros_like(h)
        for part in mask.sum(dim=1).argsort().chunk(PARTS):
            kept = torch.nonzero(mask[part].any(dim=0)).flatten()
            mixed, heard = h[part][:, kept], mask[part][:, kept]
            for block in self.blocks:
                mixed = block(mixed, embedding[part], heard)
            out[part[:, None], kept] = mixed.to(out.dtype)
        return out

    def _inputs(self, coordinates: Tensor, rows: Tensor, t: Tensor) -> Tensor:
        """(B, all, F or more): the rows, with scores, and with waves of the coordinates that tell near positions apart."""
        parts = [rows]
        if self.scored:
            parts.append(self._rows(null_scores(coordinates, t)))
        for wave in range(self.waves):
            angle = 2**wave * 2 * math.pi * coordinates
            parts += [self._rows(angle.sin()), self._rows(angle.cos())]
        return torch.cat(parts, dim=2)

    def _rows(self, grids: Tensor) -> Tensor:
        """(B, C, L, H, W) to a row for each possible token: (B, L * H * W, C), or (B, H * W, L * C)."""
        if self.stacked:
            return grids.permute(0, 3, 4, 2, 1).flatten(3).flatten(1, 2)
        return grids.flatten(2).transpose(1, 2)

    def _grids(self, rows: Tensor) -> Tensor:
        """The inverse of `_rows`."""
        if self.stacked:
            layers, height, width = self.layout.grid
            return rows.unflatten(1, (height, width)).unflatten(3, (layers, -1)).permute(0, 4, 3, 1, 2)
        return rows.transpose(1, 2).unflatten(2, self.layout.grid)

    @staticmethod
    def _tokens(places: Tensor) -> tuple[Tensor, Tensor]:
        """What in each crystal may hold an atom, (B, N), N of the crystal with most, and which of them count."""
        flat = places.flatten(1)
        order = torch.argsort(~flat, dim=1, stable=True)[:, : max(1, int(flat.sum(dim=1).max()))]
        return order, flat.gather(1, order)
