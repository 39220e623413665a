"""Objectives: what a network sees (x_t), what it should say (the target), and how it is sampled. Torch only.

Times are in [0, 1]. Every random number comes from the generator that is passed in, on the CPU, so that a
step is the same whatever happened before it.
"""

from typing import Protocol

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from crystalgen import config, samplers


class Objective(Protocol):
    """Both halves of a generative method: the training pair and the way back."""

    def corrupt(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Data (B, ...) to (x_t, t (B,), target), both shaped like the data."""

    def sample(self, model: samplers.Model, shape: tuple[int, ...], condition: dict, sampling: config.Sampling,
               generator: torch.Generator) -> Tensor:  # fmt: skip
        """Draw `shape` (B, ...) samples."""


class FlowMatching:
    """Straight lines from noise to data; the target is the velocity x_1 - x_0 (B Alg. 5, 6)."""

    def __init__(self, settings: config.Flow):
        self.settings = settings

    def corrupt(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Objective`."""
        start = self._prior(x.shape, generator).to(x.device)
        t = torch.rand(len(x), generator=generator).to(x.device)
        along = t.view(-1, *[1] * (x.dim() - 1))
        return along * x + (1 - along) * start, t, x - start

    def sample(self, model: samplers.Model, shape: tuple[int, ...], condition: dict, sampling: config.Sampling,
               generator: torch.Generator) -> Tensor:  # fmt: skip
        """See `Objective`; the start is drawn from the prior of training."""
        start = self._prior(shape, generator).to(_device_of(condition))
        return samplers.euler(model, start, condition, sampling.steps)

    def _prior(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        draw = torch.rand if self.settings.prior == "uniform" else torch.randn
        return draw(shape, generator=generator)


class DenoisingDiffusion:
    """Gaussian diffusion; the target is the noise (B Alg. 9-11; A §2.2)."""

    def __init__(self, settings: config.Diffusion):
        self.settings = settings
        self.forward_process = self._scheduler(DDPMScheduler)

    def corrupt(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Objective`."""
        noise = torch.randn(x.shape, generator=generator).to(x.device)
        step = torch.randint(self.settings.train_steps, (len(x),), generator=generator).to(x.device)
        return self.forward_process.add_noise(x, noise, step), step / self.settings.train_steps, noise

    def sample(self, model: samplers.Model, shape: tuple[int, ...], condition: dict, sampling: config.Sampling,
               generator: torch.Generator) -> Tensor:  # fmt: skip
        """See `Objective`."""
        start = torch.randn(shape, generator=generator).to(_device_of(condition))
        scheduler = self._scheduler({"ddpm": DDPMScheduler, "ddim": DDIMScheduler}[sampling.sampler])
        return samplers.denoise(model, start, condition, scheduler, sampling.steps, generator)

    def _scheduler(self, kind: type):
        bound = self.settings.clip
        return kind(
            self.settings.train_steps,
            beta_schedule=self.settings.schedule,
            clip_sample=bound is not None,  # at high noise a small error of the noise is a huge one of the data
            clip_sample_range=bound or 1.0,
            timestep_spacing="trailing",  # start from pure noise, not a step below it
        )


def build_objective(settings: config.Flow | config.Diffusion) -> Objective:
    """The objective that a study's model names."""
    return {"flow": FlowMatching, "diffusion": DenoisingDiffusion}[settings.name](settings)


def _device_of(condition: dict) -> torch.device:
    return next((value.device for value in condition.values()), torch.device("cpu"))
