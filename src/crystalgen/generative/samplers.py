"""Samplers: pure functions that integrate a model from noise to data. Torch only.

A model is called as model(x, t, condition) with t (B,) in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor

Model = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]


Generators = torch.Generator | list[torch.Generator]


def draw(kind: Callable[..., Tensor], shape: tuple[int, ...], generator: Generators) -> Tensor:
    """`torch.rand` or `torch.randn` of a shape (B, ...); with one generator per sample, a sample does not depend on its batch."""
    if isinstance(generator, list):
        return torch.stack([kind(shape[1:], generator=one) for one in generator])
    return kind(shape, generator=generator)


def euler(model: Model, x: Tensor, condition: dict[str, Tensor], steps: int) -> Tensor:
    """Integrate dx = v dt from t = 0 (noise) to t = 1 (data) in equal steps (B Alg. 6)."""
    for step in range(steps):
        t = torch.full((len(x),), step / steps, device=x.device)
        x = x + model(x, t, condition) / steps
    return x


def denoise(model: Model, x: Tensor, condition: dict[str, Tensor], scheduler, steps: int, generator: Generators) -> Tensor:
    """Walk a diffusers scheduler's steps from noise to data, noise predicted (B Alg. 10 for DDPM, 11 for DDIM)."""
    scheduler.set_timesteps(steps)
    last = scheduler.config.num_train_timesteps
    for step in scheduler.timesteps:
        t = torch.full((len(x),), float(step) / last, device=x.device)
        x = scheduler.step(model(x, t, condition), step, x, generator=generator).prev_sample
    return x


def guided(model: Model, weight: float) -> Model:
    """Classifier-free guidance (A eq. 2): away from what the model says without energy and other auxiliary conditions, by `weight`."""
    if weight == 0:
        return model

    def guided_model(x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        unknown = condition | {name: torch.zeros_like(flags) for name, flags in condition.items() if name.endswith("_known")}
        return (1 + weight) * model(x, t, condition) - weight * model(x, t, unknown)

    return guided_model
