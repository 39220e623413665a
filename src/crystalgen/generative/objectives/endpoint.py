"""Flow on the torus whose network predicts where the line ends, not its velocity. Torch only."""

import torch
from torch import Tensor

from crystalgen.generative.objectives.base import Corrupted
from crystalgen.generative.objectives.settings import Endpoint
from crystalgen.generative.samplers import Generators, Net
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry
from crystalgen.generative.torus import LATTICE, approach, informed_noise, shortest


class TorusFlow:
    """What flows on the torus share: x_t on the shorter way from noise x_0 to the data, and where sampling starts.

    With a `start_time`, sampling starts at that time, on the way from noise to the structure to modify.
    """

    def __init__(self, settings):
        self.settings = settings

    def noisy(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw noise and times; returns x_t (B, rows, 3) and t (B,)."""
        x_0 = informed_noise(x.shape, generator).to(x.device)
        t = torch.rand(len(x), generator=generator).to(x.device)
        return x_0 + t.view(-1, 1, 1) * shortest(x - x_0), t

    def prior(self, shape: tuple[int, ...], condition: dict[str, Tensor], generators: Generators) -> Tensor:
        """Draw where sampling starts."""
        noise, time = informed_noise(shape, generators), self.settings.start_time
        return noise if time == 0 else noise.to(condition["start"]) + time * shortest(condition["start"] - noise.to(condition["start"]))


class EndpointFlow(TorusFlow):
    """See `objectives.base.Objective`; the target is the way x_1 - x_t that is left, compared by its absolute error."""

    settings: Endpoint

    def corrupt(self, x: Tensor, condition: dict[str, Tensor], generator: torch.Generator) -> Corrupted:
        """Draw noise and times."""
        x_t, t = self.noisy(x, generator)
        return Corrupted(x_t, t, shortest(x - x_t))

    def loss(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean absolute error, the shorter way around the cell; arguments as `losses.weighted_l1`."""
        weight = lighter_lattice(weight.expand_as(target), self.settings.lattice_weight)
        return (shortest(prediction.float() - target).abs() * weight).sum() / weight.sum()

    def sample(self, net: Net, x: Tensor, condition: dict[str, Tensor], sampling: Sampling, generators: Generators,
               symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
        """Go towards the predicted end."""
        return approach(net, symmetry.begin(x), condition, sampling.steps, sampling.speed, self.settings.start_time, symmetry=symmetry)


def lighter_lattice(weight: Tensor, share: float) -> Tensor:
    """Return weights (B, rows, 3) with those of the lattice multiplied."""
    weight = weight.clone()
    weight[:, LATTICE] *= share
    return weight
