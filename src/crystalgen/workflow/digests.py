"""data/interim/code: what code each notebook reaches, so that a stage reruns when it changes and not otherwise."""

import json

from crystalgen.utils import paths
from crystalgen.utils.code_digest import code_of
from crystalgen.utils.files import write_json

# Stages that run no notebook, and the modules that they run
MODULES = {"settings": "crystalgen.workflow.compile", "build-library": "crystalgen.library.build", "report": "crystalgen.report.pages"}


def write_digests() -> None:
    """Write `paths.CODE`/<key>.json for each cleaned notebook and each of the other stages: a digest per module."""
    digests = {file.stem: notebook_code(json.loads(file.read_text())) for file in sorted(paths.CLEAN_NOTEBOOKS.glob("*.ipynb"))}
    digests |= {key: code_of(f"import {module}", everything=True) for key, module in MODULES.items()}
    for key, code in digests.items():
        write_json(code, paths.CODE / f"{key}.json")


def notebook_code(notebook: dict) -> dict[str, str]:
    """Return the digests of the modules that a notebook's cells reach."""
    cells = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return code_of("\n".join(cells))
