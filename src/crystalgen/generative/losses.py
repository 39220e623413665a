"""Losses over predictions with a weight per value, all of one signature. Torch only.

`pbc_images` and `pbc_cases` need crystals in matrix form: fractional coordinates, in units of the cell, above a
lattice in the last three rows, which is no position and gets the plain L1. They compare positions, so they fit
an objective whose target is the crystal itself (B §5.1), never a velocity or a noise.

B sums an atom's three absolute differences (§3.1), then divides by the number of atoms (A.4). With a weight that
is equal for all atoms the losses here are a third of that, and a mean over the batch where B takes a sum.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from crystalgen.generative.data.format import LATTICE_ROWS

BOUNDARY_TOLERANCE = 1e-3  # of the cell; as far as canonical coordinates are told apart
_LATTICE = slice(-LATTICE_ROWS, None)
_TINY = 1e-12  # far below any distance float32 resolves; it only keeps a quotient of two zeros finite


def weighted_mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of the weighted mean squared error.

    prediction, target: (B, ...); weight: (B, ...) or broadcastable, 0 for padding. Each sample's weights are
    divided by their sum, so that padding never dilutes the loss and a long crystal counts as a short one does.
    """
    weight = weight.expand_as(target)
    axes = tuple(range(1, target.dim()))
    error = (prediction.float() - target).square() * weight
    return (error.sum(dim=axes) / weight.sum(dim=axes)).mean()


def weighted_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of the weighted mean absolute error (B §3.1, §3.2); arguments as in `weighted_mse`."""
    weight = weight.expand_as(target)
    return _batch_mean((prediction.float() - target).abs() * weight, weight)


def pbc_images(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """`weighted_l1` to the nearest of each target's 27 images: its own place and 26 around it (B §3.3).

    prediction, target: (B, rows, 3); weight: (B, rows, 3) or broadcastable, 0 for padding.

    A sum over axes is least where each of its terms is, so the nearest image is found axis by axis among the
    steps -1, 0 and 1. From beyond one and a half cells a prediction is pulled back to the outermost image.
    """
    weight = weight.expand_as(target)
    offset = prediction.float() - target
    step = offset.detach().round().clamp(-1, 1)
    step[:, _LATTICE] = 0
    return _batch_mean((offset - step).abs() * weight, weight)


def pbc_cases(prediction: Tensor, target: Tensor, weight: Tensor, order: float = -20.0,
              tolerance: float = BOUNDARY_TOLERANCE) -> Tensor:  # fmt: skip
    """`weighted_l1`, but an atom on the cell's boundary is compared with all its places there (B A.4).

    A vertex has 8 places, an edge 4, a face 2, and any other atom one, even if the prediction stands just
    across the boundary from it (there `pbc_images` differs). The target alone decides which it is.

    A.4 leaves the norm of these distances open and gives other atoms the default loss, written L2 in the sum
    although §3.1 has L1 for coordinates. All are L1 here, so that other atoms keep `weighted_l1` and the limit
    of `order` on the boundary is `pbc_images` (for predictions less than half a cell outside).

    Args:
        prediction: (B, rows, 3).
        target: (B, rows, 3); on the boundary, 0 and 1 mean the same.
        weight: (B, rows, 3) or broadcastable, 0 for padding.
        order: negative, of the norm that smooths the minimum over n places; the result lies between
            n ** (1 / order) times the minimum and the minimum, so at least 0.9 of it for 8 places.
        tolerance: how close to 0 or 1 a target counts as on the boundary, in units of the cell.
    """
    weight = weight.expand_as(target)
    on_boundary = torch.minimum(target.abs(), (target - 1).abs()) < tolerance
    on_boundary[:, _LATTICE] = False
    offset = prediction.float() - target
    opposite = offset - torch.where(target < 0.5, 1.0, -1.0)
    here = offset.abs() * weight
    there = (opposite.abs() * weight).masked_fill(~on_boundary, math.inf)
    x, y, z = torch.stack([here, there], dim=-1).unbind(dim=-2)  # each (B, rows, 2)
    distances = x[..., :, None, None] + y[..., None, :, None] + z[..., None, None, :]  # (B, rows, 2, 2, 2)
    return _batch_mean(_smooth_minimum(distances.flatten(start_dim=-3), order), weight)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mse": weighted_mse,
    "l1": weighted_l1,
    "pbc_cases": pbc_cases,
    "pbc_images": pbc_images,
}


def _smooth_minimum(distances: Tensor, order: float) -> Tensor:
    """Norm of negative order over the last axis (B A.4), which may hold zeros and infinities; 0 if a distance is 0.

    Scaled by the minimum, no power overflows: a share is at most 1, and that of the minimum is 1. The scale is
    held constant under differentiation, for the norm does not depend on it.
    """
    least = distances.detach().amin(dim=-1, keepdim=True)
    shares = (distances.clamp_min(_TINY) / least.clamp_min(_TINY)) ** order
    return (least * shares.sum(dim=-1, keepdim=True) ** (1 / order)).squeeze(-1)


def _batch_mean(error: Tensor, weight: Tensor) -> Tensor:
    """Mean over samples of the weighted errors (B, ...) over the sample's weights (B, ...)."""
    axes = tuple(range(1, error.dim()))
    return (error.sum(dim=axes) / weight.sum(dim=tuple(range(1, weight.dim())))).mean()
