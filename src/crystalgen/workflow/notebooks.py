"""Run a notebook so that the same run gives the same bytes, and fail so that the reason is the last thing seen."""

import logging
import re
import sys

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from crystalgen.config import load_ablations
from crystalgen.utils import paths
from crystalgen.utils.values import check_name, shown
from crystalgen.utils.yaml_files import YamlError, parse_yaml
from crystalgen.workflow import kernel
from crystalgen.workflow.prepare import prepare

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_START = 300  # s for a kernel to answer, whose packages may lie on a slow disk


def run_notebook(name: str, parameters: dict) -> int:
    """Execute a notebook of `paths.NOTEBOOKS` with parameters; returns the exit status.

    The executed, normalised notebook goes to `paths.executed_notebook`; a failed one beside it, as `<name>.failed.ipynb`. The notebook
    of a stage starts only if all that it reads is there; with `overrides` it writes to a place of its own (see `prepare.prepare`).

    Args:
        name: its key, `train`, or its file's name.
        parameters: by name; text is read as YAML where the notebook's default is no text.

    Raises:
        FileNotFoundError: there is no such notebook, or an input is missing.
        ValueError: a parameter that the notebook's `parameters` cell doesn't have, or a value that cannot be.
    """
    paths.need_checkout()
    key, notebooks = paths.notebook_key(name), paths.notebooks()
    if key not in notebooks:
        raise FileNotFoundError(f"{paths.NOTEBOOKS}: no notebook '{name}'; expected one of {list(notebooks)}")
    source = notebooks[key]
    known = papermill.inspect_notebook(str(source))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{source.name}: unknown parameter {unknown}; expected some of {sorted(known)}")
    parameters = {name: _typed(name, value, known[name]["default"]) for name, value in parameters.items()}
    for which in ("study", "model", "ablation"):  # the result's folder and file are called so
        if parameters.get(which) is not None:
            check_name(parameters[which], which)
    if parameters.get("ablation") and parameters["ablation"] not in (chosen := load_ablations().ablations):
        raise ValueError(f"ablation '{parameters['ablation']}': expected one of {list(chosen)}")
    if "overrides" in known:
        default = {name: parse_yaml(known[name]["default"]) for name in ("study", "model") if name in known}
        chosen = default | parameters
        study = prepare(key, chosen["study"], chosen.get("model"), chosen.get("overrides"))
        parameters = {**parameters, "study": study, **({"overrides": {}} if "overrides" in parameters else {})}
    target = paths.executed_notebook(key, parameters)
    target.parent.mkdir(parents=True, exist_ok=True)
    failed = target.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # of a kernel that dies, `death` says more
    try:
        with kernel.environment():
            papermill.execute_notebook(
                str(source), str(failed), parameters, kernel_name=kernel.NAME, kernel_manager_class=kernel.ThisPython,
                start_timeout=_START, progress_bar=False, log_output=False,
                extra_arguments=["--IPKernelApp.log_level=50"],  # its words are of many users and of the interrupt that ends it
                stdout_file=sys.stdout, stderr_file=sys.stderr, cwd=str(paths.ROOT),
            )  # fmt: skip
    except PapermillExecutionError as error:
        print(f"\n{failed} holds the run up to the failure; {source.name}, cell {error.exec_count}:", file=sys.stderr)
        print(_ANSI.sub("", "\n".join(error.traceback)), file=sys.stderr)
        return 1
    except (RuntimeError, OSError) as error:  # nbclient's DeadKernelError among them; or no process, or no disk to write to
        print(f"crystalgen: {kernel.death(key, parameters, failed, error)}", file=sys.stderr)
        return 1
    notebook = nbformat.read(failed, as_version=4)
    nbformat.write(normalise(notebook), target)
    failed.unlink()
    return 0


def _typed(name: str, value, default: str):
    """Return a parameter's value: text as it is where the default is text, else read as YAML."""
    if not isinstance(value, str) or default[:1] in ("'", '"'):
        return value
    try:
        return parse_yaml(value)
    except YamlError as error:
        raise ValueError(f"parameter {name}: {shown(value)}: {error}") from None


def clean_notebooks() -> None:
    """Copy notebooks to `paths.CLEAN_NOTEBOOKS` by their keys, without outputs, counts and metadata.

    Stages depend on the copies, so that neither saving a notebook with outputs nor another number in its name changes anything.
    """
    for key, path in paths.notebooks().items():
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        paths.CLEAN_NOTEBOOKS.mkdir(parents=True, exist_ok=True)
        nbformat.write(normalise(notebook), paths.CLEAN_NOTEBOOKS / f"{key}.ipynb")
    for stale in set(paths.CLEAN_NOTEBOOKS.glob("*.ipynb")) - {paths.CLEAN_NOTEBOOKS / f"{key}.ipynb" for key in paths.notebooks()}:
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
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": kernel.NAME}, "language_info": {"name": "python"}}
    )
    return notebook


def _anywhere(text: str) -> str:
    """Text of an output as it would be on any machine: paths from the repository on, no addresses in memory."""
    return _ADDRESS.sub("", text.replace(f"{paths.ROOT}/", ""))
