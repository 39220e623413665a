"""A study's parameters: strict, so that an unknown or misspelt key is an error that names it."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crystalgen import paths


class StudyError(ValueError):
    """A study file that cannot be used; the message names the file and each key at fault."""


class Strict(BaseModel):
    """Refuses unknown keys, and cannot be changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Settings = TypeVar("Settings", bound=Strict)


class Filter(Strict):
    """B's polymorph filter (see `data.polymorphs`)."""

    min_sites: int = 4
    max_sites: int = 60
    min_share: float = 0.01
    min_group: int = 7
    max_group: int = 71
    elements: tuple[str, ...] | None = None


class Split(Strict):
    """Fractions of structures by formula; the rest is for training."""

    val: float = 0.1
    test: float = 0.1
    seed: int = 42


class Data(Strict):
    """Where the crystals come from and which of them are used."""

    path: str
    filter: Filter = Filter()
    split: Split = Split()


class Representations(Strict):
    """What is encoded. UniMat's table grows with the elements, so that a CPU may want fewer of them."""

    unimat_elements: tuple[str, ...] | None = None


class UNet1dConfig(Strict):
    """B's U-Net over the rows of the matrix (B §4, A.3)."""

    name: Literal["unet1d"] = "unet1d"
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (1, 2)  # downsampling factors at which there is attention
    heads: int = 4
    dropout: float = 0.0


class UNet3dConfig(Strict):
    """UniMat's U-Net over (L, H, W) (A §2.2)."""

    name: Literal["unet3d"] = "unet3d"
    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    heads: int = 4
    dropout: float = 0.0


class Flow(Strict):
    """Flow matching along straight lines from noise (B Alg. 5)."""

    name: Literal["flow"] = "flow"
    prior: Literal["uniform", "normal"] = "uniform"


class Diffusion(Strict):
    """Denoising diffusion, noise prediction (B Alg. 9, A §2.2)."""

    name: Literal["diffusion"] = "diffusion"
    train_steps: int = 1000
    schedule: Literal["squaredcos_cap_v2", "linear"] = "squaredcos_cap_v2"
    clip: float | None = None  # bound of the data that a sampling step may predict; 1 fits UniMat, scaled to [-1, 1]


class Sampling(Strict):
    """How samples are drawn. `count` is of unconditional samples, `max_targets` of conditions taken from the test set."""

    sampler: Literal["euler", "ddpm", "ddim"]
    steps: int
    seed: int = 0
    count: int = 500
    max_targets: int | None = None


class Training(Strict):
    """One run of the training loop. It ends after `steps`, never after a time: that would not reproduce."""

    steps: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.0
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 42
    threads: int = 2
    precision: Literal["no", "bf16", "fp16"] = "no"  # of accelerate; mixed precision is for a GPU
    report_every: int = 200
    checkpoint_every: int = 1000


_SAMPLERS = {"flow": ("euler",), "diffusion": ("ddpm", "ddim")}


def _check_sampler(model):
    """Found out here rather than after training."""
    allowed = _SAMPLERS[model.objective.name]
    if model.sampling.sampler not in allowed:
        raise ValueError(f"sampler '{model.sampling.sampler}' cannot sample a {model.objective.name} model; expected one of {allowed}")
    return model


class MatrixModel(Strict):
    """A model on the matrix representation."""

    representation: Literal["matrix"] = "matrix"
    net: UNet1dConfig = UNet1dConfig()
    objective: Flow | Diffusion = Field(default=Flow(), discriminator="name")
    training: Training
    sampling: Sampling

    @model_validator(mode="after")
    def _sampler_fits(self):
        return _check_sampler(self)


class UniMatModel(Strict):
    """A model on the UniMat representation."""

    representation: Literal["unimat"] = "unimat"
    net: UNet3dConfig = UNet3dConfig()
    objective: Flow | Diffusion = Field(default=Diffusion(), discriminator="name")
    training: Training
    sampling: Sampling

    @model_validator(mode="after")
    def _sampler_fits(self):
        return _check_sampler(self)


Model = Annotated[MatrixModel | UniMatModel, Field(discriminator="representation")]


class Baseline(Strict):
    """Template substitution: nothing is trained (see `baselines.template`)."""

    choice: Literal["random", "nearest_energy"] = "random"
    seed: int = 0


class Report(Strict):
    """How results are shown."""

    bootstrap: int = 2000  # redraws behind each 95 % interval
    gallery: int = 6


class Study(Strict):
    """A data set with a scale, and the models run on it."""

    title: str
    description: str
    data: Data
    representations: Representations = Representations()
    models: dict[str, Model]
    baselines: dict[str, Baseline] = {}
    report: Report = Report()


def load_study(name: str) -> Study:
    """Read `studies/<name>.yaml`.

    Raises:
        StudyError: there is no such study, or keys are unknown, missing or of the wrong kind.
    """
    path = paths.STUDIES / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in paths.STUDIES.glob("*.yaml"))
        raise StudyError(f"{path}: no such study; expected one of {known}")
    return read_study(path)


def read_study(path: Path) -> Study:
    """Read a study file from anywhere (see `load_study`)."""
    return read_strict(Study, path)


def read_strict(kind: type[Settings], path: Path) -> Settings:
    """Read a YAML file into a strict model.

    Raises:
        StudyError: the file is no YAML, or keys are unknown, missing or of the wrong kind.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: not YAML ({error})") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StudyError(f"{path}: {faults}") from None
