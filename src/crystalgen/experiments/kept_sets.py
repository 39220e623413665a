"""Generated sets as they were relaxed: another processor gives other last digits, for which no finished relaxation would serve."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

import crystalgen
from crystalgen.config import Study
from crystalgen.crystals import read_crystals, write_crystals
from crystalgen.utils import paths
from crystalgen.utils.cache import digest
from crystalgen.utils.files import file_hash, write_json

TABLE, BASIS = "sets.parquet", "sets.json"
# What decides sets besides weights and settings: whatever changes in these files, sets are generated anew
_CODE = ("generate.py", "objectives.py", "samplers.py", "sampling.py", "nets", "represent",
         "physics/composition_sets.py", "physics/conditions.py", "physics/prototypes.py", "physics/random_search.py")  # fmt: skip


def kept_sets(study: str, config: Study, compositions: list[str], make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The sets that the same code and weights gave for the same request: from `paths.sets`, `paths.shipped`, or made now and kept.

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
    """What decides the sets, as JSON has it."""
    models = {}
    for row in config.energies.rows:
        name = config.model_of(row)
        model, weights = config.models[name], paths.weights(study, name, config.models[name].training.seeds[0])
        if not weights.is_file():
            raise FileNotFoundError(f"{weights}: no trained weights; train {name} first, or see `crystalgen use-shipped --help`")
        models[row] = {"weights": file_hash(weights), "settings": model.model_dump(mode="json", exclude={"training"})}
    asked = {"compositions": list(compositions), "per_composition": config.energies.per_composition, "seed": config.energies.seed}
    return json.loads(json.dumps({"code": _code(), "models": models, **asked}))


def _code() -> str:
    """A digest of the files of `_CODE`."""
    source = Path(crystalgen.__file__).parent
    files = sorted(file for name in _CODE for file in ([source / name] if name.endswith(".py") else (source / name).rglob("*.py")))
    return digest(*(part for file in files for part in (str(file.relative_to(source)), file.read_bytes())))
