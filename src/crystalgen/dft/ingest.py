"""A tree of folders with calculations, as one table: a row per calculation, whatever state it is in."""

from pathlib import Path

import pandas as pd

from crystalgen.dft.ase_read import read_ase
from crystalgen.dft.find import REFUSED, find_calculations
from crystalgen.dft.rows import COLUMNS, FailedRun
from crystalgen.dft.settings import ids_by_potentials
from crystalgen.dft.text import Unreadable, content_hash, ends_of, irregular
from crystalgen.dft.vasp import read_vasp
from crystalgen.utils.cache import compute_keyed, digest, versions
from crystalgen.utils.code_digest import function_digest
from crystalgen.utils.timeout import TimeLimit, time_limit

TIME_LIMIT = 120.0  # s for one calculation
_PASSING = "passing"  # marks a row that may be another next time, with the same files


def ingest(root: Path, cache: Path, workers: int = 2, limit: float = TIME_LIMIT) -> pd.DataFrame:
    """Read every calculation of VASP, GPAW and Quantum ESPRESSO below a folder.

    Args:
        root: any tree; a calculation is a vasprun.xml, an OUTCAR, or both, with a step's name such as `.relax1` or without; or a
            text output of the other two, whatever it is called. All plain or packed by gzip, bzip2 or xz. Links to folders are followed.
        cache: where rows are kept by the content and the names of their files; a further run reads only what is new. Rows that depend on
            more, such as on the time limit or on permissions, are not kept.
        workers: processes.
        limit: s for one calculation.

    Returns:
        `COLUMNS`; id is the path below root, calculation the step (empty without), status `converged`, `unconverged: <what>`,
        `other: <what>` of what is no energy of a crystal, or `failed: <why>`; energies in eV (without correction), forces in eV/Å, stress
        in kbar, magnetisation in Bohr magnetons.

    Raises:
        ValueError: there is no such folder, or no calculation in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder with calculations")
    found = find_calculations(root)
    if not found:
        raise ValueError(f"{root}: no calculations; expected vasprun.xml or OUTCAR files, or outputs of GPAW or Quantum ESPRESSO, "
                         "plain or packed, in any folder below")  # fmt: skip
    basis = digest(function_digest(read_calculation), *versions("pymatgen", "ase"))
    items = [(_key(basis, files), {kind: str(path) for kind, path in files.items()}) for files in found.values()]
    rows = compute_keyed(read_calculation, items, {"limit": limit}, cache, workers, batch=8, unit="calculation", keep=is_lasting)
    named = [{"id": printable(name), "calculation": printable(step)} | row for (name, step), row in zip(found, rows, strict=True)]
    table = pd.DataFrame(named).reindex(columns=list(COLUMNS))
    return table.assign(settings_id=ids_by_potentials(table))


def read_calculation(files: dict[str, str], limit: float) -> dict:
    """Return a row, whatever is wrong with the files."""
    code = {} if "output" in files or REFUSED in files else {"code": "VASP"}
    try:
        with time_limit(limit):
            if REFUSED in files:
                raise _refusal(Path(files[REFUSED]))
            if "output" in files:
                return read_ase(Path(files["output"]))
            if "vasprun.xml" not in files:
                raise FailedRun("no vasprun.xml")
            return read_vasp(Path(files["vasprun.xml"]), Path(files["OUTCAR"]) if "OUTCAR" in files else None)
    except (TimeLimit, Unreadable) as error:
        return code | {"status": printable(f"failed: {error}"), _PASSING: True}
    except FailedRun as error:
        return code | {"status": printable(f"failed: {error}")}
    except Exception as error:  # a broken folder is a row, never the end of the table
        return code | {"status": printable(f"failed: {type(error).__name__}: {' '.join(str(error).split())[:120]}"), _PASSING: True}


def printable(text: str) -> str:
    """Return text that a table can hold, of names of files that are not UTF-8 too."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_lasting(row: dict) -> bool:
    """Return whether a row follows from the files alone, so that it may be kept."""
    return not row.get(_PASSING)


def _key(basis: str, files: dict[str, Path]) -> str:
    """What a row is kept under: contents, and names, which reasons and steps quote."""
    parts = (part for kind, path in files.items() for part in (kind, path.name, _content(path)))
    return digest(basis, *(f"\0{printable(part)}" for part in parts))


def _content(path: Path) -> str:
    try:
        return f"{path}: not opened" if irregular(path) is not None else content_hash(path)
    except OSError as error:
        return f"{path}: {error}"


def _refusal(path: Path) -> FailedRun:
    """Return why a path is not read; for as long as its content lasts only where that is the reason."""
    name = path.name or str(path)
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        elif broken := ends_of(path, 1 << 20, 1)[1]:
            return FailedRun(broken)
    except PermissionError:
        return Unreadable(f"{name}: not readable (permission denied)")
    except FailedRun as error:
        return Unreadable(str(error))
    except OSError as error:
        return Unreadable(f"{name}: {type(error).__name__}: {error.strerror or error}")
    return Unreadable(f"{name}: could not be read at first; ingest again")
