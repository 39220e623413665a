"""What tests of objectives share: a seed, and the way from the prior to data."""

import torch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample(objective, net, shape, condition, sampling, generators):
    """From the prior to data."""
    return objective.sample(net, objective.prior(shape, condition, generators), condition, sampling, generators)


def leaning(x, t, c):
    return 0.3 * x + t.view(-1, 1, 1)
