"""Name each model and baseline of a study for a reader: the study file's `label`, or one that follows from the settings."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from crystalgen.baselines.prototypes import TEMPLATE
from crystalgen.baselines.random_search import RANDOM
from crystalgen.baselines.rows import CORRECTOR_ROWS, ROWS, UNCONDITIONAL_ROWS
from crystalgen.config import Study, load_study
from crystalgen.config.study import Baseline

if TYPE_CHECKING:
    from crystalgen.generative.settings import Model

_OBJECTIVES = {"regression": "regression", "flow": "flow matching", "diffusion": "diffusion", "endpoint": "flow to its end point"}
_OBJECTIVES |= {"bins": "flow by bins", "masked": "masked prediction"}
_PRIORS = {"uniform": " from U(0,1)", "normal": " from normal noise", "structure": ""}
_TEMPLATES = {"random": "Template substitution", "nearest_energy": "Template of nearest energy"}
_TEMPLATES |= {"nearest_composition": "Template of nearest composition"}


def model_labels(config: Study) -> dict[str, str]:
    """Return the label of each model of the study, by its name, in the study's order."""
    return _distinct({name: getattr(model, "label", None) or _model_label(model) for name, model in config.models.items()})


def row_labels(config: Study) -> dict[str, str]:
    """Return the label of each row of the study's tables, models before baselines: a way to sample a model, or a baseline.

    A model with several ways to sample has the sampler in brackets, where these have no labels. Sets of equal composition have
    two baselines more.
    """
    labels, models = {}, model_labels(config)
    for name, model in config.models.items():
        for row, sampling in model.sampling.items():
            labels[row] = sampling.label or models[name] + (f" ({sampling.sampler.upper()})" if len(model.sampling) > 1 else "")
    labels |= {name: getattr(item, "label", None) or _baseline_label(item) for name, item in config.baselines.items()}
    labels |= ROWS if config.retrieval else {}
    labels |= CORRECTOR_ROWS if config.corrector else {}
    for other in config.beside:
        labels |= {row: label for row, label in row_labels(load_study(other)).items() if row not in labels}
    labels |= UNCONDITIONAL_ROWS if config.beside else {}
    labels.setdefault(TEMPLATE, _TEMPLATES["random"])
    return _distinct(labels | {RANDOM: "Random search"})


def labelled(names: Iterable[str], labels: dict[str, str]) -> pd.Categorical:
    """Return the rows' labels as a categorical in the order of `labels`; an unknown row is its own label and comes last."""
    shown = [labels.get(name, name) for name in names]
    return pd.Categorical(shown, list(dict.fromkeys([*labels.values(), *shown])))


def ordered(names: Iterable[str], labels: dict[str, str]) -> list[str]:
    """Return distinct rows in the order of `labels`, unknown ones last and by name."""
    order = list(labels)
    return sorted(set(names), key=lambda name: (order.index(name) if name in labels else len(order), name))


def within_sentence(label: str) -> str:
    """Return a baseline's label as it stands within a sentence."""
    return label[:1].lower() + label[1:]


def _model_label(model: "Model") -> str:
    objective = _OBJECTIVES[model.objective.name] + _PRIORS[getattr(model.objective, "prior", "structure")]
    if model.representation == "matrix":
        network = "Matrix U-Net" if model.net.name == "unet1d" else f"Matrix {model.net.name}"
        return f"{network}, {'modification by ' if model.task == 'modification' else ''}{objective}"
    conditions = ["the composition"] if model.input.composition == "exact" else []
    conditions += ["the elements"] if model.input.composition == "type" else []
    conditions += [name.replace("_per_atom", "").replace("_", " ") for name in model.input.conditions]
    return f"UniMat, {objective}" + (f", conditioned on {' and '.join(conditions)}" if conditions else "")


def _baseline_label(baseline: Baseline) -> str:
    if baseline.kind == "input":
        return "Input structure unchanged"
    if baseline.kind == "copies":
        return "Random training crystals"
    return _TEMPLATES[baseline.choice] + (" for modification" if baseline.task == "modification" else "")


def _distinct(labels: dict[str, str]) -> dict[str, str]:
    """Put the id in brackets behind each label that another row has too."""
    texts = list(labels.values())
    return {name: f"{text} ({name})" if texts.count(text) > 1 else text for name, text in labels.items()}
