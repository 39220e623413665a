"""Objectives: what a network sees (x_t), what it should say (the target), and how it is sampled. Torch only.

Times are in [0, 1]. Every random number comes from the generator that is passed in, on the CPU, so that a
step is the same whatever happened before it. A structure to modify stands in the condition as `start`.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from crystalgen.generative import samplers
from crystalgen.generative import settings as config
from crystalgen.generative.data.matrix import LATTICE_ROWS
from crystalgen.generative.losses import LOSSES, weighted_mse

CPU = torch.device("cpu")
MAX_SNR = 5.0  # from which on noise levels count alike


class Objective(Protocol):
    """Both halves of a generative method: the training pair and the way back."""

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]  # (prediction, target, weight), see `losses`

    def corrupt(self, x: Tensor, condition: dict, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Data (B, ...) to (x_t, t (B,), target), both shaped like the data."""

    def sample(self, model: samplers.Model, shape: tuple[int, ...], condition: dict, sampling: config.Sampling,
               generator: samplers.Generators, device: torch.device = CPU) -> Tensor:  # fmt: skip
        """Draw `shape` (B, ...) samples on the model's device; `generator`, of the CPU, is one for all or a list of one per sample."""


class Regression:
    """The target structure in one step from the structure to modify (B Alg. 1, 2)."""

    def __init__(self, settings: config.Regression):
        self.loss = LOSSES[settings.loss]

    def corrupt(self, x: Tensor, condition: dict, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Objective`; nothing is random."""
        return condition["start"], torch.zeros(len(x), device=x.device), x

    def sample(self, model: samplers.Model, shape: tuple[int, ...], condition: dict, sampling: config.Sampling,
               generator: samplers.Generators, device: torch.device = CPU) -> Tensor:  # fmt: skip
        """See `Objective`."""
        return model(condition["start"], torch.zeros(shape[0], device=condition["start"].device), condition)


class FlowMatching:
    """Straight lines from noise, or from the structure to modify, to data; the target is the velocity x_1 - x_0 (B Alg. 4-6).

    Wrapped, coordinates take the shorter way around the cell: x_0 and x_1 lie on a torus (as in FlowMM, arXiv 2406.04713).
    """

    loss = staticmethod(weighted_mse)

    def __init__(self, settings: config.Flow):
        self.settings = settings

    def corrupt(self, x: Tensor, condition: dict, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Objective`."""
        start = self._start(x.shape, condition, generator).to(x.device)
        t = torch.rand(len(x), generator=generator).to(x.device)
        along = t.view(-1, *[1] * (x.dim() - 1))
        velocity = x - start
        if self.settings.wrapped:
            velocity[:, :-LATTICE_ROWS] -= velocity[:, :-LATTICE_ROWS].round()
        return start + along * velocity, t, velocity

    def sample(self, model: samplers.Model, shape: tuple[int, ...], condition: dict, sampling: config.Sampling,
               generator: samplers.Generators, device: torch.device = CPU) -> Tensor:  # fmt: skip
        """See `Objective`; the start is drawn from the prior of training."""
        start = self._start(shape, condition, generator).to(device)
        return samplers.euler(model, start, condition, sampling.steps)

    def _start(self, shape: tuple[int, ...], condition: dict, generator: samplers.Generators) -> Tensor:
        if self.settings.prior == "structure":
            return condition["start"]
        if self.settings.prior == "uniform":
            return samplers.draw(torch.rand, shape, generator)
        return self.settings.mean + self.settings.std * samplers.draw(torch.randn, shape, generator)


class DenoisingDiffusion:
    """Gaussian diffusion; the target is the noise (B Alg. 7-11; A §2.2), or what `prediction` names.

    Palette is this with `start` given to the network.
    """

    loss = staticmethod(weighted_mse)

    def __init__(self, settings: config.Diffusion):
        self.settings = settings
        self.forward_process = self._scheduler(DDPMScheduler)

    def corrupt(self, x: Tensor, condition: dict, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Objective`."""
        noise = torch.randn(x.shape, generator=generator).to(x.device)
        step = self._steps(len(x), generator).to(x.device)
        scaled = (x - self.settings.mean) / self.settings.std
        noisy = self.forward_process.add_noise(scaled, noise, step)
        if self.settings.prediction == "v_prediction":
            target = self.forward_process.get_velocity(scaled, noise, step)
        else:
            target = noise if self.settings.prediction == "epsilon" else scaled
        return noisy, step / self.settings.train_steps, target

    def sample(self, model: samplers.Model, shape: tuple[int, ...], condition: dict, sampling: config.Sampling,
               generator: samplers.Generators, device: torch.device = CPU) -> Tensor:  # fmt: skip
        """See `Objective`."""
        start = samplers.draw(torch.randn, shape, generator).to(device)
        scheduler = self._scheduler({"ddpm": DDPMScheduler, "ddim": DDIMScheduler}[sampling.sampler])
        drawn = samplers.denoise(model, start, condition, scheduler, sampling.steps, generator)
        return drawn * self.settings.std + self.settings.mean

    def _steps(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise levels to train on, int (count,)."""
        if self.settings.times == "uniform":
            return torch.randint(self.settings.train_steps, (count,), generator=generator)
        signal = self.forward_process.alphas_cumprod
        return torch.multinomial((signal / (1 - signal)).clamp(max=MAX_SNR), count, replacement=True, generator=generator)

    def _scheduler(self, kind: type):
        bound, own = self.settings.clip, self.settings.schedule == "cosine_log_snr"
        return kind(
            self.settings.train_steps,
            **{"trained_betas": _cosine_log_snr_betas(self.settings.train_steps)} if own else {"beta_schedule": self.settings.schedule},
            prediction_type=self.settings.prediction,
            clip_sample=bound is not None,  # at high noise a small error of the noise is a huge one of the data
            clip_sample_range=bound or 1.0,
            timestep_spacing="trailing",  # start from pure noise, not a step below it
        )


def _cosine_log_snr_betas(steps: int, bound: float = 20.0) -> list[float]:
    """The cosine schedule with its log signal-to-noise ratio kept in [-bound, bound] (A app. 6)."""
    time = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    log_snr = (-2 * torch.log(torch.tan(torch.pi / 2 * time.clamp(max=1 - 1e-12)))).clamp(-bound, bound)
    signal = torch.sigmoid(log_snr)  # the cumulative product of 1 - beta
    before = torch.cat([torch.ones(1, dtype=torch.float64), signal[:-1]])
    return (1 - signal / before).clamp(min=1e-12).tolist()


def build_objective(settings: config.Regression | config.Flow | config.Diffusion) -> Objective:
    """The objective that a study's model names."""
    return {"regression": Regression, "flow": FlowMatching, "diffusion": DenoisingDiffusion}[settings.name](settings)
