"""Which parts of a study do not go together: found out when its file is read, not after hours of training."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crystalgen.generative.settings import Model
from crystalgen.utils.formulas import parse_composition

if TYPE_CHECKING:
    from crystalgen.config.study import Study


def check_parts(study: "Study") -> Iterator[str]:
    """Yield what does not fit, each as one line that names the keys and what was expected."""
    if not (study.models or study.baselines or study.retrieval):
        yield "models: none; expected some, or baselines, or retrieval"
    if study.corrector and not study.retrieval:
        yield "corrector: chooses among what retrieval finds; expected retrieval"
    yield from _check_names(study)
    yield from _check_rows(study)
    yield from check_training(study.models)
    yield from _check_steps(study)
    yield from _check_elements(study)


def check_training(models: dict[str, Model]) -> Iterator[str]:
    """Yield what does not fit of models' training; a default that is longer than a short run is nobody's mistake."""
    for name, model in models.items():
        training = model.training
        if "warmup" in training.model_fields_set and training.warmup > training.steps:
            yield f"models.{name}.training.warmup: {training.warmup}; expected at most the {training.steps} steps of training"


def _check_names(study: "Study") -> Iterator[str]:
    """A row of the tables is one way to sample one model, or one baseline; each model and baseline has a folder."""
    rows = [row for model in study.models.values() for row in model.sampling] + list(study.baselines)
    if twice := _named_twice(rows):
        yield f"rows {twice} are named twice; expected distinct names of samplings and baselines"
    if twice := _named_twice([*study.models, *study.baselines]):
        yield f"models and baselines {twice} are named alike; expected distinct names, since folders are called so"


def _check_rows(study: "Study") -> Iterator[str]:
    models = study.models.values()
    if study.guidance:
        row = study.guidance.row
        model = next((model for model in models if row in model.sampling), None)
        told = model is not None and model.representation == "unimat" and model.task is None
        if not told or model.input.conditions != ("formation_energy_per_atom",):
            yield f"guidance.row '{row}': expected a UniMat model with conditions [formation_energy_per_atom] and no other"
    told = [row for model in models if model.task in ("generation", "composition") for row in model.sampling]
    if study.energies and (unknown := sorted(set(study.energies.rows) - set(told))):
        yield f"energies.rows: {unknown} sample no model that is told a composition; expected some of {sorted(told)}"
    allowed = [row for model in _generation(study) for row in model.sampling]
    if study.search and (unknown := sorted(set(study.search.rows) - set(allowed))):
        yield f"search.rows: {unknown} do not sample a conditional generation model; expected some of {sorted(allowed)}"


def _check_steps(study: "Study") -> Iterator[str]:
    if study.sampler_steps is None:
        return
    models = _generation(study)
    if not models:
        yield "sampler_steps: no model generates matrices; expected one, or no sampler_steps"
    most = min((model.objective.train_steps for model in models if model.objective.name == "diffusion"), default=None)
    if most is not None and (above := [steps for steps in study.sampler_steps.steps if steps > most]):
        yield f"sampler_steps.steps: {above}; expected at most {most}, the train_steps of a diffusion model"


def _check_elements(study: "Study") -> Iterator[str]:
    used = study.data.filter.elements
    if used is None:
        return
    asked = {"representations.unimat_elements": study.representations.unimat_elements or ()}
    if study.search:
        asked |= {f"search.compositions: {name}": tuple(parse_composition(name)) for name in study.search.compositions}
    for key, elements in asked.items():
        if strange := [symbol for symbol in elements if symbol not in used]:
            yield f"{key}: {strange} are none of data.filter.elements; expected some of {list(used)}"


def _generation(study: "Study") -> list:
    return [model for model in study.models.values() if model.representation == "matrix" and model.task == "generation"]


def _named_twice(names: list[str]) -> list[str]:
    """Names that stand twice, be it in capital letters, which some file systems do not tell apart."""
    plain = [name.lower() for name in names]
    return sorted({name for name in names if plain.count(name.lower()) > 1})
