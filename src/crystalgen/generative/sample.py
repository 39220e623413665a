"""The one sampling loop: batches that fit into memory, one random stream per sample, so that a seed gives the same crystals. Torch only."""

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from crystalgen.generative.objectives.base import Objective
from crystalgen.generative.samplers import Net, guided
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry

MAX_BATCH = {"cpu": 256, "cuda": 4096}  # beyond these a larger batch is no faster
MEMORY_SHARE = 0.25  # of what is free


@torch.no_grad()
def draw_samples(net: nn.Module, objective: Objective, shape: tuple[int, ...], condition: dict[str, Tensor], count: int,
                 sampling: Sampling, symmetry: Callable[[Tensor, torch.device], Symmetry] | None = None,
                 bf16: bool = False, names: Tensor | None = None) -> Tensor:  # fmt: skip
    """Draw `count` samples of `shape`, (count, *shape), scaled as the training data; sample i follows from (seed, i) and its condition.

    condition: tensors (count, ...), or empty for an unconditional model. symmetry: of samples by number, on a device. bf16:
    whether the network works in that precision; all else is in single precision. names: int (count,), what stands for i.
    """
    if count == 0:
        return torch.zeros(0, *shape)
    net.eval()
    device = next(net.parameters()).device
    model = guided(_in_bf16(net, device) if bf16 else net, sampling.guidance)
    size = batch_size(net, shape, {name: value[:1] for name, value in condition.items()}, device)
    drawn, names = torch.zeros(count, *shape), torch.arange(count) if names is None else names
    if sampling.temperature and sampling.per_target > 1:
        condition = condition | {"greedy": torch.arange(count) % sampling.per_target == 0}
    for numbers in _order(net, condition, count).split(size):
        part = {name: value[numbers].to(device) for name, value in condition.items()}
        generators = [torch.Generator().manual_seed(sampling.seed * 1_000_003 + name) for name in names[numbers].tolist()]
        noise = objective.prior((len(numbers), *shape), part, generators).to(device)
        kept = FREE if symmetry is None else symmetry(numbers, device)
        drawn[numbers] = objective.sample(model, noise, part, sampling, generators, kept).cpu()
    return drawn


def _in_bf16(net: nn.Module, device: torch.device) -> Net:
    def answer(x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return net(x, t, condition).float()

    return answer


def _order(net: nn.Module, condition: dict[str, Tensor], count: int) -> Tensor:
    """The samples as they are drawn: crystals of a length together where the network is the faster for it."""
    if not getattr(net, "trims", False):
        return torch.arange(count)
    return (condition["atomic_numbers"] > 0).sum(dim=1).argsort(stable=True)


def draw_trajectory(net: nn.Module, objective: Objective, shape: tuple[int, ...], condition: dict[str, Tensor], count: int,
                    sampling: Sampling, frames: int) -> Tensor:  # fmt: skip
    """Watch `draw_samples`, without guidance: (frames, count, *shape), evenly spaced from pure noise to the samples (A Fig. 2)."""
    seen = []
    hook = net.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().cpu()))
    sampling = sampling.model_copy(update={"guidance": 0.0})  # guided, each step would be seen twice
    try:
        last = draw_samples(net, objective, shape, condition, count, sampling)
    finally:
        hook.remove()
    states = [state for state in seen if len(state) == count][-sampling.steps :] + [last]  # the first call only measures memory
    return torch.stack([states[round(i * (len(states) - 1) / (frames - 1))] for i in range(frames)])


@torch.no_grad()
def batch_size(net: nn.Module, shape: tuple[int, ...], condition: dict[str, Tensor], device: torch.device) -> int:
    """Return how many samples to draw at a time: as fit into a share of the free memory if no layer's output were given back."""
    outputs = []
    hooks = [m.register_forward_hook(lambda _m, _i, out: outputs.append(out)) for m in net.modules() if not list(m.children())]
    one = {name: value.to(device) for name, value in condition.items()}
    net(torch.zeros(1, *shape, device=device), torch.zeros(1, device=device), one)
    for hook in hooks:
        hook.remove()
    needed = sum(out.numel() * out.element_size() for out in outputs if isinstance(out, Tensor))
    return max(1, min(MAX_BATCH.get(device.type, MAX_BATCH["cpu"]), int(MEMORY_SHARE * _free_memory(device) / needed)))


def _free_memory(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
