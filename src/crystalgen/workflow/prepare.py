"""Before a notebook runs: overrides of its study are checked and kept apart, and what it reads must be there."""

import hashlib
import json
from pathlib import Path

import yaml

from crystalgen.config import Study, load_study
from crystalgen.utils import paths
from crystalgen.utils.compose import compose, fill_presets, patched
from crystalgen.utils.files import atomic
from crystalgen.utils.strict import StudyError, check_strict
from crystalgen.workflow.stages import command, concrete, study_stages

_INTERNAL = ("data/interim/notebooks/", "data/interim/code/", "data/interim/settings/")  # for DVC to compare; notebooks read none of them


def prepare(key: str, study: str, model: str | None = None, overrides: dict | None = None) -> str:
    """Return the study whose files a stage's notebook is to read and write, all that it reads being there.

    Without overrides that is the study itself. With some it is a try, `STUDY-try-<digest of the overrides>`: a study of its own in
    `data/interim/tries`, no part of the pipeline. What a run of it lacks is linked from the study, so that each notebook can be run
    with overrides alone, and one after the other with the same overrides go on from each other's results.

    Args:
        key: the notebook's.
        study: its name.
        model: the model or baseline that the notebook is for.
        overrides: settings, nested as in the study's file: keys of the study's, or of the model's.

    Raises:
        ValueError: overrides that fit neither, or the study has no such stage.
        FileNotFoundError: an input is missing; naming it and the commands that make it.
    """
    chosen = _tried(study, model, overrides) if overrides else study
    study = chosen.split("-try-")[0]
    stages = concrete(study_stages(chosen, load_study(chosen), []))
    stage = _stage_of(key, chosen, model, stages)
    for path in stages[stage]["outs"]:
        _unlink(paths.ROOT / path)
    for path in stages[stage]["deps"]:
        if not path.startswith(_INTERNAL) and not (paths.ROOT / path).exists():
            original = paths.ROOT / _renamed(path, chosen, study)
            if not original.exists():
                raise FileNotFoundError(_missing(_renamed(path, chosen, study), study))
            (paths.ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (paths.ROOT / path).unlink(missing_ok=True)  # a link to what is gone
            (paths.ROOT / path).symlink_to(original.resolve())
    return chosen


def _stage_of(key: str, study: str, model: str | None, stages: dict[str, dict]) -> str:
    """Return the name of the stage that a notebook runs."""
    wanted = command(key, study=study, **({"model": model} if model else {}))
    for stage, what in stages.items():
        if what["cmd"] == wanted:
            return stage
    models = [stage.split("@")[1] for stage, what in stages.items() if what["cmd"].startswith(command(key, study=study) + " -p model=")]
    if models:
        raise ValueError(f"study {study}: nothing called '{model}' for the notebook {key}; expected one of {models}")
    if not any(f" run {key} " in what["cmd"] for what in stages.values()):
        raise ValueError(f"study {study}: its file asks for nothing that the notebook {key} does")
    raise ValueError(f"the notebook {key} takes no model, but was given '{model}'")


def _missing(path: str, study: str) -> str:
    """Say what is missing, which stage makes it, and by which commands."""
    config = load_study(study)
    for stage, what in concrete(study_stages(study, config, [])).items():
        if any(path == out or path.startswith(f"{out}/") or out.startswith(f"{path}/") for out in what["outs"]):
            by_hand = what["cmd"].removeprefix("python -m ")
            return f"{path}: missing; the stage {stage} makes it: `dvc repro studies/{study}/dvc.yaml:{stage}`, or `{by_hand}`"
    if path.startswith("data/raw/"):
        return f"{path}: missing; `crystalgen fetch {path.split('/')[2]}` brings the benchmark sets"
    return f"{path}: missing; expected with the repository, or as the study {study} says (data.path)"


def _tried(study: str, model: str | None, overrides: dict) -> str:
    """Write the study that overrides make of another, and return its name."""
    if not isinstance(overrides, dict):
        raise ValueError(f"overrides {overrides!r}: expected a mapping, such as {{'training': {{'steps': 200}}}}")
    suffix = f"-try-{hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()[:6]}"
    study = study.removesuffix(suffix)  # of a cell that is run again
    path = paths.study_file(study)
    content, config = compose(path), load_study(study)
    group = next((group for group in ("models", "baselines") if model in getattr(config, group)), None)
    own = type(getattr(config, group)[model]).model_fields if group else {}
    patch: dict = {}
    for name, value in overrides.items():
        if name in Study.model_fields:
            patch[name] = value
        elif name in own:
            patch.setdefault(group, {}).setdefault(model, {})[name] = value
        else:
            raise StudyError(f"overrides: unknown key '{name}'; expected some of {sorted(set(Study.model_fields) | set(own))}")
    content = _warmed_up(fill_presets(patched(content, patch), path), patch)
    check_strict(Study, content, f"overrides of the study {study}")
    with atomic(paths.TRIES / f"{study}{suffix}" / "study.yaml") as partial:
        partial.write_text(yaml.safe_dump(content | {"title": f"{config.title}, tried with {overrides}"[:200]}, sort_keys=False))
    return study + suffix


def _warmed_up(content: dict, patch: dict) -> dict:
    """Return settings whose warm-up ends with a training that a patch made shorter, unless the patch says how long it is."""
    for name, change in (patch.get("models") or {}).items() if isinstance(patch.get("models"), dict) else ():
        given = change.get("training") if isinstance(change, dict) else None
        if isinstance(given, dict) and isinstance(given.get("steps"), int) and "warmup" not in given:
            training = content["models"][name]["training"]
            training |= {"warmup": min(training["warmup"], given["steps"])} if "warmup" in training else {}
    return content


def _renamed(path: str, one: str, other: str) -> str:
    """Return a path of one study as that of another."""
    return "/".join(other if part == one else part for part in path.split("/"))


def _unlink(path: Path) -> None:
    """Remove links at or below a path, through which a run would write into another study's files."""
    for link in [path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else [])]:
        if link.is_symlink():
            link.unlink()
