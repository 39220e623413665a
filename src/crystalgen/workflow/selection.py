"""params.yaml: the studies that `dvc repro` runs."""

import yaml

from crystalgen.config import Study, load_study
from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError
from crystalgen.workflow.compile import compile_studies

_HEADER = '# The studies that `dvc repro` runs: `crystalgen select STUDY ...`, or `make reproduce STUDIES="..."`\n'


def select_studies(names: list[str]) -> None:
    """Write the selection, and compile the studies.

    Raises:
        StudyError: there is no such study, it cannot be used, or its crystals are not there.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        _check_data(name, load_study(name))
    compile_studies(names)
    (paths.ROOT / "params.yaml").write_text(_HEADER + yaml.safe_dump({"studies": names}, sort_keys=False))


def _check_data(name: str, study: Study) -> None:
    path = paths.ROOT / study.data.path
    kind = path.is_dir() or path.suffix in (".csv", ".parquet")
    if kind and (path.exists() or path.with_name(f"{path.name}.dvc").is_file()):  # the latter is fetched by `dvc pull`
        return
    expected = "expected a folder of structure files, a .csv or a .parquet"
    if kind and path.is_relative_to(paths.RAW) and path != paths.RAW:
        expected = (
            f"`crystalgen fetch {path.relative_to(paths.RAW).parts[0]}` brings a benchmark set, `crystalgen fetch-aflow` AFLOW's crystals"
        )
    found = "another kind of file" if path.exists() else "there is no such file or folder"
    raise StudyError(f"{paths.study_file(name)}: data.path: {study.data.path}: {found}; {expected}")
