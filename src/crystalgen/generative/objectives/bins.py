"""Variational flow on the torus: the network gives a posterior over bins of the data (cf. arXiv 2406.04843). Torch only."""

import torch
from torch import Tensor

from crystalgen.generative.binned import Bins
from crystalgen.generative.objectives.base import Corrupted
from crystalgen.generative.objectives.endpoint import TorusFlow, lighter_lattice
from crystalgen.generative.objectives.settings import BinsFlow
from crystalgen.generative.samplers import Generators, Net
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry
from crystalgen.generative.torus import approach


class BinnedFlow(TorusFlow):
    """See `objectives.base.Objective`; the target is the data, the velocity the posterior's mean way to it, the last step its mode."""

    def __init__(self, settings: BinsFlow):
        super().__init__(settings)
        self.bins = Bins(settings.bins)

    def corrupt(self, x: Tensor, condition: dict[str, Tensor], generator: torch.Generator) -> Corrupted:
        """Draw noise and times."""
        return Corrupted(*self.noisy(x, generator), x)

    def loss(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean of `Bins.loss`; prediction (B, rows, 3, 2 K)."""
        weight = lighter_lattice(weight.expand_as(target), self.settings.lattice_weight)
        return (self.bins.loss(prediction, target) * weight).sum() / weight.sum()

    def sample(self, net: Net, x: Tensor, condition: dict[str, Tensor], sampling: Sampling, generators: Generators,
               symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
        """Follow the posterior's mean, and take its mode at the end."""

        def way(x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
            return self.bins.way(net(x, t, condition), x)

        first, steps = self.settings.start_time, sampling.steps
        last = first + (1 - first) * (steps - 1) / steps
        x = approach(way, symmetry.begin(x), condition, steps, sampling.speed, first, steps - 1, symmetry)
        return symmetry.toward(x, self.bins.choose(net(x, torch.full((len(x),), last, device=x.device), condition))[0])
