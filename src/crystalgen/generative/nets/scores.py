"""What a noise level says of UniMat's table: how far a place is from a null atom, and how near an answer is to what is seen."""

import math

import torch
from torch import Tensor

from crystalgen.generative.data.format import NULL

CERTAINTY = 4.0  # deviations of the noise
SPREAD = 0.5  # of the data, about


def null_scores(coordinates: Tensor, t: Tensor) -> Tensor:
    """How many deviations of the noise the coordinates (B, ...) lie above a null atom's at times t (B,), at most 10.

    Of a null atom this is a standard normal number at every noise level, of an atom it is far above where the noise is
    small: what separates the two need not be learnt anew for every t. The noise is taken to be that of a cosine schedule.
    """
    signal, noise = _levels(t, coordinates.dim())
    return ((coordinates - signal * NULL) / noise).clamp(-10, 10)


def absent(coordinates: Tensor, t: Tensor) -> Tensor:
    """Whether elements are surely absent: bool (B, H, W), of coordinates (B, 3, L, H, W) at times t (B,).

    An element's atoms take its first layers, and an atom's coordinates are at least 0. Where that atom's mean coordinate would be
    CERTAINTY deviations below 0, there is none. This holds for the noise of a cosine schedule; where it is large, nothing is sure.
    """
    return coordinates[:, :, 0].mean(dim=1) < -CERTAINTY / math.sqrt(3) * _levels(t, 3)[1]


def residual(answer: Tensor, x: Tensor, t: Tensor, spread: float = SPREAD) -> Tensor:
    """Return the data that a network's answer (B, ...) means beside the noisy ones x at times t (B,).

    The preconditioning of Karras et al. 2022 (arXiv 2206.00364, table 1) in the variance-preserving scale of a cosine schedule: in
    pure noise the data are the answer, near the data they are x, and the answer says what to add in units of the noise.
    """
    signal, noise = _levels(t, x.dim())
    total = (signal * spread).square() + noise.square()
    return signal * spread**2 / total * x + noise * spread / total.sqrt() * answer


def settled(answer: Tensor, coordinates: Tensor, t: Tensor) -> Tensor:
    """Return coordinates (B, 3, ...) that an answer means: null where an atom surely is not, a `residual` where it surely is.

    Sure is what would else be CERTAINTY deviations of the noise away. Between the two, the answer is the data itself.
    """
    signal, noise = _levels(t, coordinates.dim())
    mean, doubt = coordinates.mean(dim=1, keepdim=True), CERTAINTY / math.sqrt(3) * noise
    atom, null = mean > NULL * signal + doubt, mean < -doubt
    return torch.where(null, NULL, torch.where(atom, residual(answer, coordinates, t), answer))


def _levels(t: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Signal and noise of a cosine schedule at times (B,), neither quite 0, shaped for tensors (B, ...) of so many dimensions."""
    angle = (t * math.pi / 2).clamp(1e-3, math.pi / 2 - 1e-3).view(-1, *[1] * (dims - 1))
    return angle.cos(), angle.sin()
