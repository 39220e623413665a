"""Standardising: mean and spread over the training crystals. Torch only."""

from torch import Tensor


class Scales:
    """Mean and spread of quantities by name; of a file of tensors, those that have <name>_mean and <name>_std."""

    def __init__(self, tensors: dict[str, Tensor]):
        names = [name.removesuffix("_mean") for name in tensors if name.endswith("_mean")]
        self._mean_and_std = {name: (tensors[f"{name}_mean"], tensors[f"{name}_std"]) for name in names}

    def standardise(self, name: str, values: Tensor) -> Tensor:
        """Bring values to mean 0 and spread 1."""
        mean, std = self._mean_and_std[name]
        return (values - mean) / std

    def unstandardise(self, name: str, values: Tensor) -> Tensor:
        """Undo `standardise`."""
        mean, std = self._mean_and_std[name]
        return values * std + mean

    def spread(self, name: str) -> Tensor:
        """Return the spread, by which a difference of two values is standardised."""
        return self._mean_and_std[name][1]
