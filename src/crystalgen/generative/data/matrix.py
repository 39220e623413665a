"""The matrix representation: between crystals and what a network sees, and a training job's data. Torch only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crystalgen.generative.data.conditions import Seen, encode_properties
from crystalgen.generative.data.files import read_tensors
from crystalgen.generative.data.format import EXTRA_ROWS, LATTICE_ROWS, TABLES, TRAIN
from crystalgen.generative.data.scales import Scales
from crystalgen.generative.torus import UNIFORM_STD

ORBITS = ("orbit", "fixed")
PERMUTED_SHARE = 0.5  # of training crystals whose atoms change their order within an element


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    x: the crystals, scaled (B, ...).
    weight: same shape as x or broadcastable; 0 where a value means nothing (padding).
    condition: tensors (B, ...) that the network is given beside x and t.
    """

    x: Tensor
    weight: Tensor
    condition: dict[str, Tensor]

    def to(self, device) -> "Batch":
        """Return the batch on another device."""
        return Batch(self.x.to(device), self.weight.to(device), {k: v.to(device) for k, v in self.condition.items()})


class MatrixCodec:
    """Between matrices and what a network sees, and what it can be asked.

    tensors: the tables of `data.format.TABLES`, and rows (1,) of a matrix.
    energy: the condition that the network's energy is, `energy` or, for modification, `energy_difference`.
    """

    representation = "matrix"

    def __init__(self, tensors: dict[str, Tensor], seen: Seen, energy: str = "energy"):
        self.tensors, self.seen, self.energy = tensors, seen, energy
        self.scales = Scales(tensors)

    @classmethod
    def of_file(cls, tensors: dict[str, Tensor], energy: str = "energy") -> "MatrixCodec":
        """Take from a file of tensors what does not belong to single crystals."""
        rows = tensors["x"].shape[1]
        seen = Seen.count(tensors["atomic_numbers"], tensors["space_group"], tensors["split"], rows - EXTRA_ROWS)
        return cls({name: tensors[name] for name in TABLES["matrix"]} | {"rows": torch.tensor([rows])}, seen, energy)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, 3)."""
        return int(self.tensors["rows"]), 3

    def scale(self, x: Tensor, nsites: Tensor) -> Tensor:
        """Standardise lattices of matrices (n, rows, 3), per edge of a cell of that many sites."""
        scaled = x.clone()
        scaled[:, -LATTICE_ROWS:] = self.scales.standardise("lattice", x[:, -LATTICE_ROWS:] / _cell_size(nsites)) * UNIFORM_STD + 0.5
        return scaled

    def unscale(self, x: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """Undo `scale`; the condition's atomic_numbers (n, rows) give the number of sites."""
        result = x.clone()
        lattice = self.scales.unstandardise("lattice", (x[:, -LATTICE_ROWS:] - 0.5) / UNIFORM_STD)
        result[:, -LATTICE_ROWS:] = lattice * _cell_size((condition["atomic_numbers"] > 0).sum(dim=1))
        return result

    def conditions(self, atomic_numbers: Tensor, space_group: Tensor, energy: Tensor) -> dict[str, Tensor]:
        """Encode atomic numbers (n, rows), space groups (n,) and energies (n,), eV/atom.

        Returns atomic_numbers and space_group as int64, energy standardised and its mask, see `encode_properties`.
        """
        encoded = encode_properties(("formation_energy_per_atom",), {"formation_energy_per_atom": energy}, self.scales)
        return {"atomic_numbers": atomic_numbers.long(), "space_group": space_group.long(), **encoded}

    def check(self, numbers: Sequence[int], space_group: int | None = None, which: str = "the request") -> None:
        """Refuse what no training crystal had, see `Seen.check`."""
        self.seen.check(numbers, space_group, which)

    def request(
        self, numbers: Sequence[Sequence[int]], properties: dict[str, Tensor], which: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Encode a request of one's own.

        Args:
            numbers: atomic numbers of each cell's atoms, in canonical order.
            properties: space_group and formation_energy_per_atom (eV), each (n,).
            which: what an error calls each.

        Raises:
            ValueError: see `check`; or the model is one of modification.
        """
        if self.energy != "energy":
            raise ValueError("a model that modifies crystals is asked with the crystals to modify; expected one of generation")
        padded = torch.zeros(len(numbers), self.shape[0], dtype=torch.long)
        for i, (atoms, group) in enumerate(zip(numbers, properties["space_group"], strict=True)):
            self.check(atoms, int(group) or None, which[i] if which else f"condition {i}")
            padded[i, : len(atoms)] = torch.as_tensor(atoms).long()
        return self.conditions(padded, properties["space_group"], properties["formation_energy_per_atom"])


class CrystalData:
    """What data sets share: an item is a crystal of the file's `tensors`."""

    tensors: dict[str, Tensor]

    def items(self, split: int) -> Tensor:
        """Return the items of a split in a fixed order, int64: row numbers (n,)."""
        return torch.nonzero(self.tensors["split"] == split).flatten()

    def epoch(self, generator: torch.Generator) -> Tensor:
        """Return the training items of one epoch in random order; always as many."""
        items = self.items(TRAIN)
        return items[torch.randperm(len(items), generator=generator)]


class MatrixData(CrystalData):
    """Matrix crystals, one item per crystal; see `data.format` for the file."""

    energy = "energy"

    def __init__(self, path: Path, augment: Sequence[str] = (), trim: bool = False):
        self.augment, self.trim = augment, trim
        self.tensors = t = read_tensors(path, "matrix")
        self.codec = MatrixCodec.of_file(t, self.energy)
        self.x = self.codec.scale(t["x"], t["nsites"])
        self.template = self.codec.scale(t["template"], t["nsites"]) if "template" in t else None
        # Atoms together and lattice together weigh the same in every crystal; padding weighs nothing.
        self.weight = ((t["atomic_numbers"] > 0).float() / t["nsites"][:, None])[:, :, None].repeat(1, 1, 3)
        self.weight[:, -LATTICE_ROWS:] = 1 / LATTICE_ROWS

    def targets(self, items: Tensor) -> Tensor:
        """Return row numbers (n,), in the study's table, of the crystals that a network should give for the items."""
        return items

    def lengths(self, items: Tensor) -> Tensor:
        """Return the number of atoms of each item, (n,)."""
        return self.tensors["nsites"][self.targets(items)].long()

    def batch(self, items: Tensor, generator: torch.Generator | None = None) -> Batch:
        """Return the crystals of the items; with a generator, described anew as `augment` says; with `trim`, without common padding."""
        rows, condition = self.targets(items), self.condition(items)
        x, weight = self.x[rows], self.weight[rows]
        if generator is not None and "order" in self.augment:
            order = reordered(condition["atomic_numbers"], generator)[..., None].expand_as(x)
            x = x.gather(1, order)
            condition |= {"start": condition["start"].gather(1, order)} if "start" in condition else {}
            condition |= {name: condition[name].gather(1, order[..., 0]) for name in ORBITS if name in condition}
        if not self.trim:
            return Batch(x, weight, condition)
        longest = int(self.lengths(items).max())
        kept = torch.cat([torch.arange(longest), torch.arange(x.shape[1] - LATTICE_ROWS, x.shape[1])])
        condition |= {name: condition[name][:, kept] for name in ("atomic_numbers", "start", *ORBITS) if name in condition}
        return Batch(x[:, kept], weight[:, kept], condition)

    def condition(self, items: Tensor) -> dict[str, Tensor]:
        """Return what a network is told of the items, see `MatrixCodec.conditions`; where the file has them, a template as `start`.

        Orbits, where the file has them, are for an objective.
        """
        t = self.tensors
        told = self.codec.conditions(t["atomic_numbers"][items], t["space_group"][items], t["energy"][items])
        told |= {name: t[name][items] for name in ORBITS if name in t}
        return told | ({"start": self.template[items]} if self.template is not None else {})


def reordered(numbers: Tensor, generator: torch.Generator) -> Tensor:
    """Return rows of matrices in another order, (n, rows): in a share of them the atoms of an element change places, equally likely.

    numbers: (n, rows), atoms of an element one after the other.
    """
    u = torch.rand(numbers.shape, generator=generator)
    changed = torch.rand(len(numbers), 1, generator=generator) < PERMUTED_SHARE
    row = torch.arange(numbers.shape[1]).expand_as(numbers)
    first = (numbers[:, :, None] == numbers[:, None, :]).int().argmax(dim=2)
    return torch.where(changed & (numbers > 0), first + u.clamp(max=0.999), row).argsort(dim=1, stable=True)


def _cell_size(nsites: Tensor) -> Tensor:
    """Return the edge of a cell of that many sites of 1 Å^3 each, (n, 1, 1)."""
    return (nsites.double() ** (1 / 3)).float()[:, None, None]
