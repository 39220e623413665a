"""What took hours and comes with the repository, data/shipped/STUDY: weights of the models that stages ask, sets, their relaxations."""

import json
import shutil
from pathlib import Path

from crystalgen.config import Study, load_study
from crystalgen.experiments.kept_sets import BASIS, TABLE
from crystalgen.potentials.single_point import relax
from crystalgen.utils import paths
from crystalgen.utils.cache import pack
from crystalgen.utils.files import atomic, file_hash
from crystalgen.workflow.notebooks import run_notebook

MOST_BYTES = 16 * 2**20  # of a file in git


def ship(study: str) -> list[str]:
    """Copy the first seed's weights and the card of each model that the search or the energies ask, and sets; pack finished relaxations.

    Returns:
        lines to print: what was added.

    Raises:
        ValueError: no stage of the study asks models, or a file is too large for git.
        FileNotFoundError: a model that is asked has no weights here.
    """
    config, lines = load_study(study), []
    for name in _asked(study, config):
        folder, home = paths.model(study, name), paths.shipped(study) / "weights" / name
        weights = paths.weights(study, name, config.models[name].training.seeds[0])
        if not weights.is_file():
            raise FileNotFoundError(f"{weights}: no trained weights to ship; train {name} first")
        if weights.stat().st_size > MOST_BYTES:
            raise ValueError(f"{weights}: {weights.stat().st_size / 2**20:.0f} MiB; expected {MOST_BYTES // 2**20} MiB at most")
        lines += [str(_copy(file, home / file.name)) for file in (weights, folder / "card.json")]
    made = [paths.sets(study) / name for name in (TABLE, BASIS)]
    lines += [str(_copy(file, paths.shipped(study) / file.name)) for file in made if file.is_file()]
    added = pack(relax, paths.relaxations(study), paths.shipped(study) / "relaxations")
    return [*lines, f"{added} relaxations"]


def use_shipped(study: str) -> list[str]:
    """Put shipped weights where the study's models are, and make the study's crystals and tensors if they are not there.

    Returns:
        lines to print: the models, and which of them were trained on other tensors than this machine made.

    Raises:
        ValueError: nothing is shipped for the study; or other weights are in a model's place, which stay.
    """
    config, home = load_study(study), paths.shipped(study) / "weights"
    models = sorted(folder.name for folder in home.glob("*") if folder.is_dir())
    if not models:
        have = sorted(folder.parent.name for folder in paths.SHIPPED.glob("*/weights"))
        raise ValueError(f"study {study}: no weights come with the repository; expected one of {have}")
    files = [(file, _place(study, file)) for name in models for file in sorted((home / name).iterdir())]
    for file, place in files:
        if place.is_file() and file_hash(place) != file_hash(file):
            raise ValueError(f"{place}: differs from {file}, and is kept; move models/{study} away to use what is shipped")
    if not paths.crystals(study).is_file():
        for notebook in ("data", "representations"):
            if status := run_notebook(notebook, {"study": study}):
                raise ValueError(f"{notebook} of {study} ended with status {status}; see above")
    for file, place in files:
        _copy(file, place)
    return [_said(study, config, name) for name in models]


def _asked(study: str, config: Study) -> list[str]:
    rows = [row for stage in (config.search, config.energies) if stage for row in stage.rows]
    if not rows:
        raise ValueError(f"study {study}: neither search nor energies, whose models could be shipped")
    return sorted({config.model_of(row) for row in rows})


def _place(study: str, file: Path) -> Path:
    folder = paths.model(study, file.parent.name)
    return folder / file.name if file.suffix == ".json" else folder / "weights" / file.name


def _said(study: str, config: Study, name: str) -> str:
    card = json.loads((paths.model(study, name) / "card.json").read_text())
    same = card["data_sha256"] == file_hash(paths.tensors(study, config.models[name].representation))
    return f"{paths.model(study, name)}" + ("" if same else ": trained on tensors that differ from those made here")


def _copy(source: Path, target: Path) -> Path:
    with atomic(target) as partial:
        shutil.copyfile(source, partial)
    return target
