"""params.yaml: the studies that `dvc repro` runs."""

import yaml

from crystalgen.config import load_study
from crystalgen.utils import paths
from crystalgen.workflow.compile import compile_studies

_HEADER = '# The studies that `dvc repro` runs: `crystalgen select STUDY ...`, or `make reproduce STUDIES="..."`\n'


def select_studies(names: list[str]) -> None:
    """Write the selection, and compile the studies.

    Raises:
        StudyError: there is no such study, or it cannot be used.
    """
    for name in names:
        load_study(name)
    compile_studies(names)
    (paths.ROOT / "params.yaml").write_text(_HEADER + yaml.safe_dump({"studies": names}, sort_keys=False))
