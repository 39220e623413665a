"""Generated sets as they were relaxed: another processor gives other last digits, for which no finished relaxation would serve."""

import json
from collections.abc import Callable

import pandas as pd

from crystalgen.config import Study
from crystalgen.crystals import read_crystals, write_crystals
from crystalgen.experiments.composition_sets import generate_sets
from crystalgen.utils import paths
from crystalgen.utils.code_digest import function_digest
from crystalgen.utils.files import file_hash, write_json

TABLE, BASIS = "sets.parquet", "sets.json"


def kept_sets(study: str, config: Study, compositions: list[str], make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return the sets that the same code and weights gave for the same request: from `paths.sets`, `paths.shipped`, or made now and kept.

    Args:
        study: its name.
        config: its parameters.
        compositions: that are asked.
        make: gives the sets, a table of crystals with row and composition.

    Raises:
        FileNotFoundError: weights of a model that is asked are missing.
    """
    basis = _basis(study, config, compositions)
    for folder in (paths.sets(study), paths.shipped(study)):
        if (folder / BASIS).is_file() and json.loads((folder / BASIS).read_text()) == basis:
            return read_crystals(folder / TABLE)
    sets, home = make(), paths.sets(study)
    (home / BASIS).unlink(missing_ok=True)  # an old basis never stands beside new sets
    write_crystals(sets, home / TABLE)
    write_json(basis, home / BASIS)
    return read_crystals(home / TABLE)


def _basis(study: str, config: Study, compositions: list[str]) -> dict:
    """Return what decides the sets, as JSON has it."""
    models = {}
    for row in config.energies.rows:
        name = config.model_of(row)
        model, weights = config.models[name], paths.weights(study, name, config.models[name].training.seeds[0])
        if not weights.is_file():
            raise FileNotFoundError(f"{weights}: no trained weights; train {name} first, or see `crystalgen use-shipped --help`")
        models[row] = {"weights": file_hash(weights), "settings": model.model_dump(mode="json", exclude={"training", "label"})}
    asked = {"compositions": list(compositions), "per_composition": config.energies.per_composition, "seed": config.energies.seed}
    return json.loads(json.dumps({"code": _code(), "models": models, **asked}))


def _code() -> str:
    """Return a digest of the code that generates sets."""
    return function_digest(generate_sets)
