"""A study's settings: a data set with a scale, and what is run on it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from crystalgen.config.corrector import Corrector
from crystalgen.config.parts import check_parts, check_training
from crystalgen.config.presets import check_presets
from crystalgen.generative.settings import MatrixModel, Model
from crystalgen.utils import paths
from crystalgen.utils.compose import compose
from crystalgen.utils.strict import Strict, StudyError, check_strict, read_yaml
from crystalgen.utils.values import (
    Count,
    Distinct,
    Energy,
    File,
    Formula,
    Fraction,
    Line,
    Name,
    Number,
    Positive,
    Processes,
    Seed,
    Share,
    Symbols,
    Systems,
    Weight,
    check_study_name,
)

Sites = Annotated[Count, Field(le=10_000)]  # atoms of a cell
Rows = Annotated[tuple[Name, ...], Field(min_length=1), Distinct]  # ways to sample


class Filter(Strict):
    """B's polymorph filter (see `datasets.polymorphs`); without `polymorphs`, size and elements alone."""

    polymorphs: bool = True
    min_sites: Sites = 4
    max_sites: Sites = 60
    min_share: Share = 0.01
    min_group: Count = 7
    max_group: Count = 71
    elements: Symbols | None = None

    @model_validator(mode="after")
    def _least_come_before_most(self):
        for what in ("sites", "group"):
            least, most = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if least > most:
                raise ValueError(f"min_{what} {least} is above max_{what} {most}; expected at most that")
        return self


class Split(Strict):
    """Fractions of structures by formula; the rest is for training. Or the split that the source has (see `datasets.splits`).

    Crystals of exactly the elements of a system in `hold_out` (e.g. Ta-W-B) stay out of all three: a search is for them.
    """

    given: Literal["test", "val"] | None = None  # the side of the source's own split that models are judged on
    val: Fraction = 0.1
    test: Fraction = 0.1
    seed: Seed = 42
    hold_out: Systems = ()

    @model_validator(mode="after")
    def _some_is_left(self):
        if self.given is None and self.val + self.test >= 1:
            raise ValueError(f"val {self.val} and test {self.test} leave nothing to train on; expected a sum below 1")
        return self


class Data(Strict):
    """Where the crystals come from and which of them are used."""

    path: File
    energy: Line | None = None  # the source's column that is its formation energy, eV/atom; formation_energy_per_atom without
    filter: Filter = Filter()
    split: Split = Split()

    @field_validator("path")
    @classmethod
    def _path_is_of_a_file(cls, path):
        if "${" in path or "://" in path or path != path.strip():  # DVC would fill in the one and fetch the other
            raise ValueError("expected the path of a folder, a .csv or a .parquet, without '${' and '://'")
        return path


class Representations(Strict):
    """What is encoded. UniMat's table grows with the elements, so that a CPU may want fewer of them."""

    cell: Literal["given", "reduced"] = "given"  # as the source has it, or one that does not depend on it (see `represent.reduced`)
    matrix_rows: Sites | None = None  # 64 in paper B; without a number, as many as the longest crystal needs
    unimat_elements: Symbols | None = None
    templates: bool = False  # a retrieved crystal beside each, for models of generation with net.start (see `experiments.shown_templates`)
    orbits: bool = False  # which sites of a matrix the symmetry makes alike, for an objective masked with orbits
    # added to UniMat's fractional coordinates: 0.25 keeps the positions 0 and 1/2 clear of where coordinates start anew; the crystal is
    # the same
    unimat_shift: Annotated[Number, Field(ge=0, lt=1)] = 0.0


class Baseline(Strict):
    """What nothing is trained for: template substitution (see `baselines.template`), the structure to modify as it is, or a
    draw of training crystals where nothing is asked."""

    label: Line | None = None  # in tables and figures
    kind: Literal["template", "input", "copies"] = "template"
    task: Literal["generation", "modification", "composition"] | None = "generation"
    choice: Literal["random", "nearest_energy", "nearest_composition"] = "random"  # of templates
    seed: Seed = 0
    count: Count = 1000  # training crystals to draw, without replacement
    max_targets: Count | None = None
    per_target: Count = 1  # crystals for each target; of the nearest composition, as many templates

    @model_validator(mode="after")
    def _input_exists(self):
        if self.kind == "input" and self.task != "modification":
            raise ValueError(f"{self.task} has no input to return; expected task modification")
        if (self.kind == "copies") != (self.task is None):
            raise ValueError(f"kind {self.kind} with task {self.task}; expected task null for copies, and for nothing else")
        return self


class Retrieval(Strict):
    """Training crystals looked up by composition, and prototypes distilled from them, as answers to every judged crystal."""

    count: Annotated[Count, Field(ge=2, le=10**5)] = 20  # candidates for each target
    ranker: bool = True
    min_members: Count = 3  # training crystals behind a distilled prototype
    seed: Seed = 0
    workers: Processes = 2


class SamplerSteps(Strict):
    """The match rate against the number of sampling steps, on a draw of validation items, first training seed."""

    steps: Annotated[tuple[Count, ...], Field(min_length=1), Distinct] = (1, 2, 5, 10, 20, 50, 100)
    targets: Count = 200
    seed: Seed = 0


class Ladder(Strict):
    """Formation energies to ask for, eV/atom: from `start` relative to the hull, downwards (B §7.1)."""

    start: Energy = 0.0
    step: Annotated[Positive, Field(le=5)] = 0.01
    count: Annotated[Count, Field(le=1000)] = 21


class Search(Strict):
    """The search for new phases (B §7, Table 3): compositions x space groups of the data x energy ladders x models."""

    compositions: Annotated[tuple[Formula, ...], Field(min_length=1), Distinct] = ("Ta1W1B6", "Ta1W2B5", "Ta2W1B5")
    rows: Rows  # ways to sample, of generation models
    ladders: dict[Line, Ladder] = Field(min_length=1)
    space_groups: Annotated[Count, Field(le=230)] | None = None  # the most frequent ones in the training data; all of them without a number
    relaxed: Count = 20  # structures relaxed per composition, ladder and model: those of lowest energy as generated
    relax_steps: Count = 50
    fmax: Positive = 0.1  # eV/Å
    workers: Processes = 2


class Energies(Strict):
    """Held-out compositions asked of models, of template substitution and of a random search, all relaxed alike (A Tables 2 and 3)."""

    rows: Rows  # ways to sample models that are told a composition
    compositions: Count = 50  # formulas drawn from the side that models are judged on
    per_composition: Count = 100  # crystals of each set
    relax_steps: Count = 50
    fmax: Positive = 0.1  # eV/Å
    limit: Positive = 300.0  # s for one relaxation
    seed: Seed = 0
    workers: Processes = 2


class Guidance(Strict):
    """Energies asked for by classifier-free guidance, at several weights (A eq. 2), and what a potential says was obtained."""

    row: Name  # a way to sample a UniMat model that is told the formation energy
    energies: Annotated[tuple[Energy, ...], Field(min_length=1), Distinct]  # eV/atom
    weights: Annotated[tuple[Weight, ...], Field(min_length=1), Distinct] = (0.0, 1.0, 2.0, 4.0)
    count: Count = 32  # samples for each energy and weight


class Compounds(Strict):
    """Compounds asked for by their formulas alone, as `crystalgen generate` does, of what ships: see `experiments.compounds`."""

    known: dict[Formula, Annotated[Count, Field(le=230)]] = Field(min_length=1)  # space group that each is known in
    count: Annotated[Count, Field(le=1000)] = 6  # candidates relaxed of each
    steps: Annotated[Count, Field(le=10_000)] = 40  # of a relaxation at most


class Report(Strict):
    """How results are shown."""

    bootstrap: Annotated[Count, Field(le=10**6)] = 2000  # redraws behind each 95 % interval
    gallery: Annotated[Count, Field(le=100)] = 6


class Study(Strict):
    """A data set with a scale, and the models run on it."""

    title: Line
    description: Annotated[str, Field(min_length=1, max_length=5000)]
    data: Data
    benchmark: Literal["perov_5", "carbon_24", "mp_20"] | None = None  # whose published values stand beside the study's
    guidance: Guidance | None = None
    representations: Representations = Representations()
    models: dict[Name, Model]
    baselines: dict[Name, Baseline] = {}
    sampler_steps: SamplerSteps | None = None
    retrieval: Retrieval | None = None
    corrector: Corrector | None = None
    search: Search | None = None
    energies: Energies | None = None
    compounds: Compounds | None = None
    # studies of the same data, whose committed rows (reports/STUDY/rows.json) stand in this one's results
    beside: Annotated[tuple[Annotated[str, AfterValidator(check_study_name)], ...], Distinct] = ()
    report: Report = Report()

    @model_validator(mode="after")
    def _parts_fit(self):
        if problem := next(check_parts(self), None):
            raise ValueError(problem)
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Representations that the models and the baselines' requests need."""
        asked = {"unimat" if b.task == "composition" else "matrix" for b in self.baselines.values() if b.task}
        return tuple(sorted(asked | {model.representation for model in self.models.values()}))

    def model_of(self, row: str) -> str:
        """Return the model that a way to sample belongs to."""
        return next(name for name, model in self.models.items() if row in model.sampling)


class Ablation(Strict):
    """Models that differ in one thing; each has one way to sample, `sample`."""

    question: Annotated[str, Field(min_length=1, max_length=1000)]
    models: dict[Line, MatrixModel] = Field(min_length=1)

    @model_validator(mode="after")
    def _models_fit(self):
        if problem := next(check_training(self.models), None):
            raise ValueError(problem)
        for name, model in self.models.items():
            if set(model.sampling) != {"sample"}:
                raise ValueError(f"models.{name}.sampling: {sorted(model.sampling)}; expected one way to sample, named 'sample'")
        return self


class Ablations(Strict):
    """ablations/ablations.yaml: the ablations and the study on whose validation crystals they are judged."""

    study: Annotated[str, AfterValidator(check_study_name)]
    targets: Count
    ablations: dict[Name, Ablation] = Field(min_length=1)


class Selection(Strict):
    """params.yaml: the studies that `dvc repro` runs."""

    studies: Annotated[tuple[Annotated[str, AfterValidator(check_study_name)], ...], Field(min_length=1), Distinct]


def load_study(name: str) -> Study:
    """Read `studies/<name>/study.yaml`, or the study of a try by its name.

    Raises:
        StudyError: there is no such study, or keys are unknown, missing or of the wrong kind.
    """
    paths.need_checkout()
    path = paths.study_file(check_study_name(name))
    if not path.is_file():
        raise StudyError(f"{path}: no such study; expected one of {paths.study_names()}")
    return read_study(path)


def read_study(path: Path) -> Study:
    """Read a study file from anywhere (see `load_study`)."""
    check_presets(path)
    return check_strict(Study, compose(path), path)


def load_ablations(path: Path = paths.ABLATIONS) -> Ablations:
    """Read `ablations/ablations.yaml`, whose models name presets as those of studies do."""
    check_presets(path)
    ablations = check_strict(Ablations, compose(path), path)
    if not paths.study_file(ablations.study).is_file():
        raise StudyError(f"{path}: study: '{ablations.study}'; expected one of {paths.study_names()}")
    return ablations


def read_selection() -> list[str]:
    """Read the names of the studies that `dvc repro` runs, params.yaml.

    Raises:
        FileNotFoundError: this is no checkout.
        StudyError: the file is no selection.
    """
    paths.need_checkout()
    path = paths.ROOT / "params.yaml"
    return list(check_strict(Selection, read_yaml(path), path).studies)
