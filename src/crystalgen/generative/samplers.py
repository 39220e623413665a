"""Samplers: pure functions that take noise to data by a network. Torch only.

A network is called as net(x, t, condition) with t (B,) in [0, 1].
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crystalgen.generative.schedules import Step
from crystalgen.generative.symmetry import FREE, Symmetry

Net = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]
Denoiser = Callable[[Tensor, Step], tuple[Tensor, Tensor]]
Generators = torch.Generator | list[torch.Generator]


def draw(kind: Callable[..., Tensor], shape: tuple[int, ...], generators: Generators) -> Tensor:
    """Draw `torch.rand` or `torch.randn` of a shape (B, ...); with one generator per sample, a sample does not depend on its batch."""
    if isinstance(generators, list):
        return torch.stack([kind(shape[1:], generator=one) for one in generators])
    return kind(shape, generator=generators)


def euler(net: Net, x: Tensor, condition: dict[str, Tensor], steps: int, symmetry: Symmetry = FREE) -> Tensor:
    """Integrate dx = v dt from t = 0 (noise) to t = 1 (data) in equal steps (B Alg. 6)."""
    for step in range(steps):
        t = torch.full((len(x),), step / steps, device=x.device)
        x = symmetry.move(x, x + net(x, t, condition) / steps, 1 / (steps - step))
    return x


def denoiser(net: Net, condition: dict[str, Tensor], prediction: str, clip: float | None) -> Denoiser:
    """Return what a network's prediction says of the data x_0, within `clip`, and of the noise in x_t (Salimans and Ho 2022, app. D)."""

    def predict(x: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        out = net(x, torch.full((len(x),), step.t, device=x.device), condition)
        signal, spread = step.alpha_bar**0.5, (1 - step.alpha_bar) ** 0.5
        if prediction == "epsilon":
            data, noise = (x - spread * out) / signal, out
        elif prediction == "sample":
            data, noise = out, (x - signal * out) / spread
        else:
            data, noise = signal * x - spread * out, signal * out + spread * x
        return (data if clip is None else data.clamp(-clip, clip)), noise

    return predict


def symmetric(predict: Denoiser, symmetry: Symmetry, mean: float, std: float, x: Tensor) -> Denoiser:
    """Return what it predicts with data that have a symmetry, and the noise that this leaves; data are (crystal - mean) / std."""
    last = symmetry.scaffold(x)

    def kept(x: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        nonlocal last
        last = symmetry.toward(last, predict(x, step)[0] * std + mean)
        data = (last - mean) / std
        return data, (x - step.alpha_bar**0.5 * data) / (1 - step.alpha_bar) ** 0.5

    return kept


def ddpm(predict: Denoiser, x: Tensor, steps: Sequence[Step], generators: Generators, symmetry: Symmetry = FREE) -> Tensor:
    """Sample by Ho et al. 2020 (arXiv 2006.11239), Alg. 2, with the mean and variance of the posterior, eq. 7 (B Alg. 10)."""
    for step in steps:
        data, _ = predict(x, step)
        alpha = step.alpha_bar / step.next_alpha_bar
        beta, noise_left, next_noise_left = 1 - alpha, 1 - step.alpha_bar, 1 - step.next_alpha_bar
        mean = (step.next_alpha_bar**0.5 * beta) / noise_left * data + alpha**0.5 * next_noise_left / noise_left * x
        variance = (next_noise_left / noise_left * beta).clamp(min=1e-20)
        x = mean if step.first else mean + variance**0.5 * symmetry.noise(draw(torch.randn, x.shape, generators).to(x.device))
    return x


def ddim(predict: Denoiser, x: Tensor, steps: Sequence[Step]) -> Tensor:
    """Sample by Song et al. 2021 (arXiv 2010.02502), eq. 12 with sigma = 0 (B Alg. 11)."""
    for step in steps:
        data, noise = predict(x, step)
        x = step.next_alpha_bar**0.5 * data + (1 - step.next_alpha_bar) ** 0.5 * noise
    return x


def guided(net: Net, weight: float) -> Net:
    """Return a network guided without a classifier (A eq. 2): away from what it predicts without properties, by `weight`."""
    if weight == 0:
        return net

    def guided_net(x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        unknown = condition | {name: torch.zeros_like(known) for name, known in condition.items() if name.endswith("_known")}
        return (1 + weight) * net(x, t, condition) - weight * net(x, t, unknown)

    return guided_net
