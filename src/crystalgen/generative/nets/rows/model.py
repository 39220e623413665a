"""A transformer over the rows of the matrix; padding costs nothing, for no token stands for it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalgen.generative.data.format import ELEMENTS, LATTICE_ROWS, SPACE_GROUPS
from crystalgen.generative.nets.conditioning import TimeEmbedding
from crystalgen.generative.nets.rows.settings import RowsConfig

MAX_ELEMENTS = 16  # places of elements in a composition that are told apart; further ones share the last
_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)  # where each period of the table ends


class Block(nn.Module):
    """Attention with normalised queries and keys, then a gated feed-forward layer (SwiGLU), both on normalised tokens."""

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__()
        self.heads, hidden = heads, -(-8 * channels // 3 // 32) * 32
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(2)])
        self.query, self.key = nn.LayerNorm(channels // heads), nn.LayerNorm(channels // heads)
        self.qkv, self.out = nn.Linear(channels, 3 * channels, bias=False), nn.Linear(channels, channels, bias=False)
        self.gate, self.down = nn.Linear(channels, 2 * hidden, bias=False), nn.Linear(hidden, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:  # (B, N, C), (B, 1, 1, N)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norms[0](h)).chunk(3, dim=2))
        mixed = _attend(self.query(q), self.key(k), v, mask)
        h = h + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        gate, value = self.gate(self.norms[1](h)).chunk(2, dim=2)
        return h + self.dropout(self.down(F.silu(gate) * value))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return attention of (B, heads, N, channels); on a CPU in single precision, whose kernel is eight times as fast as that of bf16."""
    if v.device.type != "cpu":
        return F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask).to(v.dtype)


class RowTransformer(nn.Module):
    """(x, t, condition) -> a tensor like x, (B, rows, 3), or with several `outputs` (B, rows, 3, outputs).

    Values of x that are NaN are hidden. Between the atoms, which come first, and the lattice there may be any number of rows of
    padding, also none; the answer there is zero. Space group 0 is an unknown one.

    Args:
        rows: of the longest matrix, which bounds the number of atoms.
        config: width, depth and inputs.
        energy: the condition that its energy is, `energy` or, for modification, `energy_difference`.
        outputs: numbers for each value.
    """

    trims = True  # crystals of a length together are cheaper than mixed ones

    def __init__(self, rows: int, config: RowsConfig, energy: str = "energy", outputs: int = 1):
        super().__init__()
        channels = config.channels
        self.config, self.energy_name, self.outputs = config, energy, outputs
        self.register_buffer("table", torch.tensor([_place(z) for z in range(ELEMENTS)]), persistent=False)  # (119, 2)
        self.element, self.period, self.group = (nn.Embedding(n, channels) for n in (ELEMENTS, 8, 19))
        self.place = nn.Embedding(MAX_ELEMENTS, channels)
        self.rank = nn.Embedding(rows, channels) if config.rank else None
        self.lattice = nn.Embedding(LATTICE_ROWS, channels)
        self.count, self.space_group = nn.Embedding(rows, channels), nn.Embedding(SPACE_GROUPS, channels)
        self.energy = nn.Linear(2, channels)
        self.time = TimeEmbedding(channels, channels)
        sources = 2 if config.start else 1
        self.enter_atoms = nn.Linear(sources * 3 * (1 + 2 * config.waves), channels)
        self.enter_lattice = nn.Linear(sources * 3 * 2, channels)
        self.blocks = nn.ModuleList([Block(channels, config.heads, config.dropout) for _ in range(config.blocks)])
        self.norm = nn.LayerNorm(channels)
        self.leave_atoms, self.leave_lattice = (nn.Linear(channels, 3 * outputs) for _ in range(2))
        self._initialise()

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """x (B, rows, 3), t (B,) in [0, 1], condition as `MatrixData.condition`."""
        present = condition["atomic_numbers"] > 0
        atoms = int(present.sum(dim=1).max())
        numbers, present, padding = condition["atomic_numbers"][:, :atoms], present[:, :atoms], x.shape[1] - LATTICE_ROWS - atoms
        sources = [x, condition.get("start", torch.full_like(x, math.nan))] if self.config.start else [x]
        coordinates = torch.cat([self._waves(source[:, :atoms]) for source in sources], dim=2)
        lattice = torch.cat([self._plain(source[:, -LATTICE_ROWS:]) for source in sources], dim=2)
        h = torch.cat([
            self._whole(condition, present)[:, None],
            self.enter_lattice(lattice) + self.lattice.weight,
            self.enter_atoms(coordinates) + self._atoms(numbers),
        ], dim=1) + self.time(t)[:, None]  # fmt: skip
        mask = None if present.all() else F.pad(present, (1 + LATTICE_ROWS, 0), value=True)[:, None, None]
        for block in self.blocks:
            h = block(h, mask)
        h = self.norm(h)
        out_atoms = self.leave_atoms(h[:, 1 + LATTICE_ROWS :])
        if mask is not None:
            out_atoms = out_atoms * present[..., None]
        out = torch.cat([F.pad(out_atoms, (0, 0, 0, padding)), self.leave_lattice(h[:, 1 : 1 + LATTICE_ROWS])], dim=1)
        return out if self.outputs == 1 else out.unflatten(2, (3, self.outputs))

    def _whole(self, condition: dict[str, Tensor], present: Tensor) -> Tensor:
        """The token of the crystal as a whole, (B, C)."""
        known = condition[f"{self.energy_name}_known"].float()
        energy = self.energy(torch.stack([condition[self.energy_name] * known, known], dim=1))
        return self.count(present.sum(dim=1)) + self.space_group(condition["space_group"]) + energy

    def _atoms(self, numbers: Tensor) -> Tensor:
        """What stands in the composition, (B, atoms, C)."""
        rank, place = ranks(numbers)
        period, group = self.table[numbers].unbind(dim=2)
        h = self.element(numbers) + self.period(period) + self.group(group) + self.place(place.clamp(max=MAX_ELEMENTS - 1))
        return h if self.rank is None else h + self.rank(rank)

    def _waves(self, coordinates: Tensor) -> Tensor:
        """Sines and cosines of coordinates (B, atoms, 3), zero where hidden, and which are hidden."""
        hidden = coordinates.isnan()
        shown = torch.where(hidden, 0.0, coordinates)
        angles = [2 * math.pi * 2**wave * shown for wave in range(self.config.waves)]
        waves = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=2)
        return torch.cat([waves * ~hidden.repeat(1, 1, 2 * self.config.waves), hidden.float()], dim=2)

    @staticmethod
    def _plain(lattice: Tensor) -> Tensor:
        hidden = lattice.isnan()
        return torch.cat([torch.where(hidden, 0.0, lattice), hidden.float()], dim=2)

    def _initialise(self) -> None:
        """Draw weights of spread 1 / sqrt(inputs), smaller where blocks add to the tokens, and zeros where the network answers."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.3)
        for block in self.blocks:
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=(layer.in_features * 2 * len(self.blocks)) ** -0.5)
        for leave in (self.leave_atoms, self.leave_lattice):
            nn.init.zeros_(leave.weight)


def ranks(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return of atomic numbers (B, atoms) each atom's place among those of its element, and its element's among the elements."""
    same = numbers[:, :, None] == numbers[:, None, :]
    rank = same.tril(-1).sum(dim=2)
    elements = (rank == 0).cumsum(dim=1) - 1
    return rank, elements.gather(1, same.int().argmax(dim=2))


def _place(z: int) -> tuple[int, int]:
    """Period and group of an atomic number; group 3 for lanthanides and actinides, (0, 0) for no atom."""
    if z == 0:
        return 0, 0
    period = next(p for p, last in enumerate(_NOBLE) if z <= last)
    column = z - _NOBLE[period - 1]
    return period, column if column <= 2 and z != 2 else max(3, 18 - (_NOBLE[period] - z))
