"""Settings of objectives, and the samplers that each allows; no torch here, so that settings are read at once."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crystalgen.utils.strict import Strict
from crystalgen.utils.values import Count, Number, Positive

Mean = Annotated[Number, Field(ge=-1000, le=1000)]
Spread = Annotated[Positive, Field(le=1000)]


class Regression(Strict):
    """The target in one step from the structure to modify (B Alg. 1)."""

    samplers: ClassVar[tuple[str, ...]] = ("one_step",)

    name: Literal["regression"] = "regression"
    loss: Literal["l1", "pbc_cases", "pbc_images"] = "pbc_images"

    def build(self):
        """Return the objective, see `objectives.base.Objective`."""
        from crystalgen.generative.objectives.regression import DirectRegression

        return DirectRegression(self)


class Flow(Strict):
    """Flow matching along straight lines from noise (B Alg. 5) or from the structure to modify (B Alg. 4)."""

    samplers: ClassVar[tuple[str, ...]] = ("euler",)

    name: Literal["flow"] = "flow"
    prior: Literal["uniform", "normal", "structure"] = "uniform"
    mean: Mean = 0.0  # of normal noise; 0.5 and 0.2887 are the mean and spread of the scaled matrices,
    std: Spread = 1.0  # 0 and 1 are B's choice
    wrapped: bool = False  # coordinates take the shorter way around the cell

    def build(self):
        """Return the objective, see `objectives.base.Objective`."""
        from crystalgen.generative.objectives.flow import FlowMatching

        return FlowMatching(self)


class Diffusion(Strict):
    """Denoising diffusion (B Alg. 9, A §2.2)."""

    samplers: ClassVar[tuple[str, ...]] = ("ddpm", "ddim")

    name: Literal["diffusion"] = "diffusion"
    train_steps: Annotated[Count, Field(le=10**5)] = 1000
    schedule: Literal["squaredcos_cap_v2", "linear", "cosine_log_snr"] = "squaredcos_cap_v2"
    prediction: Literal["epsilon", "v_prediction", "sample"] = "epsilon"  # what the network predicts: the noise (both papers), or
    # the velocity (arXiv 2202.00512) or the data themselves
    times: Literal["uniform", "min_snr"] = "uniform"  # of training; the second draws a noise level as often as min(SNR, 5), which
    # suits a network that predicts the data (arXiv 2303.09556): what noise has hidden is not worth many guesses
    mean: Mean = 0.0  # the data are brought from this mean
    std: Spread = 1.0  # and spread to 0 and 1, which the noise has
    clip: Positive | None = None  # bound of the data that a sampling step may predict; 1 fits UniMat, scaled to [-1, 1]

    def build(self):
        """Return the objective, see `objectives.base.Objective`."""
        from crystalgen.generative.objectives.diffusion import DenoisingDiffusion

        return DenoisingDiffusion(self)
