"""Flow matching along straight lines (B Alg. 4-6; Lipman et al. 2023, arXiv 2210.02747). Torch only."""

import torch
from torch import Tensor

from crystalgen.generative.data.format import LATTICE_ROWS
from crystalgen.generative.losses import weighted_mse
from crystalgen.generative.objectives.base import Corrupted
from crystalgen.generative.objectives.settings import Flow
from crystalgen.generative.samplers import Generators, Net, draw, euler
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry
from crystalgen.generative.torus import faster


class FlowMatching:
    """See `objectives.base.Objective`; x_t = x_0 + t (x_1 - x_0), the target is the velocity x_1 - x_0.

    x_0 is noise, or the structure to modify. Wrapped, coordinates take the shorter way around the cell: x_0 and x_1
    lie on a torus (as in FlowMM, arXiv 2406.04713).
    """

    loss = staticmethod(weighted_mse)

    def __init__(self, settings: Flow):
        self.settings = settings

    def corrupt(self, x: Tensor, condition: dict[str, Tensor], generator: torch.Generator) -> Corrupted:
        """Draw x_0 and t."""
        x_0 = self.prior(x.shape, condition, generator).to(x.device)
        return self.path(x_0, x, torch.rand(len(x), generator=generator).to(x.device))

    def path(self, x_0: Tensor, x_1: Tensor, t: Tensor) -> Corrupted:
        """Return the points at times t (B,) of the lines from x_0 to the data x_1, and the velocities along them."""
        velocity = x_1 - x_0
        if self.settings.wrapped:
            velocity[:, :-LATTICE_ROWS] -= velocity[:, :-LATTICE_ROWS].round()
        return Corrupted(x_0 + t.view(-1, *[1] * (x_1.dim() - 1)) * velocity, t, velocity)

    def prior(self, shape: tuple[int, ...], condition: dict[str, Tensor], generators: Generators) -> Tensor:
        """Draw x_0."""
        if self.settings.prior == "structure":
            return condition["start"]
        if self.settings.prior == "uniform":
            return draw(torch.rand, shape, generators)
        return self.settings.mean + self.settings.std * draw(torch.randn, shape, generators)

    def sample(self, net: Net, x: Tensor, condition: dict[str, Tensor], sampling: Sampling, generators: Generators,
               symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
        """Integrate the velocity from t = 0 to 1."""
        return euler(faster(net, sampling.speed), symmetry.begin(x), condition, sampling.steps, symmetry)
