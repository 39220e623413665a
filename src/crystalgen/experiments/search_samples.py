"""The crystals that a search starts from: each model's answers to the conditions, and the baseline's."""

import pandas as pd

from crystalgen.baselines.prototypes import decorate_prototypes
from crystalgen.config import Study
from crystalgen.experiments.search import EXPERIMENT
from crystalgen.generative.checkpoint import Model
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.utils import paths


def generate_for_search(study: str, config: Study, conditions: pd.DataFrame, crystals: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one crystal per condition of each of `search.rows`, by the first training seed, and the baseline's.

    Args:
        study: its name.
        config: its parameters.
        conditions: of `conditions.search_conditions`.
        crystals: the study's, with their split.

    Returns:
        crystals with row, composition, ladder and what was asked of them; and, for counting, a row per crystal asked for
        (row, composition, ladder), those among them that could not be decoded.

    Raises:
        FileNotFoundError: a model has no trained weights.
        ValueError: a condition that the network cannot be asked; it is named.
    """
    tables = [decorate_prototypes(config.search.compositions, crystals)]
    requested = [tables[0][EXPERIMENT]]
    for row in config.search.rows:
        name = config.model_of(row)
        model = Model.load(paths.model(study, name), count=1)
        made, _ = generate_for_conditions(model, conditions, config.models[name].sampling[row], row)
        tables.append(made.assign(row=row))
        requested.append(conditions[["composition", "ladder"]].assign(row=row))
    generated = pd.concat(tables, ignore_index=True)
    return generated.astype({"asked_space_group": "Int16"}), pd.concat(requested, ignore_index=True)
