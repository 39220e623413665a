"""The Python that executes notebooks: this one, whatever kernels the machine offers, and what is said when it dies."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from crystalgen.utils import paths

NAME = "python3"
# For the kernel to inherit. OMP_WAIT_POLICY is left alone: PASSIVE made small networks three times slower on two idle cores.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "CRYSTALGEN_ROOT": str(paths.ROOT)}
_CAUSES = {
    signal.SIGKILL: "most likely for want of memory",
    signal.SIGTERM: "stopped from outside, as a queue does at its time limit",
    signal.SIGSEGV: "a fault in compiled code, perhaps for want of memory",
    signal.SIGABRT: "a fault in compiled code, perhaps for want of memory",
    signal.SIGBUS: "a fault in compiled code, perhaps for want of memory or disk",
    signal.SIGXCPU: "at a limit of computing time",
}


class ThisPython(AsyncKernelManager):
    """Starts a kernel of this interpreter: no search for kernel specifications, which JUPYTER_PATH or a user's own would lead astray."""

    status: int | None = None  # how the last kernel of this process ended

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return the specification, which nothing outside this process decides."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, name=NAME, display_name="Python 3", language="python")

    async def _async_is_alive(self) -> bool:
        alive = await super()._async_is_alive()
        if not alive and self.has_kernel:
            ThisPython.status = await self.provisioner.poll()
        return alive

    is_alive = _async_is_alive


@contextmanager
def environment() -> Iterator[None]:
    """Set what a kernel inherits: no start-up files of a user's IPython, and a place of its own for its connection."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="crystalgen-kernel-") as home:
        os.environ.update(_ENVIRONMENT | {"IPYTHONDIR": home, "JUPYTER_RUNTIME_DIR": home})
        os.environ.pop("PYTHONSTARTUP", None)
        ThisPython.status = None
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def death(key: str, parameters: dict, failed: Path, error: Exception) -> str:
    """Say in one line which stage's kernel died, the likely cause, and how to go on.

    Args:
        key, parameters: of the notebook.
        failed: the notebook as executed so far, if it came so far.
        error: as it was raised.
    """
    which = ", ".join(f"{name} {parameters[name]}" for name in ("study", "model", "ablation") if parameters.get(name))
    cell = _last_cell(failed) if failed.is_file() else 0
    where = f"in cell {cell}" if cell else "before the first cell"
    goes_on = " from the last checkpoint" if key in ("train", "ablation") else ""
    kept = f"; {failed} holds the run up to there" if cell else ""
    return (
        f"stage {key}{f' ({which})' if which else ''}: its Python ended {where}: {_cause(error)}; "
        f"run the same command again, which goes on{goes_on}, with more memory or fewer processes if it recurs{kept}"
    )


def _cause(error: Exception) -> str:
    status = ThisPython.status
    if status is None:  # it did not answer, or could not be started
        return " ".join(str(error).split())[:200] or type(error).__name__
    number = -status if status < 0 else status - 128 if status > 128 else 0  # the latter through a shell
    if number in list(signal.Signals):
        return f"killed by {signal.Signals(number).name}, {_CAUSES.get(number, 'from outside')}"
    return f"it left by itself with status {status}; what it printed last says why"


def _last_cell(failed: Path) -> int:
    """Return the number of the code cell that was executed last, 0 before the first."""
    cells = [cell for cell in nbformat.read(failed, as_version=4).cells if cell.cell_type == "code"]
    begun = [number for number, cell in enumerate(cells, 1) if cell.metadata.get("papermill", {}).get("start_time")]
    return max(begun, default=0)
