"""A training job's data: a file of tensors, scaled for a network and unscaled after sampling. Torch only."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

UNIFORM_STD = 12**-0.5  # of U(0, 1): scaled lattices get its mean and spread, whatever the prior
LATTICE_ROWS = 3  # the last rows of a matrix; above them stand fractional coordinates
TRAIN, VAL, TEST, HELD_OUT = 0, 1, 2, 3


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
        """The batch on another device."""
        return Batch(self.x.to(device), self.weight.to(device), {k: v.to(device) for k, v in self.condition.items()})


class MatrixData:
    """Matrix crystals, one item per crystal; see `represent.tensors.matrix_tensors` for the file."""

    def __init__(self, path: Path):
        self.tensors = load_file(path)
        t = self.tensors
        self.x = t["x"].clone()
        self.x[:, -LATTICE_ROWS:] = self._standardised(t["x"][:, -LATTICE_ROWS:], t["nsites"])
        held = (t["atomic_numbers"] > 0).float()
        atoms = held / t["nsites"][:, None]
        # Atoms together and lattice together weigh the same in every crystal; padding weighs nothing.
        self.weight = atoms[:, :, None].repeat(1, 1, 3)
        self.weight[:, -LATTICE_ROWS:] = 1 / LATTICE_ROWS

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, 3)."""
        return tuple(self.x.shape[1:])

    def items(self, split: int) -> Tensor:
        """Items of a split in a fixed order, int64: row numbers (n,)."""
        return torch.nonzero(self.tensors["split"] == split).flatten()

    def epoch(self, generator: torch.Generator) -> Tensor:
        """The training items of one epoch in random order; always as many."""
        return shuffled(self.items(TRAIN), generator)

    def targets(self, items: Tensor) -> Tensor:
        """Row numbers (n,) of the crystals that a network should give for the items."""
        return items

    def batch(self, items: Tensor, generator: torch.Generator | None = None) -> Batch:
        """The crystals of the given items; with a generator, which training gives, as `unimat_data.UniMatData` augments them."""
        rows = self.targets(items)
        return Batch(self.x[rows], self.weight[rows], self.condition(items))

    def condition(self, items: Tensor) -> dict[str, Tensor]:
        """What is asked for: see `conditions`."""
        t = self.tensors
        return self.conditions(t["atomic_numbers"][items], t["space_group"][items], t["energy"][items])

    def conditions(self, atomic_numbers: Tensor, space_group: Tensor, energy: Tensor) -> dict[str, Tensor]:
        """Conditions from atomic numbers (n, rows), space groups (n,) and energies (n,) in eV/atom, of the data or one's own.

        Returns atomic_numbers and space_group as int64, energy standardised, energy_known (n,) all True.
        """
        return {
            "atomic_numbers": atomic_numbers.long(),
            "space_group": space_group.long(),
            "energy": (energy - self.tensors["energy_mean"]) / self.tensors["energy_std"],
            "energy_known": torch.ones(len(energy), dtype=torch.bool),
        }

    def unscale(self, x: Tensor, atomic_numbers: Tensor) -> Tensor:
        """Samples back to fractional coordinates and lattice vectors in Å; atomic_numbers (n, rows) give the number of sites."""
        t, result = self.tensors, x.clone()
        size = _cell_size((atomic_numbers > 0).sum(dim=1))
        result[:, -LATTICE_ROWS:] = ((x[:, -LATTICE_ROWS:] - 0.5) / UNIFORM_STD * t["lattice_std"] + t["lattice_mean"]) * size
        return result

    def _standardised(self, lattice: Tensor, nsites: Tensor) -> Tensor:
        t = self.tensors
        return (lattice / _cell_size(nsites) - t["lattice_mean"]) / t["lattice_std"] * UNIFORM_STD + 0.5


def _cell_size(nsites: Tensor) -> Tensor:
    """Edge of a cell of that many sites of 1 Å^3 each, (n, 1, 1)."""
    return (nsites.double() ** (1 / 3)).float()[:, None, None]


def shuffled(items: Tensor, generator: torch.Generator) -> Tensor:
    """The items in random order."""
    return items[torch.randperm(len(items), generator=generator)]
