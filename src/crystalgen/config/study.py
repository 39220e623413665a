"""A study's settings: a data set with a scale, and what is run on it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from crystalgen.generative.settings import MatrixModel, Model
from crystalgen.utils import paths
from crystalgen.utils.compose import compose
from crystalgen.utils.strict import Strict, StudyError, check_strict, read_yaml


class Filter(Strict):
    """B's polymorph filter (see `datasets.polymorphs`); without `polymorphs`, size and elements alone."""

    polymorphs: bool = True
    min_sites: int = 4
    max_sites: int = 60
    min_share: float = 0.01
    min_group: int = 7
    max_group: int = 71
    elements: tuple[str, ...] | None = None


class Split(Strict):
    """Fractions of structures by formula; the rest is for training. Or the split that the source has (see `datasets.splits`).

    Crystals of exactly the elements of a system in `hold_out` (e.g. Ta-W-B) stay out of all three: a search is for them.
    """

    given: Literal["test", "val"] | None = None  # the side of the source's own split that models are judged on
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

    matrix_rows: int | None = None  # 64 in paper B; without a number, as many as the longest crystal needs
    unimat_elements: tuple[str, ...] | None = None


class Baseline(Strict):
    """What nothing is trained for: template substitution (see `baselines.template`), the structure to modify as it is, or a
    draw of training crystals where nothing is asked."""

    label: str | None = None  # in tables and figures
    kind: Literal["template", "input", "copies"] = "template"
    task: Literal["generation", "modification", "composition"] | None = "generation"
    choice: Literal["random", "nearest_energy", "nearest_composition"] = "random"  # of templates
    seed: int = 0
    count: int = 1000  # training crystals to draw, without replacement
    max_targets: int | None = None
    per_target: int = Field(default=1, ge=1)  # crystals for each target; of the nearest composition, as many templates

    @model_validator(mode="after")
    def _input_exists(self):
        if self.kind == "input" and self.task != "modification":
            raise ValueError(f"{self.task} has no input to return; expected task modification")
        if (self.kind == "copies") != (self.task is None):
            raise ValueError(f"kind {self.kind} with task {self.task}; expected task null for copies, and for nothing else")
        return self


class Retrieval(Strict):
    """Training crystals looked up by composition, and prototypes distilled from them, as answers to every judged crystal."""

    count: int = Field(default=20, ge=2)  # candidates for each target
    ranker: bool = True
    min_members: int = Field(default=3, ge=1)  # training crystals behind a distilled prototype
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=2, ge=1)


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


class Energies(Strict):
    """Held-out compositions asked of models, of template substitution and of a random search, all relaxed alike (A Tables 2 and 3)."""

    rows: tuple[str, ...]  # ways to sample models that are told a composition
    compositions: int = Field(default=50, ge=1)  # formulas drawn from the side that models are judged on
    per_composition: int = Field(default=100, ge=1)  # crystals of each set
    relax_steps: int = 50
    fmax: float = 0.1  # eV/Å
    limit: float = 300.0  # s for one relaxation
    seed: int = 0
    workers: int = 2


class Guidance(Strict):
    """Energies asked for by classifier-free guidance, at several weights (A eq. 2), and what a potential says was obtained."""

    row: str  # a way to sample a UniMat model that is told the formation energy
    energies: tuple[float, ...]  # eV/atom
    weights: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)
    count: int = 32  # samples for each energy and weight


class Report(Strict):
    """How results are shown."""

    bootstrap: int = 2000  # redraws behind each 95 % interval
    gallery: int = 6


class Study(Strict):
    """A data set with a scale, and the models run on it."""

    title: str
    description: str
    data: Data
    benchmark: Literal["perov_5", "carbon_24", "mp_20"] | None = None  # whose published values stand beside the study's
    guidance: Guidance | None = None
    representations: Representations = Representations()
    models: dict[str, Model]
    baselines: dict[str, Baseline] = {}
    sampler_steps: SamplerSteps | None = None
    retrieval: Retrieval | None = None
    search: Search | None = None
    energies: Energies | None = None
    report: Report = Report()

    @model_validator(mode="after")
    def _rows_are_distinct(self):
        """A row of the tables is one way to sample one model, or one baseline."""
        rows = [row for model in self.models.values() for row in model.sampling] + list(self.baselines)
        if twice := sorted({row for row in rows if rows.count(row) > 1}):
            raise ValueError(f"rows {twice} are named twice; expected distinct names of samplings and baselines")
        matrix = [model for model in self.models.values() if model.representation == "matrix" and model.task == "generation"]
        allowed = [row for model in matrix for row in model.sampling]
        if self.guidance:
            row = self.guidance.row
            model = next((model for model in self.models.values() if row in model.sampling), None)
            told = model is not None and model.representation == "unimat" and model.task is None
            if not told or model.input.conditions != ("formation_energy_per_atom",):
                raise ValueError(f"guidance.row '{row}': expected a UniMat model with conditions [formation_energy_per_atom] and no other")
        told = [row for model in self.models.values() if model.task in ("generation", "composition") for row in model.sampling]
        if self.energies and (unknown := sorted(set(self.energies.rows) - set(told))):
            raise ValueError(f"energies.rows: {unknown} sample no model that is told a composition; expected some of {sorted(told)}")
        if self.search and (unknown := sorted(set(self.search.rows) - set(allowed))):
            raise ValueError(f"search.rows: {unknown} do not sample a conditional generation model; expected some of {sorted(allowed)}")
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

    question: str
    models: dict[str, MatrixModel]


class Ablations(Strict):
    """ablations/ablations.yaml: the ablations and the study on whose validation crystals they are judged."""

    study: str
    targets: int
    ablations: dict[str, Ablation]


def load_study(name: str) -> Study:
    """Read `studies/<name>/study.yaml`, or the study of a try by its name.

    Raises:
        StudyError: there is no such study, or keys are unknown, missing or of the wrong kind.
    """
    paths.need_checkout()
    path = paths.study_file(name)
    if not path.is_file():
        raise StudyError(f"{path}: no such study; expected one of {paths.study_names()}")
    return read_study(path)


def read_study(path: Path) -> Study:
    """Read a study file from anywhere (see `load_study`)."""
    return check_strict(Study, compose(path), path)


def load_ablations(path: Path = paths.ABLATIONS) -> Ablations:
    """Read `ablations/ablations.yaml`, whose models name presets as those of studies do."""
    return check_strict(Ablations, compose(path), path)


def read_selection() -> list[str]:
    """Read the names of the studies that `dvc repro` runs, params.yaml.

    Raises:
        FileNotFoundError: this is no checkout.
    """
    paths.need_checkout()
    return read_yaml(paths.ROOT / "params.yaml")["studies"]
