"""Denoising diffusion (B Alg. 7-11; A §2.2; Ho et al. 2020, arXiv 2006.11239). Torch only."""

import torch
from torch import Tensor

from crystalgen.generative import samplers, schedules
from crystalgen.generative.losses import weighted_mse
from crystalgen.generative.nets.scores import SPREAD
from crystalgen.generative.objectives.base import Corrupted
from crystalgen.generative.objectives.settings import Diffusion
from crystalgen.generative.samplers import Generators, Net
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry

MAX_SNR = 5.0  # from which on noise levels count alike
MAX_SCALE = 50.0  # from which on errors count alike


class DenoisingDiffusion:
    """See `objectives.base.Objective`; x_t = sqrt(a) x_0 + sqrt(1 - a) noise, a of the schedule; here t = 1 is noise.

    The target is the noise, or what `prediction` names. Palette is this with `start` given to the network.
    """

    loss = staticmethod(weighted_mse)

    def __init__(self, settings: Diffusion):
        self.settings = settings
        self.alpha_bar = schedules.alpha_bar(settings.schedule, settings.train_steps)

    def corrupt(self, x: Tensor, condition: dict[str, Tensor], generator: torch.Generator) -> Corrupted:
        """Draw noise and its level."""
        noise = torch.randn(x.shape, generator=generator).to(x.device)
        return self.path(noise, x, self._draw_steps(len(x), generator))

    def path(self, noise: Tensor, x: Tensor, step: Tensor) -> Corrupted:
        """Return the data x (B, ...) under so much of the noise as the levels say, int (B,), from 0 to train_steps - 1, all noise."""
        alpha_bar = self.alpha_bar[step].view(-1, *[1] * (x.dim() - 1)).to(x.device)
        signal, spread = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        data = (x - self.settings.mean) / self.settings.std
        targets = {"epsilon": lambda: noise, "v_prediction": lambda: signal * noise - spread * data, "sample": lambda: data}
        scale = None
        if self.settings.weighting == "noise":
            scale = ((signal**2 + (spread / SPREAD) ** 2).sqrt() / spread).flatten().clamp(max=MAX_SCALE)
        return Corrupted(
            signal * data + spread * noise, step.to(x.device) / self.settings.train_steps, targets[self.settings.prediction](), scale
        )

    def prior(self, shape: tuple[int, ...], condition: dict[str, Tensor], generators: Generators) -> Tensor:
        """Draw noise."""
        return samplers.draw(torch.randn, shape, generators)

    def sample(self, net: Net, x: Tensor, condition: dict[str, Tensor], sampling: Sampling, generators: Generators,
               symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
        """Denoise by the sampler that is named."""
        predict = samplers.denoiser(net, condition, self.settings.prediction, self.settings.clip)
        steps = schedules.sampling_steps(self.alpha_bar, sampling.steps)
        if symmetry is not FREE:
            x, predict = symmetry.noise(x), samplers.symmetric(predict, symmetry, self.settings.mean, self.settings.std, x)
        data = samplers.ddpm(predict, x, steps, generators, symmetry) if sampling.sampler == "ddpm" else samplers.ddim(predict, x, steps)
        return data * self.settings.std + self.settings.mean

    def _draw_steps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw noise levels to train on, int (count,)."""
        if self.settings.times == "uniform":
            return torch.randint(self.settings.train_steps, (count,), generator=generator)
        snr = self.alpha_bar / (1 - self.alpha_bar)
        return torch.multinomial(snr.clamp(max=MAX_SNR), count, replacement=True, generator=generator)
