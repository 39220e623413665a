"""An input that makes null atoms easy to tell: distances from them in units of the noise."""

import math

from torch import Tensor

from crystalgen.generative.data.format import NULL

CERTAINTY = 4.0  # deviations of the noise


def null_scores(coordinates: Tensor, t: Tensor) -> Tensor:
    """How many deviations of the noise the coordinates (B, ...) lie above a null atom's at times t (B,), at most 10.

    Of a null atom this is a standard normal number at every noise level, of an atom it is far above where the noise is
    small: what separates the two need not be learnt anew for every t. The noise is taken to be that of a cosine schedule.
    """
    angle = (t * math.pi / 2).clamp(1e-3, math.pi / 2 - 1e-3).view(-1, *[1] * (coordinates.dim() - 1))
    return ((coordinates - angle.cos() * NULL) / angle.sin()).clamp(-10, 10)


def absent(coordinates: Tensor, t: Tensor) -> Tensor:
    """Whether elements are surely absent: bool (B, H, W), of coordinates (B, 3, L, H, W) at times t (B,).

    An element's atoms take its first layers, and an atom's coordinates are at least 0. Where that atom's mean coordinate would be
    CERTAINTY deviations below 0, there is none. This holds for the noise of a cosine schedule; where it is large, nothing is sure.
    """
    angle = (t * math.pi / 2).clamp(1e-3, math.pi / 2 - 1e-3).view(-1, 1, 1)
    return coordinates[:, :, 0].mean(dim=1) < -CERTAINTY / math.sqrt(3) * angle.sin()
