"""Sets of crystals of the same held-out compositions: of models, of template substitution, of a random search (A §2.3)."""

import numpy as np
import pandas as pd

from crystalgen.baselines.prototypes import TEMPLATE, decorate_prototypes
from crystalgen.baselines.random_search import random_crystals
from crystalgen.config import Energies, Study
from crystalgen.experiments.conditions import training_space_groups
from crystalgen.generative.checkpoint import Model
from crystalgen.represent.canonical import composition_numbers
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths


def held_out_compositions(study: str, config: Study, crystals: pd.DataFrame) -> list[str]:
    """Formulas of whole cells, a draw from those of the judged side that every model asked can be told.

    Raises:
        ValueError: there is none.
    """
    settings = config.energies
    judged = crystals[crystals["split"] == "test"]
    names = np.array(sorted(set(judged["formula"])))
    models = [_model(study, config, row) for row in settings.rows]
    names = np.array([name for name in names if all(model.knows(composition_numbers(name)) for model in models)], dtype=object)
    if not len(names):
        raise ValueError(f"study {study}: no held-out formula is within what {', '.join(settings.rows)} can be told")
    drawn = np.random.default_rng(settings.seed).permutation(len(names))[: settings.compositions]
    return sorted(names[drawn])


def generate_sets(study: str, config: Study, compositions: list[str], crystals: pd.DataFrame, library: pd.DataFrame) -> pd.DataFrame:
    """`per_composition` crystals of each composition by each of `energies.rows`, by template substitution and by random search.

    A matrix model is also told a space group, drawn as the training crystals have them, and the energy of a hull that knows none of
    the held-out formulas.

    Args:
        study: its name.
        config: its parameters.
        compositions: of `held_out_compositions`.
        crystals: the study's.
        library: whose hull is drawn.

    Returns:
        crystals with row and composition; fewer where a model's could not be decoded or there are not so many templates.
    """
    settings, rng = config.energies, np.random.default_rng(config.energies.seed)
    conditions = composition_conditions(compositions, settings, crystals, library)
    tables = []
    for row in settings.rows:
        sampling = config.models[config.model_of(row)].sampling[row]
        made, _ = generate_for_conditions(_model(study, config, row), conditions, sampling, row)
        tables.append(made.assign(row=row))
    templates = decorate_prototypes(compositions, crystals)
    order = pd.Series(rng.permutation(len(templates)), index=templates.index)
    first = order.groupby(templates["composition"]).rank() <= settings.per_composition
    tables.append(templates[first])
    numbers = {name: composition_numbers(name) for name in compositions}
    tables.append(random_crystals(numbers, settings.per_composition, settings.seed, settings.workers))
    return pd.concat(tables, ignore_index=True).astype({"asked_space_group": "Int16"})


def composition_conditions(compositions: list[str], settings: Energies, crystals: pd.DataFrame, library: pd.DataFrame) -> pd.DataFrame:
    """Return what a model is asked, a row per crystal: composition, atomic_numbers, space_group, formation_energy_per_atom (eV)."""
    held_out = crystals.loc[crystals["split"] != "train", "reduced_formula"]
    hull = Hull(library[~library["reduced_formula"].isin(set(held_out)) | (library["reduced_formula"].map(_is_element))])
    groups = crystals.loc[crystals["split"] == "train", "space_group"].dropna().astype(int)
    known = training_space_groups(crystals)
    frequencies = groups.value_counts(normalize=True).reindex(known).to_numpy()
    rng = np.random.default_rng(settings.seed)
    rows = [
        (name, composition_numbers(name), int(group), hull.energy_at(name))
        for name in compositions
        for group in rng.choice(known, settings.per_composition, p=frequencies)
    ]
    return pd.DataFrame(rows, columns=["composition", "atomic_numbers", "space_group", "formation_energy_per_atom"])


def _model(study: str, config: Study, row: str) -> Model:
    return Model.load(paths.model(study, config.model_of(row)), count=1)


def _is_element(formula: str) -> bool:
    return len(set(composition_numbers(formula))) == 1


__all__ = ["TEMPLATE", "composition_conditions", "generate_sets", "held_out_compositions"]
