"""A transformer over the sites of a candidate crystal that knows distances only, with heads that score it and that correct it.

Attention is biased, and messages are weighted, by sums over neighbours (`neighbours.pair_features`), so that scores do not depend on
the setting of the cell, and corrections turn with the crystal and keep its symmetry. Torch only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crystalgen.corrector.neighbours import RADIAL
from crystalgen.generative.nets.blocks import zero_init

_FAR = 5.0  # standard deviations of a fact, beyond which it counts as this far


class Block(nn.Module):
    """One pre-LN layer: attention among sites and a sum over neighbours, then a gated feed-forward network."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(2 * width, width)
        self.bias = nn.Linear(RADIAL, 2 * heads)
        self.enter, self.leave = nn.Linear(width, 4 * width), nn.Linear(2 * width, width)

    def forward(self, h: Tensor, radial: Tensor) -> Tensor:
        """h (B, n, width), radial (B, n, n, RADIAL)."""
        q, k, v = self.qkv(self.norms[0](h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias, near = self.bias(radial).permute(0, 3, 1, 2).chunk(2, dim=1)
        attention = torch.baddbmm(bias.flatten(0, 1), q.flatten(0, 1), k.flatten(0, 1).mT, alpha=q.shape[-1] ** -0.5).softmax(dim=-1)
        mixed = torch.cat([attention, near.flatten(0, 1)], dim=1) @ v.flatten(0, 1)  # both sums at once, (B * heads, 2 n, width / heads)
        mixed = mixed.view(len(h), self.heads, 2, h.shape[1], -1).permute(0, 3, 2, 1, 4).flatten(2)
        h = h + self.out(mixed)
        value, gate = self.enter(self.norms[1](h)).chunk(2, dim=2)
        return h + self.leave(value * F.silu(gate))


class SiteTransformer(nn.Module):
    """Candidates to vectors of their sites, (B, n, width).

    Args:
        elements: fixed descriptors of elements by atomic number, (120, e).
        facts: how many numbers describe a candidate as a whole.
    """

    def __init__(self, elements: Tensor, facts: int, width: int, blocks: int, heads: int, dropout: float):
        super().__init__()
        self.register_buffer("elements", elements, persistent=False)
        self.embed = nn.Embedding(len(elements), width)
        self.describe = nn.Linear(elements.shape[1], width)
        self.join = nn.Linear(4 * width, width)
        self.facts = nn.Sequential(nn.Linear(facts, 2 * width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * width, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(blocks)])
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        nn.init.normal_(self.embed.weight, std=0.1)

    def forward(self, roles: Tensor, asked: Tensor, before: Tensor, shares: Tensor, radial: Tensor, facts: Tensor) -> Tensor:
        """Describe the sites of candidates.

        Args:
            roles: (B, n), which of the species each site has. asked: (B, s), the request's element of each species. before: (B, m, s),
            those that the template and the next members of its arrangement have in its place. shares: (B, m), weights of the members.
            radial: (B, n, n, RADIAL). facts: (B, f).
        """
        table = self.embed.weight + self.describe(self.elements)
        new, old = table[asked], table[before]
        weights = (shares / shares.sum(dim=1, keepdim=True))[:, None]  # (B, 1, m)
        mean = (weights @ old.flatten(2)).view_as(new)
        spread = (weights @ (old * old).flatten(2)).view_as(new) - mean * mean
        species = self.join(torch.cat([new, old[:, 0] - new, mean - new, spread], dim=2)) + self.facts(facts)[:, None]
        species = self.dropout(species)
        h = species.gather(1, roles[:, :, None].expand(-1, -1, species.shape[2]))
        for block in self.blocks:
            h = block(h, radial)
        return self.norm(h)


class Scorer(nn.Module):
    """Logits of being what was asked for, of the candidates of each request beside each other, and of none being it.

    scale: (2, f), mean and spread of the facts.
    """

    def __init__(self, trunk: SiteTransformer, scale: Tensor, width: int, dropout: float):
        super().__init__()
        self.register_buffer("scale", scale.clone())
        self.trunk = trunk
        self.pool = nn.Linear(2 * width + scale.shape[1], width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, F.gelu, batch_first=True, norm_first=True)
        self.compare = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.none = nn.Parameter(torch.zeros(width))
        self.score = nn.Linear(width, 1)

    def forward(self, roles: Tensor, asked: Tensor, before: Tensor, shares: Tensor, radial: Tensor, facts: Tensor, real: Tensor) -> Tensor:
        """Return (q, k + 1); the last is that of none. roles (q, k, n) and so on, real (q, k) where a candidate is one."""
        q, k, n = roles.shape
        facts = ((facts - self.scale[0]) / self.scale[1]).clamp(-_FAR, _FAR)
        h = self.trunk(*(x.flatten(0, 1) for x in (roles, asked, before, shares, radial, facts))).view(q, k, n, -1)
        pooled = torch.cat([h.mean(dim=2), h.amax(dim=2), facts], dim=2)
        c = torch.cat([self.pool(pooled), self.none.expand(q, 1, -1)], dim=1)
        missing = F.pad(~real, (0, 1), value=False)
        logits = self.score(self.compare(c, src_key_padding_mask=missing)).squeeze(2)
        return logits.masked_fill(missing, -1e4)


class Corrector(nn.Module):
    """Shifts of sites and a strain of the cell that take a template to what was asked for.

    Both are sums over neighbours of directions from site to site with weights that the network learns, so that they turn with the
    crystal, and sites that its symmetry makes equal stay so.
    """

    def __init__(self, trunk: SiteTransformer, width: int):
        super().__init__()
        self.trunk = trunk
        self.one, self.other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.near = nn.Linear(RADIAL, width, bias=False)
        self.shift, self.strain = zero_init(nn.Linear(width, RADIAL)), zero_init(nn.Linear(width, RADIAL))

    def forward(self, roles: Tensor, asked: Tensor, before: Tensor, shares: Tensor, radial: Tensor, facts: Tensor, directions: Tensor,
                tensors: Tensor) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Correct a batch of templates.

        Args:
            roles to facts: see `SiteTransformer`. directions, tensors: (B, n, n, RADIAL, 3) and (..., 3, 3), see `pair_features`.

        Returns:
            shifts (B, n, 3), Cartesian, in units of (volume / sites)^(1/3), of mean zero; and the logarithm of the strain (B, 3, 3),
            symmetric, of trace zero: the cell keeps its volume.
        """
        h = self.trunk(roles, asked, before, shares, radial, facts)
        pair = F.silu(self.one(h)[:, :, None] + self.other(h)[:, None] + self.near(radial))
        shift = torch.einsum("bijr,bijrx->bix", self.shift(pair).to(directions.dtype), directions)
        strain = torch.einsum("bijr,bijrxy->bxy", self.strain(pair).to(tensors.dtype), tensors) / h.shape[1]
        strain = strain - torch.eye(3).to(strain) * strain.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
        return shift - shift.mean(dim=1, keepdim=True), strain
