"""Noise schedules of diffusion: how much of the data is left at each step of training. Torch only.

alpha_bar, the cumulative product of 1 - beta, falls from nearly 1 at the first step to nearly 0 at the last.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    """A step of a sampler: its time t in [0, 1], whether it is the very first of training, alpha_bar there and where it leads."""

    t: float
    first: bool
    alpha_bar: Tensor
    next_alpha_bar: Tensor


def alpha_bar(name: str, steps: int) -> Tensor:
    """Return alpha_bar of a schedule at each step, float32 (steps,)."""
    return torch.cumprod(1.0 - SCHEDULES[name](steps), dim=0)


def sampling_steps(alpha_bar: Tensor, count: int) -> list[Step]:
    """Choose `count` steps, evenly from the last one of training down ("trailing": Lin et al. 2024, arXiv 2305.08891, Table 2)."""
    total = len(alpha_bar)
    if count > total:
        raise ValueError(f"{count} sampling steps: expected at most {total}, the steps of training")
    numbers = [round(total - i * (total / count)) - 1 for i in range(count)]
    levels = [*(alpha_bar[number] for number in numbers), torch.tensor(1.0)]
    return [Step(number / total, number == 0, levels[i], levels[i + 1]) for i, number in enumerate(numbers)]


def linear(steps: int) -> Tensor:
    """Return betas from 1e-4 to 0.02 (Ho et al. 2020, section 4)."""
    return torch.linspace(1e-4, 0.02, steps)


def squaredcos_cap_v2(steps: int) -> Tensor:
    """Return betas of the cosine schedule, at most 0.999 (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17)."""

    def signal(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    return torch.tensor([min(1 - signal((i + 1) / steps) / signal(i / steps), 0.999) for i in range(steps)])


def cosine_log_snr(steps: int, bound: float = 20.0) -> Tensor:
    """Return betas of the cosine schedule with its log signal-to-noise ratio kept in [-bound, bound] (A app. 6)."""
    time = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    log_snr = (-2 * torch.log(torch.tan(torch.pi / 2 * time.clamp(max=1 - 1e-12)))).clamp(-bound, bound)
    signal = torch.sigmoid(log_snr)  # alpha_bar
    before = torch.cat([torch.ones(1, dtype=torch.float64), signal[:-1]])
    return (1 - signal / before).clamp(min=1e-12).float()


SCHEDULES = {"linear": linear, "squaredcos_cap_v2": squaredcos_cap_v2, "cosine_log_snr": cosine_log_snr}
