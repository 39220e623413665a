"""Run a notebook so that the same run gives the same bytes, and fail so that the reason is the last thing seen."""

import os
import re
import sys
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from crystalgen.utils import paths

KERNEL = "python3"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# For the kernel to inherit. OMP_WAIT_POLICY is left alone: PASSIVE made small networks three times slower on two idle cores.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "JUPYTER_PREFER_ENV_PATH": "1", "CRYSTALGEN_ROOT": str(paths.ROOT)}


def run_notebook(name: str, parameters: dict) -> int:
    """Execute `notebooks/<name>.ipynb` (its cleaned copy) with parameters; returns the exit status.

    The executed, normalised notebook goes to `paths.executed_notebook`; a failed one beside it, as
    `<name>.failed.ipynb`.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: a parameter that the notebook's `parameters` cell doesn't have; its name is given.
    """
    paths.need_checkout()
    source = paths.CLEAN_NOTEBOOKS / f"{name}.ipynb"
    if not source.is_file():
        raise FileNotFoundError(
            f"{source}: no such notebook; expected one of {sorted(p.stem for p in paths.CLEAN_NOTEBOOKS.glob('*.ipynb'))}"
        )
    known = papermill.inspect_notebook(str(source))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{source.name}: unknown parameter {unknown}; expected some of {sorted(known)}")
    target = paths.executed_notebook(name, parameters)
    target.parent.mkdir(parents=True, exist_ok=True)
    failed = target.with_suffix(".failed.ipynb")
    os.environ.update(_ENVIRONMENT)
    try:
        papermill.execute_notebook(
            str(source), str(failed), parameters, kernel_name=KERNEL, progress_bar=False, log_output=False,
            extra_arguments=["--IPKernelApp.log_level=50"],  # its words are of many users and of the interrupt that ends it
            stdout_file=sys.stdout, stderr_file=sys.stderr, cwd=str(paths.ROOT),
        )  # fmt: skip
    except PapermillExecutionError as error:
        print(f"\n{failed} holds the run up to the failure; {name}, cell {error.exec_count}:", file=sys.stderr)
        print(_ANSI.sub("", "\n".join(error.traceback)), file=sys.stderr)
        return 1
    notebook = nbformat.read(failed, as_version=4)
    nbformat.write(normalise(notebook), target)
    failed.unlink()
    return 0


def clean_notebooks(source: Path, target: Path) -> None:
    """Copy notebooks without outputs, counts and metadata, so that saving an executed one changes nothing downstream."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = sorted(source.glob("*.ipynb"))
    for path in wanted:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(normalise(notebook), target / path.name)
    for stale in set(target.glob("*.ipynb")) - {target / p.name for p in wanted}:
        stale.unlink()


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs between two equal runs: timings, random ids, addresses, the repository's place, progress, widgets, versions."""
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {})
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
            for output in cell.outputs:
                output.pop("transient", None)
                if "text" in output:
                    output.text = _anywhere(output.text)
                for kind in {"text/plain", "text/html"} & set(output.get("data", {})):
                    output.data[kind] = _anywhere(output.data[kind])
                if "metadata" in output:
                    output.metadata = {}
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL}, "language_info": {"name": "python"}}
    )
    return notebook


def _anywhere(text: str) -> str:
    """Text of an output as it would be on any machine: paths from the repository on, no addresses in memory."""
    return _ADDRESS.sub("", text.replace(f"{paths.ROOT}/", ""))
