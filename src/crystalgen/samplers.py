"""Samplers: pure functions that integrate a model from noise to data. Torch only.

A model is called as model(x, t, condition) with t (B,) in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor

Model = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]


def euler(model: Model, x: Tensor, condition: dict[str, Tensor], steps: int) -> Tensor:
    """Integrate dx = v dt from t = 0 (noise) to t = 1 (data) in equal steps (B Alg. 6)."""
    for step in range(steps):
        t = torch.full((len(x),), step / steps, device=x.device)
        x = x + model(x, t, condition) / steps
    return x


def denoise(model: Model, x: Tensor, condition: dict[str, Tensor], scheduler, steps: int, generator: torch.Generator) -> Tensor:
    """Walk a diffusers scheduler's steps from noise to data, noise predicted (B Alg. 10 for DDPM, 11 for DDIM)."""
    scheduler.set_timesteps(steps)
    last = scheduler.config.num_train_timesteps
    for step in scheduler.timesteps:
        t = torch.full((len(x),), float(step) / last, device=x.device)
        x = scheduler.step(model(x, t, condition), step, x, generator=generator).prev_sample
    return x
