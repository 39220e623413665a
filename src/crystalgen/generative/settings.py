"""A model's settings: network, objective, training, and named ways to sample. No torch here, so that they are read at once."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from crystalgen.generative.data.settings import UniMatInput
from crystalgen.generative.nets import net_field
from crystalgen.generative.objectives.settings import BinsFlow, Diffusion, Endpoint, Flow, Masked, Regression
from crystalgen.utils.compose import compose
from crystalgen.utils.strict import Strict, StudyError, check_strict
from crystalgen.utils.values import Count, Distinct, Dropout, Line, Name, Number, Positive, Processes, Seed, Weight, Whole

Withheld = Literal["space_group", "formation_energy_per_atom", "template"]


class Sampling(Strict):
    """How samples are drawn. `count` is of unconditional samples, `max_targets` of conditions taken from the test set."""

    label: Line | None = None  # of its row in tables and figures, in place of the model's with the sampler
    sampler: Literal["one_step", "euler", "ddpm", "ddim", "unmask"]
    steps: Count
    seed: Seed = 0
    guidance: Weight = 0.0  # weight of classifier-free guidance towards the energy; 0 is plain conditional sampling
    count: Count = 500
    max_targets: Count | None = None
    per_target: Count = 1  # samples for each condition
    # of matrices: crystals drawn for each condition, of which the one whose energy fits the energy asked for is the sample; energies
    # are learnt from the training crystals, or the library's potential gives them as it gave the library's
    candidates: Count = 1
    candidate_energies: Literal["learnt", "7net-l3i5"] = "learnt"
    speed: Weight = 0.0  # of a flow of matrices: coordinates move (1 + speed t) times as fast as the network says
    # of masked prediction: 0 is the most probable bin everywhere, 1 draws from the posteriors; of several samples for a condition
    # the first is always the most probable one
    temperature: Weight = 0.0
    revisions: Annotated[Whole, Field(ge=0, le=1000)] = 0  # of masked prediction: times that a part of a crystal is drawn anew
    # a crystal with two atoms nearer than this share of the sum of their covalent radii is drawn anew, up to so many times in all; 0 takes
    # all as they are. Where none is apart enough, the best one stays
    contact: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    attempts: Annotated[Count, Field(le=100)] = 8
    withhold: Annotated[tuple[Withheld, ...], Distinct] = ()  # what the network is not told; it must have been trained to do without

    @model_validator(mode="after")
    def _fits_the_sampler(self):
        if self.sampler == "one_step" and self.steps != 1:
            raise ValueError(f"steps {self.steps}: expected 1 of the sampler one_step")
        if self.sampler != "unmask" and self.revisions:
            raise ValueError(f"revisions {self.revisions} with sampler {self.sampler}; expected sampler unmask")
        if self.contact and self.per_target > 1:
            raise ValueError(f"contact {self.contact:g} with per_target {self.per_target}: the first of several is never drawn; expected 1")
        return self


class Training(Strict):
    """One run of the training loop per seed. It ends after `steps`, never after a time: that would not reproduce."""

    steps: Annotated[Count, Field(le=10**8)]
    batch_size: Annotated[Count, Field(le=10**6)] = 64
    learning_rate: Annotated[Positive, Field(le=1)] = 1e-3
    warmup: Annotated[Whole, Field(ge=0)] = 200
    weight_decay: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[Number, Field(ge=0, lt=1)] = 0.999
    clip: Positive = 1.0
    pairs_per_group: Count = 16  # for modification: pairs of each kind that a formula gives an epoch, at most
    condition_dropout: Dropout = 0.0  # share of samples whose properties are unknown, for guidance; of matrices, whose energy is
    space_group_dropout: Dropout = 0.0  # share of matrices whose space group is unknown, drawn apart from it
    template_dropout: Dropout = 0.0  # share of matrices whose template is hidden, where a model is shown one
    batches: Literal["shuffled", "length"] = "shuffled"  # by length, a batch is of crystals with as many atoms: no padding
    # each seed keeps a checkpoint of its own
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=100), Distinct] = (42,)
    processes: Processes = 1  # seeds trained at a time
    threads: Processes = 1  # of each process; more make small networks slower, and much slower on a machine that does other work
    precision: Literal["no", "bf16", "fp16"] = "no"  # of accelerate; mixed precision is for a GPU
    report_every: Count = 200
    checkpoint_every: Count = 1000


class _ModelBase(Strict):
    """What the models of both representations share: a way to train and named ways to sample, each a row of the tables."""

    label: Line | None = None  # in tables and figures, in place of one that follows from the settings
    training: Training
    sampling: dict[Name, Sampling] = Field(min_length=1)

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
    objective: Regression | Flow | Diffusion | Endpoint | BinsFlow | Masked = Field(default=Flow(), discriminator="name")
    augment: Annotated[tuple[Literal["order"], ...], Distinct] = ()  # in half of what is trained on, an element's atoms change places

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for each value."""
        return getattr(self.objective, "outputs", 1)

    def build_net(self, codec):
        """Build the network, see `NetSettings.build`."""
        return self.net.build(codec) if self.outputs == 1 else self.net.build(codec, self.outputs)

    @model_validator(mode="after")
    def _rows_fit(self):
        """The transformer over rows alone hides values, gives posteriors, and does without padding or a space group."""
        if self.net.name == "rows":
            return self
        if self.outputs > 1:
            raise ValueError(f"objective {self.objective.name}: the network {self.net.name} gives no posteriors; expected net rows")
        if self.training.batches == "length" or self.training.space_group_dropout:
            raise ValueError(f"batches by length and space_group_dropout are not for the network {self.net.name}; expected net rows")
        return self

    @model_validator(mode="after")
    def _withheld_is_dropped(self):
        training = self.training
        dropped = {"space_group": training.space_group_dropout, "formation_energy_per_atom": training.condition_dropout}
        dropped["template"] = training.template_dropout
        for row, sampling in self.sampling.items():
            if strange := [name for name in sampling.withhold if not dropped[name]]:
                raise ValueError(f"sampling '{row}': withholds {strange[0]}; expected a model trained with a dropout of it above 0")
            told = "formation_energy_per_atom" not in sampling.withhold
            if sampling.candidates > 1 and (sampling.per_target > 1 or not told):
                raise ValueError(f"sampling '{row}': candidates are for one sample a target that is told the energy; expected 1")
            if sampling.speed and self.objective.name not in ("flow", "endpoint", "bins"):
                raise ValueError(f"sampling '{row}': speed of {self.objective.name}; expected an objective flow, endpoint or bins")
        return self

    @model_validator(mode="after")
    def _start_fits(self):
        from_structure = self.objective.name == "regression" or (self.objective.name == "flow" and self.objective.prior == "structure")
        if self.task == "generation" and getattr(self.objective, "start_time", 0):
            raise ValueError("objective.start_time: generation has no structure to start from; expected 0")
        if self.task == "generation" and (from_structure or (self.net.start and self.net.name != "rows")):
            raise ValueError("generation has no structure to start from; expected another objective or prior, and net.start false")
        if self.training.template_dropout and not (self.task == "generation" and self.net.start):
            raise ValueError("training.template_dropout: nothing is shown a template; expected a model of generation with net.start true")
        if self.task == "modification" and not (from_structure or self.net.start):
            raise ValueError("modification from noise never sees the structure to modify; expected net.start true")
        return self


class UniMatModel(_ModelBase):
    """A model on the UniMat representation."""

    representation: Literal["unimat"] = "unimat"
    input: UniMatInput = UniMatInput()
    net: net_field("unimat", default="unet3d") = Field(default="demo", validate_default=True)
    objective: Flow | Diffusion = Field(default=Diffusion(), discriminator="name")

    def build_net(self, codec):
        """Build the network, see `NetSettings.build`."""
        return self.net.build(codec)

    @property
    def task(self) -> str | None:
        """What a row of its samples is asked: `composition`, or nothing."""
        return None if self.input.composition == "none" else "composition"

    @model_validator(mode="after")
    def _no_matrix_settings(self):
        if self.training.batches != "shuffled" or self.training.space_group_dropout:
            raise ValueError("batches by length and space_group_dropout are for matrices; expected neither")
        if any(sampling.speed or sampling.withhold or sampling.candidates > 1 for sampling in self.sampling.values()):
            raise ValueError("sampling with speed, withhold or candidates is for matrices; expected none of them")
        return self

    @model_validator(mode="after")
    def _skips_fit(self):
        fits = getattr(self.objective, "prediction", None) == "sample" and self.objective.schedule != "linear"
        for name in ("skips", "residual"):
            if getattr(self.net, name, False) and not fits:
                raise ValueError(
                    f"net.{name}: expected an objective of diffusion on a cosine schedule that predicts the data (prediction: sample)"
                )
        return self

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
