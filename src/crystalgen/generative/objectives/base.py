"""The one interface of objectives. Torch only.

Times are in [0, 1]. Every random number comes from the generator that is passed in, on the CPU, so that a
step is the same whatever happened before it. A structure to modify stands in the condition as `start`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from crystalgen.generative.samplers import Generators, Net
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry


class Corrupted(NamedTuple):
    """One training example per crystal: the network sees (x_t, t) and is to predict the target.

    x_t: (B, ...), on the way from noise to data.
    t: (B,), in [0, 1].
    target: (B, ...), shaped like x_t.
    scale: (B,), by which prediction and target are multiplied before they are compared; None for 1.
    """

    x_t: Tensor
    t: Tensor
    target: Tensor
    scale: Tensor | None = None


class Objective(Protocol):
    """Both halves of a generative method: the training pair, and the way from noise to data."""

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]  # (prediction, target, weight), see `losses`

    def corrupt(self, x: Tensor, condition: dict[str, Tensor], generator: torch.Generator) -> Corrupted:
        """Make training examples of data (B, ...)."""

    def prior(self, shape: tuple[int, ...], condition: dict[str, Tensor], generators: Generators) -> Tensor:
        """Draw where sampling starts, `shape` (B, ...)."""

    def sample(self, net: Net, x: Tensor, condition: dict[str, Tensor], sampling: Sampling, generators: Generators,
               symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
        """Take x (B, ...), drawn from the prior, to data; on the device of x. symmetry: what a crystal keeps on the way."""
