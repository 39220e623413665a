"""A training job's data: a file of tensors, scaled for a network and unscaled after sampling. Torch only."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

UNIFORM_STD = 12**-0.5  # of U(0, 1): scaled lattices get its mean and spread, whatever the prior
CELL_STD = 1 / 3  # of UniMat's scaled cells: with coordinates in [-1, 1), three deviations stay in [-1, 1]
TRAIN, VAL, TEST = 0, 1, 2


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
    """Matrix crystals; see `represent.tensors.matrix_tensors` for the file."""

    def __init__(self, path: Path):
        self.tensors = load_file(path)
        t = self.tensors
        self.size = (t["nsites"].double() ** (1 / 3)).float()[:, None, None]
        self.x = t["x"].clone()
        self.x[:, -3:] = (t["x"][:, -3:] / self.size - t["lattice_mean"]) / t["lattice_std"] * UNIFORM_STD + 0.5
        held = (t["atomic_numbers"] > 0).float()
        atoms = held / t["nsites"][:, None]
        # Atoms together and lattice together weigh the same in every crystal; padding weighs nothing.
        self.weight = atoms[:, :, None].repeat(1, 1, 3)
        self.weight[:, -3:] = 1 / 3
        self.energy = (t["energy"] - t["energy_mean"]) / t["energy_std"]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, 3)."""
        return tuple(self.x.shape[1:])

    def rows(self, split: int) -> Tensor:
        """Row numbers of a split, int64."""
        return torch.nonzero(self.tensors["split"] == split).flatten()

    def batch(self, rows: Tensor) -> Batch:
        """The crystals of the given rows."""
        return Batch(self.x[rows], self.weight[rows], self.condition(rows))

    def condition(self, rows: Tensor) -> dict[str, Tensor]:
        """atomic_numbers (B, rows), space_group (B,), energy (B,) standardised."""
        t = self.tensors
        return {"atomic_numbers": t["atomic_numbers"][rows].long(), "space_group": t["space_group"][rows], "energy": self.energy[rows]}

    def unscale(self, x: Tensor, rows: Tensor) -> Tensor:
        """Samples for the given rows' conditions back to fractional coordinates and lattice vectors in Å."""
        t, result = self.tensors, x.clone()
        result[:, -3:] = ((x[:, -3:] - 0.5) / UNIFORM_STD * t["lattice_std"] + t["lattice_mean"]) * self.size[rows]
        return result


class UniMatData:
    """UniMat crystals; see `represent.tensors.unimat_tensors` for the file."""

    COORDINATES, CELL = slice(0, 3), slice(3, 9)

    def __init__(self, path: Path):
        self.tensors = load_file(path)
        t = self.tensors
        self.x = t["x"].clone()
        self.x[:, self.CELL] = (t["x"][:, self.CELL] - self._cell("mean")) / self._cell("std") * CELL_STD

    def _cell(self, name: str) -> Tensor:
        return self.tensors[f"cell_{name}"][:, None, None, None]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(channels, L, H, W)."""
        return tuple(self.x.shape[1:])

    def rows(self, split: int) -> Tensor:
        """Row numbers of a split, int64."""
        return torch.nonzero(self.tensors["split"] == split).flatten()

    def batch(self, rows: Tensor) -> Batch:
        """The crystals of the given rows; every place counts, since a null atom is information too."""
        x = self.x[rows]
        return Batch(x, torch.ones(1), {})

    def unscale(self, x: Tensor) -> Tensor:
        """Samples back to fractional coordinates, Å and degrees."""
        result = x.clone()
        result[:, self.CELL] = x[:, self.CELL] / CELL_STD * self._cell("std") + self._cell("mean")
        return result


def load_data(representation: str, path: Path) -> MatrixData | UniMatData:
    """The data set of a representation, `matrix` or `unimat`."""
    return {"matrix": MatrixData, "unimat": UniMatData}[representation](path)
