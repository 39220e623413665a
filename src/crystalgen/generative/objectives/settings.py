"""Settings of objectives, and the samplers that each allows; no torch here, so that settings are read at once."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crystalgen.utils.strict import Strict
from crystalgen.utils.values import Count, Number, Positive, Weight, Whole

Bin = Annotated[Whole, Field(ge=4, le=1024)]
Time = Annotated[Number, Field(ge=0, lt=1)]
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
    # of noise levels in the loss: as the errors are, or, of data that are predicted, in units of what noise leaves open, so that little
    # noise counts as much as much noise (arXiv 2206.00364)
    weighting: Literal["plain", "noise"] = "plain"
    mean: Mean = 0.0  # the data are brought from this mean
    std: Spread = 1.0  # and spread to 0 and 1, which the noise has
    clip: Positive | None = None  # bound of the data that a sampling step may predict; 1 fits UniMat, scaled to [-1, 1]

    def build(self):
        """Return the objective, see `objectives.base.Objective`."""
        from crystalgen.generative.objectives.diffusion import DenoisingDiffusion

        return DenoisingDiffusion(self)


class _Torus(Strict):
    """What objectives on the torus of fractional coordinates share; they are for the matrix representation."""

    lattice_weight: Positive = 0.1  # of the lattice together, where the coordinates together have 1


class Endpoint(_Torus):
    """Flow on the torus from uniform coordinates and normal lattices; the network predicts where it ends, judged by L1."""

    samplers: ClassVar[tuple[str, ...]] = ("euler",)

    name: Literal["endpoint"] = "endpoint"
    start_time: Time = 0.0  # at which sampling of a modification starts, on the way from noise to the structure to modify

    def build(self):
        """Return the objective, see `objectives.base.Objective`."""
        from crystalgen.generative.objectives.endpoint import EndpointFlow

        return EndpointFlow(self)


class BinsFlow(_Torus):
    """The same flow; the network gives a posterior over bins of each value, with an offset in each bin."""

    samplers: ClassVar[tuple[str, ...]] = ("euler",)

    name: Literal["bins"] = "bins"
    start_time: Time = 0.0  # see `Endpoint`
    bins: Bin = 64

    @property
    def outputs(self) -> int:
        """Numbers that a network gives for each value."""
        return 2 * self.bins

    def build(self):
        """Return the objective, see `objectives.base.Objective`."""
        from crystalgen.generative.objectives.bins import BinnedFlow

        return BinnedFlow(self)


class Masked(_Torus):
    """Masked prediction with the same posteriors (MaskGXT, arXiv 2606.22866)."""

    samplers: ClassVar[tuple[str, ...]] = ("unmask",)

    name: Literal["masked"] = "masked"
    bins: Bin = 64
    unit: Literal["row", "value"] = "row"  # what is hidden and shown at once
    noise: Weight = 0.005  # of coordinates that are shown in training, in units of the cell
    # train on orbits: the atoms of one are hidden together, and sites that the symmetry fixes are shown; for `representations.orbits`
    orbits: bool = False

    @property
    def outputs(self) -> int:
        """Numbers that a network gives for each value."""
        return 2 * self.bins

    def build(self):
        """Return the objective, see `objectives.base.Objective`."""
        from crystalgen.generative.objectives.masked import MaskedPrediction

        return MaskedPrediction(self)
