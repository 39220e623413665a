"""A model's settings: network, objective, training, and named ways to sample."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from crystalgen.utils.strict import Strict


class UNet1dConfig(Strict):
    """B's U-Net over the rows of the matrix (B §4, A.3); the defaults are the lean preset."""

    name: Literal["unet1d"] = "unet1d"
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 1)
    blocks: int = 1
    attention: tuple[int, ...] = (1,)  # downsampling factors at which there is attention
    heads: int = 4
    dropout: float = 0.0
    periodic: bool = False  # coordinates enter as sines and cosines: 0 and 1 are one place
    start: bool = False  # the structure to modify is an input beside x (Palette, B §5.3)
    time_scale: float = 1000.0  # t in [0, 1] is multiplied by this before its sinusoidal embedding
    energy_waves: int = 16  # sines and cosines of the energy condition,
    energy_octaves: tuple[float, float] = (-2.0, 6.0)  # of frequencies 2^first to 2^last


class UNet3dConfig(Strict):
    """UniMat's U-Net over (L, H, W) (A §2.2); the defaults are the demo preset."""

    name: Literal["unet3d"] = "unet3d"
    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    stride: int = Field(default=2, ge=2)  # of a step down, over H and W; 3 divides 9 x 18 evenly twice
    heads: int = 4
    head_channels: int | None = None  # with a number, as many heads as it divides a level's channels into
    scores: bool = False  # coordinates enter as distances from the null atom in units of the noise too (for diffusion)
    dropout: float = 0.0


class PlacesConfig(Strict):
    """A transformer over the places of UniMat's table that may hold an atom (see `generative.nets.sparse_unimat`)."""

    name: Literal["places"] = "places"
    token: Literal["place", "element"] = "place"  # a token for each place (L, H, W), or one for each element with all its layers
    scores: bool = False  # coordinates enter as distances from the null atom in units of the noise too (for diffusion)
    waves: int = 0  # so many sines and cosines of each coordinate enter too, of 1, 2, 4, ... periods in the cell
    channels: int = 128
    blocks: int = 4
    heads: int = 4
    dropout: float = 0.0


Condition = Literal["formation_energy_per_atom", "band_gap", "space_group"]


class UniMatInput(Strict):
    """What a UniMat model is shown and told (A §2.1, §2.2)."""

    coordinates: Literal["fractional", "cartesian"] = "fractional"
    cell: Literal["channels", "token"] = "channels"
    composition: Literal["none", "type", "exact"] = "none"  # which elements (H x W), or how many atoms of each (L x H x W)
    conditions: tuple[Condition, ...] = ()  # by classifier-free guidance
    augment: tuple[Literal["order", "axes", "translation"], ...] = ()  # how training crystals are described anew


class Regression(Strict):
    """The target in one step from the structure to modify (B Alg. 1)."""

    name: Literal["regression"] = "regression"
    loss: Literal["l1", "pbc_cases", "pbc_images"] = "pbc_images"


class Flow(Strict):
    """Flow matching along straight lines from noise (B Alg. 5) or from the structure to modify (B Alg. 4)."""

    name: Literal["flow"] = "flow"
    prior: Literal["uniform", "normal", "structure"] = "uniform"
    mean: float = 0.0  # of normal noise; 0.5 and 0.2887 are the mean and spread of the scaled matrices,
    std: float = 1.0  # 0 and 1 are B's choice
    wrapped: bool = False  # coordinates take the shorter way around the cell


class Diffusion(Strict):
    """Denoising diffusion, noise prediction (B Alg. 9, A §2.2)."""

    name: Literal["diffusion"] = "diffusion"
    train_steps: int = 1000
    schedule: Literal["squaredcos_cap_v2", "linear", "cosine_log_snr"] = "squaredcos_cap_v2"
    prediction: Literal["epsilon", "v_prediction", "sample"] = "epsilon"  # what the network says: the noise (both papers), or
    # the velocity (arXiv 2202.00512) or the data themselves
    times: Literal["uniform", "min_snr"] = "uniform"  # of training; the second draws a noise level as often as min(SNR, 5), which
    # suits a network that says the data (arXiv 2303.09556): what noise has hidden is not worth many guesses
    mean: float = 0.0  # the data are brought from this mean
    std: float = 1.0  # and spread to 0 and 1, which the noise has
    clip: float | None = None  # bound of the data that a sampling step may predict; 1 fits UniMat, scaled to [-1, 1]


class Sampling(Strict):
    """How samples are drawn. `count` is of unconditional samples, `max_targets` of conditions taken from the test set."""

    sampler: Literal["one_step", "euler", "ddpm", "ddim"]
    steps: int = Field(ge=1)
    seed: int = 0
    guidance: float = 0.0  # weight of classifier-free guidance towards the energy; 0 is plain conditional sampling
    count: int = 500
    max_targets: int | None = None
    per_target: int = Field(default=1, ge=1)  # samples for each condition


class Training(Strict):
    """One run of the training loop per seed. It ends after `steps`, never after a time: that would not reproduce."""

    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.0
    ema: float = 0.999
    clip: float = 1.0
    pairs_per_group: int = Field(default=16, ge=1)  # for modification: pairs of each kind that a formula gives an epoch, at most
    energy_dropout: float = Field(default=0.0, ge=0, lt=1)  # share of samples whose energy is withheld, so that guidance is possible
    seeds: tuple[int, ...] = Field(default=(42,), min_length=1)
    processes: int = Field(default=1, ge=1)  # seeds trained at a time
    threads: int = 2  # of each process
    precision: Literal["no", "bf16", "fp16"] = "no"  # of accelerate; mixed precision is for a GPU
    report_every: int = 200
    checkpoint_every: int = 1000

    @model_validator(mode="after")
    def _seeds_are_distinct(self):
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: expected distinct ones, each keeps a checkpoint of its own")
        return self


_SAMPLERS = {"regression": ("one_step",), "flow": ("euler",), "diffusion": ("ddpm", "ddim")}


class _ModelBase(Strict):
    """What the models of both representations share: a way to train and named ways to sample, each a row of the tables."""

    label: str | None = None  # in tables and figures, in place of one that follows from the settings
    training: Training
    sampling: dict[str, Sampling] = Field(min_length=1)

    @model_validator(mode="after")
    def _samplers_fit(self):
        """Found out here rather than after training."""
        allowed = _SAMPLERS[self.objective.name]
        for row, sampling in self.sampling.items():
            if sampling.sampler not in allowed:
                raise ValueError(
                    f"sampling '{row}': sampler '{sampling.sampler}' cannot sample a {self.objective.name} model; expected one of {allowed}"
                )
            told = self.representation == "matrix" or bool(self.input.conditions)
            if sampling.guidance and not (told and self.training.energy_dropout):
                raise ValueError(f"sampling '{row}': guidance needs a conditional model trained with energy_dropout above 0")
            if sampling.sampler == "ddim" and self.objective.train_steps % sampling.steps:
                raise ValueError(
                    f"sampling '{row}': {sampling.steps} steps of ddim would leave noise; "
                    f"expected a divisor of train_steps {self.objective.train_steps}"
                )
        return self


def _named_preset(net, presets: dict):
    if isinstance(net, str):
        if net not in presets:
            raise ValueError(f"'{net}' is no preset; expected one of {sorted(presets)}, or channels, multipliers, ...")
        return presets[net]
    return net


PRESETS = {
    "lean": UNet1dConfig(),
    "published": UNet1dConfig(channels=128, multipliers=(1, 2, 4, 8), blocks=7, attention=(1, 2, 4, 8)),  # B A.3; 322 M parameters
}


class MatrixModel(_ModelBase):
    """A model on the matrix representation: generation from noise, or modification of a less stable polymorph.

    `net` is spelt out, or one of PRESETS by its name.
    """

    representation: Literal["matrix"] = "matrix"
    task: Literal["generation", "modification"] = "generation"
    net: UNet1dConfig = UNet1dConfig()
    objective: Regression | Flow | Diffusion = Field(default=Flow(), discriminator="name")

    @field_validator("net", mode="before")
    @classmethod
    def _preset(cls, net):
        return _named_preset(net, PRESETS)

    @model_validator(mode="after")
    def _start_fits(self):
        from_structure = self.objective.name == "regression" or (self.objective.name == "flow" and self.objective.prior == "structure")
        if self.task == "generation" and (from_structure or self.net.start):
            raise ValueError("generation has no structure to start from; expected another objective or prior, and net.start false")
        if self.task == "modification" and not (from_structure or self.net.start):
            raise ValueError("modification from noise never sees the structure to modify; expected net.start true")
        return self


UNIMAT_PRESETS = {
    "demo": UNet3dConfig(),
    "base": UNet3dConfig(channels=64, blocks=2),
    "published": UNet3dConfig(channels=256, multipliers=(1, 2, 4), blocks=3, stride=3, head_channels=64, dropout=0.1),  # A Table 4
    "occupied": PlacesConfig(),
}


class UniMatModel(_ModelBase):
    """A model on the UniMat representation; `net` is spelt out, or one of UNIMAT_PRESETS by its name."""

    representation: Literal["unimat"] = "unimat"
    input: UniMatInput = UniMatInput()
    net: UNet3dConfig | PlacesConfig = Field(default=UNet3dConfig(), discriminator="name")
    objective: Flow | Diffusion = Field(default=Diffusion(), discriminator="name")

    @property
    def task(self) -> str | None:
        """What a row of its samples is asked: `composition`, or nothing."""
        return None if self.input.composition == "none" else "composition"

    @field_validator("net", mode="before")
    @classmethod
    def _preset(cls, net):
        net = _named_preset(net, UNIMAT_PRESETS)
        return {"name": "unet3d"} | net if isinstance(net, dict) else net

    @field_validator("objective")
    @classmethod
    def _objective_fits(cls, objective):
        if objective.name == "flow" and (objective.wrapped or objective.prior == "structure"):
            raise ValueError("UniMat has no structure to start from and knows no wrapped flow; expected another prior, and wrapped false")
        return objective


Model = Annotated[MatrixModel | UniMatModel, Field(discriminator="representation")]
