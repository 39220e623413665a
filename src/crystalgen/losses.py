"""Losses over predictions with a weight per value. Torch only."""

from torch import Tensor


def weighted_mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of the weighted mean squared error.

    prediction, target: (B, ...); weight: (B, ...) or broadcastable, 0 for padding. Each sample's weights are
    divided by their sum, so that padding never dilutes the loss and a long crystal counts as a short one does.
    """
    weight = weight.expand_as(target)
    axes = tuple(range(1, target.dim()))
    error = (prediction.float() - target).square() * weight
    return (error.sum(dim=axes) / weight.sum(dim=axes)).mean()
