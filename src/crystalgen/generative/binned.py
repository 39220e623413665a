"""Posteriors over bins of a value, with an offset in each: 64 bins around the cell for a coordinate, on a line for a lattice. Torch only.

A prediction (B, rows, 3, 2 K) holds for each value K logits and then K offsets in units of a bin. Soft targets after
MaskGXT (arXiv 2606.22866): the probability of a bin falls as a Gaussian of its distance, with a spread of one bin.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from crystalgen.generative.data.format import LATTICE_ROWS
from crystalgen.generative.torus import UNIFORM_STD, shortest

LATTICE_RANGE = (
    0.5 - 4 * UNIFORM_STD,
    0.5 + 4 * UNIFORM_STD,
)  # of scaled lattices; what lies outside is in the last bin, far off its centre
OFFSET_WEIGHT = 0.2


class Bins:
    """Bins of both kinds of rows.

    count: K.
    sigma: spread of the soft targets, in bins.
    """

    def __init__(self, count: int, sigma: float = 1.0):
        self.count, self.sigma = count, sigma
        self.width = (LATTICE_RANGE[1] - LATTICE_RANGE[0]) / count
        self.ring = torch.arange(count) / count  # special positions such as 0, 1/4 and 1/2 are centres
        self.line = LATTICE_RANGE[0] + self.width * (torch.arange(count) + 0.5)

    def from_centres(self, x: Tensor) -> Tensor:
        """Return how far values (B, rows, 3) lie from every bin's centre, in bins (B, rows, 3, K)."""
        around = x[:, :-LATTICE_ROWS, :, None] - self.ring.to(x.device)
        along = x[:, -LATTICE_ROWS:, :, None] - self.line.to(x.device)
        return torch.cat([(around - around.round()) * self.count, along / self.width], dim=1)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy to soft targets, and the offsets' smooth absolute error where these are, of each value (B, rows, 3)."""
        logits, offsets = prediction.float().chunk(2, dim=3)
        offset = self.from_centres(target)
        inner = torch.cat([offset[:, :-LATTICE_ROWS], self._clamped(offset[:, -LATTICE_ROWS:])], dim=1)
        soft = torch.softmax(-inner.square() / (2 * self.sigma**2), dim=3)
        entropy = -(soft * torch.log_softmax(logits, dim=3)).sum(dim=3)
        return entropy + OFFSET_WEIGHT * (soft * F.smooth_l1_loss(offsets, offset, reduction="none")).sum(dim=3)

    def values(self, prediction: Tensor) -> Tensor:
        """Return the value that stands for each bin, its centre and offset, (B, rows, 3, K)."""
        offsets = prediction.float().chunk(2, dim=3)[1]
        ring, line = self.ring.to(offsets.device), self.line.to(offsets.device)
        atoms, lattice = offsets[:, :-LATTICE_ROWS], offsets[:, -LATTICE_ROWS:]
        return torch.cat([ring + atoms / self.count, line + lattice * self.width], dim=1)

    def choose(self, prediction: Tensor, noise: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the values of the most probable bins and the logarithms of their probabilities, (B, rows, 3) each.

        noise: added to the logarithms before the choice, (B, rows, 3, K); Gumbel noise draws from the posterior.
        """
        logs = torch.log_softmax(prediction.float().chunk(2, dim=3)[0], dim=3)
        bin = (logs + noise).argmax(dim=3, keepdim=True)
        return self.values(prediction).gather(3, bin)[..., 0], logs.gather(3, bin)[..., 0]

    def at(self, prediction: Tensor, x: Tensor, noise: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return what `choose` would, of the bins in which values x (B, rows, 3) lie."""
        bin = self.numbers(x)[..., None]
        return self.values(prediction).gather(3, bin)[..., 0], self.logs(prediction, noise).gather(3, bin)[..., 0]

    def logs(self, prediction: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        """Return the logarithms of all bins' probabilities, with noise added, (B, rows, 3, K)."""
        return torch.log_softmax(prediction.float().chunk(2, dim=3)[0], dim=3) + noise

    def numbers(self, x: Tensor) -> Tensor:
        """Return the numbers of the bins in which values (B, rows, 3) lie, int, likewise."""
        around = (x[:, :-LATTICE_ROWS] * self.count).round().long() % self.count
        along = ((x[:, -LATTICE_ROWS:] - LATTICE_RANGE[0]) / self.width).long().clamp(0, self.count - 1)
        return torch.cat([around, along], dim=1)

    def way(self, prediction: Tensor, x: Tensor) -> Tensor:
        """Return the expected way from x to the values, the shorter one around the cell, (B, rows, 3)."""
        posterior = torch.softmax(prediction.float().chunk(2, dim=3)[0], dim=3)
        return (posterior * shortest(self.values(prediction) - x[..., None])).sum(dim=3)

    def _clamped(self, offset: Tensor) -> Tensor:
        """Offsets of lattices, of those beyond the last bins as if they lay at its centre."""
        least = offset[..., :1].clamp(min=0, max=self.count - 1)  # from the first centre
        return least - torch.arange(self.count, device=offset.device)
