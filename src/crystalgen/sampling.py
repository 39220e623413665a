"""The one sampling loop: fixed batches, each with its own generator, so that a seed gives the same crystals. Torch only."""

import torch
from torch import Tensor, nn

from crystalgen.config import Sampling
from crystalgen.objectives import Objective
from crystalgen.tensors import MatrixData, UniMatData

BATCH = 256


@torch.no_grad()
def sample_matrices(net: nn.Module, objective: Objective, data: MatrixData, rows: Tensor, sampling: Sampling) -> Tensor:
    """One sample for the conditions of each given row; (n, rows, 3), unscaled (Å), in the rows' order."""
    net.eval()
    samples = []
    for number, chunk in enumerate(rows.split(BATCH)):
        shape = (len(chunk), *data.shape)
        drawn = objective.sample(net, shape, data.condition(chunk), sampling, _generator(sampling.seed, number))
        samples.append(data.unscale(drawn, chunk))
    return torch.cat(samples)


@torch.no_grad()
def sample_unimat(net: nn.Module, objective: Objective, data: UniMatData, sampling: Sampling) -> Tensor:
    """`sampling.count` unconditional samples; (count, 9, L, H, W), unscaled (Å, degrees)."""
    net.eval()
    samples = []
    for number, start in enumerate(range(0, sampling.count, BATCH)):
        shape = (min(BATCH, sampling.count - start), *data.shape)
        samples.append(data.unscale(objective.sample(net, shape, {}, sampling, _generator(sampling.seed, number))))
    return torch.cat(samples)


def _generator(seed: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + number)
