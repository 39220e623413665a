"""Studies compiled for DVC: `dvc.yaml` beside each study's file, and the settings that its stages depend on."""

from pathlib import Path

import yaml

from crystalgen.config import Study, load_ablations, load_study
from crystalgen.utils import paths
from crystalgen.utils.compose import files_of
from crystalgen.utils.files import write_json
from crystalgen.utils.strict import StudyError
from crystalgen.utils.values import check_study_name
from crystalgen.workflow.stages import ABLATIONS, ablation_stages, study_stages

_HEADER = """\
# Compiled by `crystalgen compile {name}` from {source}, which is the file to change. Each stage depends on its notebook, on digests of
# the code that the notebook reaches (data/interim/code), on the settings that it reads (data/interim/settings), and on data.
"""


def compile_studies(names: list[str]) -> list[Path]:
    """Write the `dvc.yaml` of studies, or of the ablations by the name `ablations`; returns the files that changed.

    Raises:
        StudyError: there is no such study, or it cannot be used.
    """
    texts = {_pipeline_file(name): compiled(name) for name in names}  # all, before any is written
    changed = [file for file, text in texts.items() if not file.is_file() or file.read_text() != text]
    for file in changed:
        file.write_text(texts[file])
    return changed


def compiled(name: str) -> str:
    """Return the text of a study's `dvc.yaml`."""
    source = _source(name)
    sources = [_relative(file) for file in files_of(source)]
    stages = ablation_stages(load_ablations(source), sources) if name == ABLATIONS else study_stages(name, load_study(name), sources)
    text = yaml.safe_dump({"stages": stages}, sort_keys=False, width=1000)
    return _HEADER.format(name=name, source=_relative(source)) + text


def write_settings(name: str) -> None:
    """Write a study's resolved settings, a file for each part that stages read, to `paths.settings`.

    Raises:
        StudyError: the compiled pipeline is not that of the study's file.
    """
    file = _pipeline_file(name)
    if not file.is_file() or file.read_text() != compiled(name):
        raise StudyError(f"{file}: out of date with {_source(name).name}; run `crystalgen compile {name}`, then `dvc repro` again")
    parts = ablation_parts() if name == ABLATIONS else settings_parts(load_study(name))
    for part, content in parts.items():
        write_json(content, paths.settings(name) / f"{part}.json")


def settings_parts(study: Study) -> dict[str, dict]:
    """Return what stages read of a study, defaults filled in, by the name of the part."""
    whole = study.model_dump(mode="json")
    drawn, chosen = {"bootstrap": whole["report"]["bootstrap"]}, {"benchmark": whole["benchmark"]}
    labels = {"labels": {name: item.label for name, item in (study.models | study.baselines).items() if item.label}}
    parts = {
        "data": whole["data"],
        "representations": whole["representations"] | {"kinds": study.kinds},
        "evaluate": chosen | drawn,
        "sampler-steps": {"sampler_steps": whole["sampler_steps"]} | drawn | labels,
        "retrieval": {"retrieval": whole["retrieval"]} | chosen | drawn,
        "corrector": {"corrector": whole["corrector"]},
        "search": {"search": whole["search"]} | labels,
        "compounds": {"compounds": whole["compounds"]},
        "energies": {"energies": whole["energies"]} | drawn | labels,
        "results": {key: value for key, value in whole.items() if key not in ("title", "description")},
        "report": whole,
    }
    for name, model in study.models.items():
        content = model.model_dump(mode="json", exclude={"label", "training", "sampling"})
        parts[f"models/{name}/model"] = content | {"task": model.task, "seeds": model.training.seeds}
        parts |= {f"models/{name}/{part}": whole["models"][name][part] for part in ("training", "sampling")}
    return parts | {f"baselines/{name}": baseline.model_dump(mode="json", exclude={"label"}) for name, baseline in study.baselines.items()}


def ablation_parts() -> dict[str, dict]:
    """Return what each ablation reads."""
    ablations = load_ablations()
    shared = {"study": ablations.study, "targets": ablations.targets}
    return {name: shared | ablation.model_dump(mode="json") for name, ablation in ablations.ablations.items()}


def _source(name: str) -> Path:
    return paths.ABLATIONS if name == ABLATIONS else paths.study_file(check_study_name(name))


def _pipeline_file(name: str) -> Path:
    return _source(name).with_name("dvc.yaml")


def _relative(file: Path) -> str:
    return str(file.resolve().relative_to(paths.ROOT.resolve()))
