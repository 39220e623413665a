"""Embeddings of time, energy, space group and elements (B §4, Fig. 2a)."""

import math

import torch
from torch import Tensor, nn

from crystalgen.generative.data.format import SPACE_GROUPS


def sinusoidal(values: Tensor, width: int, longest: float = 10000.0) -> Tensor:
    """Transformer positional encoding of (B,) values, (B, width)."""
    frequencies = torch.exp(-math.log(longest) * torch.arange(width // 2, device=values.device) / (width // 2))
    angles = values.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """t (B,) in [0, 1] to (B, width); `scale` brings it to the steps 0 to 1000 that the sinusoids were made for."""

    def __init__(self, channels: int, width: int, scale: float = 1000.0):
        super().__init__()
        self.channels, self.scale = channels, scale
        self.layers = nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        return self.layers(sinusoidal(t * self.scale, self.channels))


class EnergyEmbedding(nn.Module):
    """A scaled energy (B,) to (B, width); waves of several lengths let close energies differ.

    Where `known` (B,) is False the energy is withheld and a learned vector stands for it.
    """

    def __init__(self, width: int, waves: int = 16, octaves: tuple[float, float] = (-2.0, 6.0)):
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.linspace(*octaves, waves), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * waves + 1, width), nn.SiLU(), nn.Linear(width, width))
        self.unknown = nn.Parameter(torch.zeros(width))

    def forward(self, energy: Tensor, known: Tensor) -> Tensor:
        angles = energy[:, None] * self.frequencies
        embedded = self.layers(torch.cat([energy[:, None], angles.sin(), angles.cos()], dim=1))
        return torch.where(known[:, None], embedded, self.unknown)


class SpaceGroupEmbedding(nn.Module):
    """Space group numbers (B,) to (B, width) by a 2-D CNN over the (192, 4x4) symmetry operations (B §4).

    The network runs once per distinct space group of a batch, not once per sample.
    """

    def __init__(self, operations: Tensor, width: int):
        super().__init__()
        self.register_buffer("operations", operations.flatten(2)[:, None], persistent=False)  # (231, 1, 192, 16)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=(4, 16), stride=(4, 16)),  # (G, 16, 48, 1)
            nn.SiLU(),
            nn.Conv2d(16, 16, kernel_size=(4, 1), stride=(4, 1)),  # (G, 16, 12, 1)
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(16 * 12, width),
            nn.SiLU(),
            nn.Linear(width, width),
        )

    def forward(self, space_group: Tensor) -> Tensor:
        distinct, inverse = torch.unique(space_group, return_inverse=True)
        return self.layers(self.operations[distinct])[inverse]


class ElementEmbedding(nn.Module):
    """Atomic numbers (B, rows) to per-row features (B, width, rows) and a pooled one (B, width), by a 1-D CNN.

    A row's input is its one-hot element (as a learned vector) and its 22 properties.
    """

    def __init__(self, properties: Tensor, width: int):
        super().__init__()
        self.register_buffer("properties", properties, persistent=False)  # (104, 22)
        self.one_hot = nn.Embedding(len(properties), width)
        self.from_properties = nn.Linear(properties.shape[1], width)
        self.layers = nn.Sequential(nn.Conv1d(width, width, 3, padding=1), nn.SiLU(), nn.Conv1d(width, width, 3, padding=1))

    def forward(self, atomic_numbers: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.one_hot(atomic_numbers) + self.from_properties(self.properties[atomic_numbers])
        features = rows.transpose(1, 2)
        features = features + self.layers(features)
        mask = (atomic_numbers > 0).float()[:, None]
        return features, (features * mask).sum(dim=2) / mask.sum(dim=2).clamp(min=1)


class AuxiliaryEmbedding(nn.Module):
    """UniMat's auxiliary conditions (B, ...) to (B, width), their sum; a learned vector stands for each unknown one.

    names: tensors of some of `data.format.PROPERTIES`.
    """

    def __init__(self, names: tuple[str, ...], width: int):
        super().__init__()
        self.width = width
        self.scalars = nn.ModuleDict({name: EnergyEmbedding(width) for name in names if name != "space_group"})
        self.space_group = nn.Embedding(SPACE_GROUPS, width) if "space_group" in names else None  # 0 stands for unknown

    def forward(self, condition: dict[str, Tensor]) -> Tensor | float:
        parts = [embed(condition[name], condition[f"{name}_known"]) for name, embed in self.scalars.items()]
        if self.space_group is not None:
            parts.append(self.space_group(condition["space_group"] * condition["space_group_known"]))
        return sum(parts, 0.0)
