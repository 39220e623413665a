"""B's pairs of polymorphs, a less stable crystal and what it should become (B §2.2). Torch only."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from crystalgen.generative.data.format import TRAIN
from crystalgen.generative.data.matrix import MatrixData


class PairData(MatrixData):
    """Matrix crystals in pairs; an item is (row of the initial crystal, row of the target), of one formula.

    The polymorphs S_0, S_1, ... of a formula stand in order of energy. Lowest-energy pairs (S_i, S_0) are what is
    validated and tested; an epoch of training has as many of them as of other pairs (S_i, S_j), i > j > 0.
    """

    energy = "energy_difference"

    def __init__(self, path: Path, per_group: int, augment: Sequence[str] = (), trim: bool = False):
        super().__init__(path, augment, trim)
        self.per_group = per_group
        t = self.tensors
        if unknown := int(t["energy"].isnan().sum()):
            raise ValueError(f"{path}: {unknown} crystals have no formation energy; pairs of polymorphs need one of each")
        order = torch.argsort(t["energy"], stable=True)
        self.order = order[torch.argsort(t["group"][order], stable=True)]  # rows by group, then by energy
        _, sizes = torch.unique_consecutive(t["group"][self.order], return_counts=True)
        self.first = sizes.cumsum(0) - sizes  # where each group begins in `order`
        self.sizes = sizes
        self.split_of_group = t["split"][self.order[self.first]]

    def items(self, split: int) -> Tensor:
        """Return all lowest-energy pairs of a split, (n, 2)."""
        groups = torch.nonzero(self.split_of_group == split).flatten()
        counts = self.sizes[groups] - 1
        begin = torch.repeat_interleave(self.first[groups], counts)
        rank = torch.arange(len(begin)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts) + 1
        return torch.stack([self.order[begin + rank], self.order[begin]], dim=1)

    def epoch(self, generator: torch.Generator) -> Tensor:
        """Draw pairs anew: equal numbers of both kinds, at most `per_group` of each from a formula; (n, 2), shuffled."""
        groups = torch.nonzero(self.split_of_group == TRAIN).flatten()
        others = (self.sizes[groups] - 1) * (self.sizes[groups] - 2) // 2  # pairs i > j > 0
        drawn = torch.minimum(self.sizes[groups] - 1, others).clamp(max=self.per_group)
        group = torch.repeat_interleave(groups, drawn)
        begin = self.first[group]
        number = torch.arange(len(group)) - torch.repeat_interleave(drawn.cumsum(0) - drawn, drawn)
        share = torch.repeat_interleave(drawn, drawn)

        def draw(choices: Tensor) -> Tensor:
            """Draw one choice from each of `share` parts of them, turned by a draw per formula: distinct, each equally likely."""
            begin, end = number * choices // share, (number + 1) * choices // share
            u = torch.rand(len(choices), generator=generator, dtype=torch.float64)
            turn = torch.rand(len(self.sizes), generator=generator, dtype=torch.float64)[group]
            return (begin + (u * (end - begin)).long() + (turn * choices).long()) % choices

        lowest = torch.stack([begin + 1 + draw(self.sizes[group] - 1), begin], dim=1)
        i, j = _triangular(draw(torch.repeat_interleave(others, drawn)))
        pairs = torch.cat([lowest, torch.stack([begin + i, begin + j], dim=1)])
        return self.order[pairs[torch.randperm(len(pairs), generator=generator)]]

    def targets(self, items: Tensor) -> Tensor:
        """See `MatrixData`."""
        return items[:, 1]

    def condition(self, items: Tensor) -> dict[str, Tensor]:
        """As `MatrixCodec.conditions` of the targets, with energy_difference for energy, and start.

        The difference is E_target - E_initial over the spread of energies, start (n, rows, 3) the scaled initial crystal.
        """
        t, (initial, target) = self.tensors, items.unbind(dim=1)
        told = self.codec.conditions(t["atomic_numbers"][target], t["space_group"][target], t["energy"][target])
        return {
            "atomic_numbers": told["atomic_numbers"],
            "space_group": told["space_group"],
            "energy_difference": (t["energy"][target] - t["energy"][initial]) / self.codec.scales.spread("energy"),
            "energy_difference_known": told["energy_known"],
            "start": self.x[initial],
        }


def _triangular(number: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pair i > j > 0 of each number: (2, 1), (3, 1), (3, 2), (4, 1) ..."""
    row = ((1 + torch.sqrt(1 + 8 * number.double())) / 2).floor().long()  # numbers before row r: r (r - 1) / 2
    row -= (row * (row - 1) // 2 > number).long()  # where the root was rounded up
    return row + 1, number - row * (row - 1) // 2 + 1
