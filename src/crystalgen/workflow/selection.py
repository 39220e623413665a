"""params.yaml: the studies that `dvc repro` runs, and which stages each of them has."""

from pathlib import Path

import yaml

from crystalgen.config import Study, load_study

_HEADER = """\
# Written by `crystalgen select STUDY ...` (`make reproduce STUDIES="..."`) from studies/<name>.yaml: the studies that `dvc repro`
# runs, and the stages of each, by name. Select again after a model was added to a study or taken away.
"""


def select_studies(names: list[str], parameters: Path) -> None:
    """Write `parameters`.

    Raises:
        StudyError: there is no such study, or it cannot be used.
    """
    parameters.write_text(_HEADER + yaml.safe_dump(stages_of({name: load_study(name) for name in names}), sort_keys=False, width=1000))


def stages_of(studies: dict[str, Study]) -> dict:
    """What the stages of dvc.yaml are repeated over: lists of studies, and {`<study>-<model>`: {study, model}}."""

    def jobs(choose) -> dict:
        return {f"{name}-{model}": {"study": name, "model": model} for name, study in studies.items() for model in choose(study)}

    def trained(representation: str):
        return lambda study: [name for name, model in study.models.items() if model.representation == representation]

    def baselines(*tasks: str | None):
        return lambda study: [name for name, baseline in study.baselines.items() if baseline.task in tasks]

    return {
        "studies": list(studies),
        "matrix_studies": [name for name, study in studies.items() if "matrix" in _kinds(study)],
        "unimat_studies": [name for name, study in studies.items() if _kinds(study) == {"unimat"}],
        "asking_studies": [name for name, study in studies.items() if study.sampler_steps or study.search or study.energies],
        "sampler_studies": [name for name, study in studies.items() if study.sampler_steps],
        "search_studies": [name for name, study in studies.items() if study.search],
        "energy_studies": [name for name, study in studies.items() if study.energies],
        "representations": {name: {"study": name, "kinds": "+".join(sorted(_kinds(study)))} for name, study in studies.items()},
        "train_matrix": jobs(trained("matrix")),
        "train_unimat": jobs(trained("unimat")),
        "sample": jobs(lambda study: study.models),
        "baseline_matrix": jobs(baselines("generation", "modification")),
        "baseline_unimat": jobs(baselines("composition", None)),
        "evaluate": jobs(lambda study: [*study.models, *study.baselines]),
    }


def _kinds(study: Study) -> set[str]:
    return {model.representation for model in study.models.values()}
