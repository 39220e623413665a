"""What took hours and comes with the repository, data/shipped/STUDY: models, sets, their relaxations."""

import shutil
from pathlib import Path

from crystalgen.config import Study, load_study
from crystalgen.experiments.kept_sets import BASIS, TABLE
from crystalgen.generative.checkpoint import SCALES, SETTINGS
from crystalgen.potentials.relaxation import relax
from crystalgen.utils import paths
from crystalgen.utils.cache import pack
from crystalgen.utils.files import atomic, file_hash

MOST_BYTES = 16 * 2**20  # of a file in git


def ship(study: str) -> list[str]:
    """Copy each model that the search or the energies ask, its first seed's weights alone, networks that choose and correct, and sets;
    pack finished relaxations.

    Returns:
        lines to print: what was added.

    Raises:
        ValueError: no stage of the study asks models, or a file is too large for git.
        FileNotFoundError: a model that is asked has no weights here.
    """
    config, lines = load_study(study), []
    for name in _asked(study, config):
        folder, home = paths.model(study, name), paths.shipped(study) / "models" / name
        weights = paths.weights(study, name, config.models[name].training.seeds[0])
        if not weights.is_file():
            raise FileNotFoundError(f"{weights}: no trained weights to ship; train {name} first")
        files = (weights, folder / SETTINGS, folder / SCALES, folder / "card.json")
        lines += [str(_copy(file, home / file.relative_to(folder))) for file in files]
    if config.corrector:
        folder = paths.model(study, "corrector")
        if not (folder / "card.json").is_file():
            raise FileNotFoundError(f"{folder}: no trained networks to ship; run the stage `corrector` first")
        home = paths.shipped(study) / "models" / "corrector"
        lines += [str(_copy(file, home / file.name)) for file in sorted(folder.iterdir()) if file.is_file()]
    made = [paths.sets(study) / name for name in (TABLE, BASIS)]
    lines += [str(_copy(file, paths.shipped(study) / file.name)) for file in made if file.is_file()]
    added = pack(relax, paths.relaxations(study), paths.shipped(study) / "relaxations")
    return [*lines, f"{added} relaxations"]


def use_shipped(study: str) -> list[str]:
    """Put shipped models where the study's own would be.

    Returns:
        lines to print: the models.

    Raises:
        ValueError: nothing is shipped for the study; or another file is in the place of one, which stays.
    """
    home = paths.shipped(study) / "models"
    files = {file: paths.MODELS / study / file.relative_to(home) for file in sorted(home.rglob("*")) if file.is_file()}
    if not files:
        have = sorted(folder.parent.name for folder in paths.SHIPPED.glob("*/models"))
        raise ValueError(f"study {study}: no models come with the repository; expected one of {have}")
    for file, place in files.items():
        if place.is_file() and file_hash(place) != file_hash(file):
            raise ValueError(f"{place}: differs from {file}, and is kept; move models/{study} away to use what is shipped")
    for file, place in files.items():
        _copy(file, place)
    return [str(paths.model(study, folder.name)) for folder in sorted(home.iterdir())]


def _asked(study: str, config: Study) -> list[str]:
    rows = [row for stage in (config.search, config.energies) if stage for row in stage.rows]
    if not rows and not config.corrector:
        raise ValueError(f"study {study}: neither search nor energies nor a corrector, whose models could be shipped")
    return sorted({config.model_of(row) for row in rows})


def _copy(source: Path, target: Path) -> Path:
    if source.stat().st_size > MOST_BYTES:
        raise ValueError(f"{source}: {source.stat().st_size / 2**20:.0f} MiB; expected {MOST_BYTES // 2**20} MiB at most")
    with atomic(target) as partial:
        shutil.copyfile(source, partial)
    return target
