"""Regression: the target structure in one step from the structure to modify (B Alg. 1, 2). Torch only."""

import torch
from torch import Tensor

from crystalgen.generative.losses import LOSSES
from crystalgen.generative.objectives.base import Corrupted
from crystalgen.generative.objectives.settings import Regression
from crystalgen.generative.samplers import Generators, Net
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry


class DirectRegression:
    """See `objectives.base.Objective`; nothing is random."""

    def __init__(self, settings: Regression):
        self.loss = LOSSES[settings.loss]

    def corrupt(self, x: Tensor, condition: dict[str, Tensor], generator: torch.Generator) -> Corrupted:
        """Show the structure to modify, at t = 0; the target is the data."""
        return Corrupted(condition["start"], torch.zeros(len(x), device=x.device), x)

    def prior(self, shape: tuple[int, ...], condition: dict[str, Tensor], generators: Generators) -> Tensor:
        """Return the structure to modify."""
        return condition["start"]

    def sample(self, net: Net, x: Tensor, condition: dict[str, Tensor], sampling: Sampling, generators: Generators,
               symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
        """Ask the network once."""
        return symmetry.toward(symmetry.scaffold(x), net(x, torch.zeros(len(x), device=x.device), condition))
