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
    """Fractions of structures by formula; the rest is for training.

    Crystals that hold every element of a system in `hold_out` (e.g. Ta-W-B) stay out of all three: a search is for them.
    """

    val: float = 0.1
    test: float = 0.1
    seed: int = 42
    hold_out: tuple[str, ...] = ()


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
    periodic: bool = False  # coordinates enter as sines and cosines: 0 and 1 are one place
    start: bool = False  # the structure to modify is an input beside x (Palette, B §5.3)
    time_scale: float = 1000.0  # t in [0, 1] is multiplied by this before its sinusoidal embedding
    energy_waves: int = 16  # sines and cosines of the energy condition,
    energy_octaves: tuple[float, float] = (-2.0, 6.0)  # of frequencies 2^first to 2^last


class UNet3dConfig(Strict):
    """UniMat's U-Net over (L, H, W) (A §2.2)."""

    name: Literal["unet3d"] = "unet3d"
    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    heads: int = 4
    dropout: float = 0.0


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
    schedule: Literal["squaredcos_cap_v2", "linear"] = "squaredcos_cap_v2"
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


class Training(Strict):
    """One run of the training loop per seed. It ends after `steps`, never after a time: that would not reproduce."""

    steps: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.0
    ema: float = 0.999
    clip: float = 1.0
    energy_dropout: float = 0.0  # share of samples whose energy is withheld, so that guidance is possible
    seeds: tuple[int, ...] = (42,)
    processes: int = 1  # seeds trained at a time
    threads: int = 2  # of each process
    precision: Literal["no", "bf16", "fp16"] = "no"  # of accelerate; mixed precision is for a GPU
    report_every: int = 200
    checkpoint_every: int = 1000


class Pairs(Strict):
    """B's pairs of polymorphs for modification (B §2.2)."""

    per_group: int = 16  # pairs of each kind that a formula gives an epoch, at most


_SAMPLERS = {"regression": ("one_step",), "flow": ("euler",), "diffusion": ("ddpm", "ddim")}


class _ModelBase(Strict):
    """What the models of both representations share: a way to train and named ways to sample, each a row of the tables."""

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
            if sampling.guidance and not self.training.energy_dropout:
                raise ValueError(f"sampling '{row}': guidance needs a model trained with energy_dropout above 0")
        return self


class MatrixModel(_ModelBase):
    """A model on the matrix representation: generation from noise, or modification of a less stable polymorph."""

    representation: Literal["matrix"] = "matrix"
    task: Literal["generation", "modification"] = "generation"
    net: UNet1dConfig = UNet1dConfig()
    objective: Regression | Flow | Diffusion = Field(default=Flow(), discriminator="name")
    pairs: Pairs = Pairs()

    @model_validator(mode="after")
    def _start_fits(self):
        from_structure = self.objective.name == "regression" or (self.objective.name == "flow" and self.objective.prior == "structure")
        if self.task == "generation" and (from_structure or self.net.start):
            raise ValueError("generation has no structure to start from; expected another objective or prior, and net.start false")
        if self.task == "modification" and not (from_structure or self.net.start):
            raise ValueError("modification from noise never sees the structure to modify; expected net.start true")
        return self


class UniMatModel(_ModelBase):
    """A model on the UniMat representation."""

    representation: Literal["unimat"] = "unimat"
    net: UNet3dConfig = UNet3dConfig()
    objective: Flow | Diffusion = Field(default=Diffusion(), discriminator="name")


Model = Annotated[MatrixModel | UniMatModel, Field(discriminator="representation")]


class Baseline(Strict):
    """What nothing is trained for: template substitution (see `baselines.template`), or the structure to modify as it is."""

    kind: Literal["template", "input"] = "template"
    task: Literal["generation", "modification"] = "generation"
    choice: Literal["random", "nearest_energy"] = "random"  # of templates
    seed: int = 0

    @model_validator(mode="after")
    def _input_exists(self):
        if self.kind == "input" and self.task == "generation":
            raise ValueError("generation has no input to return; expected task modification")
        return self


class SamplerSteps(Strict):
    """The match rate against the number of sampling steps, on a draw of validation items, first training seed."""

    steps: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    targets: int = 200
    seed: int = 0


class Ladder(Strict):
    """Formation energies to ask for, eV/atom: from `start` relative to the hull, downwards (B §7.1)."""

    start: float = 0.0
    step: float = 0.01
    count: int = 21


class Search(Strict):
    """The search for new phases (B §7, Table 3): compositions x space groups of the data x energy ladders x models."""

    compositions: tuple[str, ...] = ("Ta1W1B6", "Ta1W2B5", "Ta2W1B5")
    rows: tuple[str, ...]  # ways to sample, of generation models
    ladders: dict[str, Ladder]
    space_groups: int | None = None  # the most frequent ones in the training data; all of them without a number
    relaxed: int = 20  # structures relaxed per composition, ladder and model: those of lowest energy as generated
    relax_steps: int = 50
    fmax: float = 0.1  # eV/Å
    workers: int = 2


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
    sampler_steps: SamplerSteps = SamplerSteps()
    search: Search
    report: Report = Report()

    @model_validator(mode="after")
    def _rows_are_distinct(self):
        """A row of the tables is one way to sample one model, or one baseline."""
        rows = [row for model in self.models.values() for row in model.sampling] + list(self.baselines)
        if twice := sorted({row for row in rows if rows.count(row) > 1}):
            raise ValueError(f"rows {twice} are named twice; expected distinct names of samplings and baselines")
        if unknown := sorted(set(self.search.rows) - set(rows)):
            raise ValueError(f"search.rows: {unknown} are no way to sample; expected some of {sorted(rows)}")
        return self

    def model_of(self, row: str) -> str:
        """The model that a way to sample belongs to."""
        return next(name for name, model in self.models.items() if row in model.sampling)


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
