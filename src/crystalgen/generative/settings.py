"""A model's settings: network, objective, training, and named ways to sample. No torch here, so that they are read at once."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from crystalgen.generative.data.settings import UniMatInput
from crystalgen.generative.nets import net_field
from crystalgen.generative.objectives.settings import Diffusion, Flow, Regression
from crystalgen.utils.compose import compose
from crystalgen.utils.strict import Strict, StudyError, check_strict


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
    condition_dropout: float = Field(default=0.0, ge=0, lt=1)  # share of samples whose properties are unknown, for guidance
    seeds: tuple[int, ...] = Field(default=(42,), min_length=1)
    processes: int = Field(default=1, ge=1)  # seeds trained at a time
    threads: int = 1  # of each process; more make small networks slower, and much slower on a machine that does other work
    precision: Literal["no", "bf16", "fp16"] = "no"  # of accelerate; mixed precision is for a GPU
    report_every: int = 200
    checkpoint_every: int = 1000

    @model_validator(mode="after")
    def _seeds_are_distinct(self):
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: expected distinct ones, each keeps a checkpoint of its own")
        return self


class _ModelBase(Strict):
    """What the models of both representations share: a way to train and named ways to sample, each a row of the tables."""

    label: str | None = None  # in tables and figures, in place of one that follows from the settings
    training: Training
    sampling: dict[str, Sampling] = Field(min_length=1)

    @model_validator(mode="after")
    def _samplers_fit(self):
        """Found out here rather than after training."""
        allowed = self.objective.samplers
        for row, sampling in self.sampling.items():
            if sampling.sampler not in allowed:
                raise ValueError(
                    f"sampling '{row}': sampler '{sampling.sampler}' cannot sample a {self.objective.name} model; expected one of {allowed}"
                )
            conditional = self.representation == "matrix" or bool(self.input.conditions)
            if sampling.guidance and not (conditional and self.training.condition_dropout):
                raise ValueError(f"sampling '{row}': guidance needs a conditional model trained with condition_dropout above 0")
            if self.objective.name == "diffusion" and sampling.steps > self.objective.train_steps:
                raise ValueError(f"sampling '{row}': {sampling.steps} steps; expected at most train_steps {self.objective.train_steps}")
        return self


class MatrixModel(_ModelBase):
    """A model on the matrix representation: generation from noise, or modification of a less stable polymorph."""

    representation: Literal["matrix"] = "matrix"
    task: Literal["generation", "modification"] = "generation"
    net: net_field("matrix", default="unet1d") = Field(default="lean", validate_default=True)
    objective: Regression | Flow | Diffusion = Field(default=Flow(), discriminator="name")

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
    input: UniMatInput = UniMatInput()
    net: net_field("unimat", default="unet3d") = Field(default="demo", validate_default=True)
    objective: Flow | Diffusion = Field(default=Diffusion(), discriminator="name")

    @property
    def task(self) -> str | None:
        """What a row of its samples is asked: `composition`, or nothing."""
        return None if self.input.composition == "none" else "composition"

    @field_validator("objective")
    @classmethod
    def _objective_fits(cls, objective):
        if objective.name == "flow" and (objective.wrapped or objective.prior == "structure"):
            raise ValueError("UniMat has no structure to start from and knows no wrapped flow; expected another prior, and wrapped false")
        return objective


Model = Annotated[MatrixModel | UniMatModel, Field(discriminator="representation")]


def read_model(path: Path, name: str | None = None) -> MatrixModel | UniMatModel:
    """Read one model's settings from YAML or JSON; with a name, from under `models` of a study's file, presets filled in.

    Raises:
        StudyError: no such model, or keys are unknown, missing or of the wrong kind.
    """
    content, source = compose(path), str(path)
    if name is not None:
        models = content.get("models") if isinstance(content, dict) else None
        if not isinstance(models, dict) or name not in models:
            raise StudyError(f"{path}: has no model '{name}'; expected one of {list(models or {})}")
        content, source = models[name], f"{path}, {name}"
    return check_strict(Model, content, source)
