"""Count what a network costs: parameters and floating-point operations. Torch only."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

TRAINING_FACTOR = 3  # a step forward, and twice as much backward


@dataclass(frozen=True)
class Cost:
    """parameters of the network; flops of one forward pass of one sample."""

    parameters: int
    flops: int

    def training_flops(self, samples: int) -> float:
        """Operations of training on that many samples, an epoch's repetitions counted."""
        return TRAINING_FACTOR * float(self.flops) * samples


@torch.no_grad()
def cost(net: nn.Module, shape: tuple[int, ...], condition: dict[str, Tensor]) -> Cost:
    """Count for inputs of `shape` (without the batch) and one sample's condition, tensors (1, ...)."""
    net.eval()
    device = next(net.parameters()).device
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, *shape, device=device), torch.zeros(1, device=device), {k: v.to(device) for k, v in condition.items()})
    return Cost(sum(p.numel() for p in net.parameters()), counter.get_total_flops())
