"""A tree of folders with calculations, as one table: a row per calculation, whatever state it is in."""

import re
from pathlib import Path

import pandas as pd

from crystalgen.dft.ase_read import is_output, read_ase
from crystalgen.dft.rows import COLUMNS, FailedRun
from crystalgen.dft.text import read_text
from crystalgen.dft.vasp import read_vasp
from crystalgen.utils.cache import compute_keyed, digest, versions
from crystalgen.utils.code_digest import function_digest
from crystalgen.utils.files import file_hash
from crystalgen.utils.timeout import TimeLimit, time_limit

TIME_LIMIT = 120.0  # s for one calculation
_VASP = re.compile(r"(?P<kind>vasprun\.xml|OUTCAR)(?P<step>\.(?!gz$)[A-Za-z0-9_]+)?(?P<packed>\.gz)?")
_TEXT = re.compile(r"(?P<step>.+)\.(txt|out|pwo)(\.gz)?")  # of GPAW or Quantum ESPRESSO, if it begins so
_OWN = re.compile(r"(static|relax-\d+)\.txt(\.gz)?")  # of `ase_run`, whatever it begins with
_BESIDE = ("input.json", "record.json")  # what else a row of ase_run depends on


def ingest(root: Path, cache: Path, workers: int = 2, limit: float = TIME_LIMIT) -> pd.DataFrame:
    """Read every calculation of VASP, GPAW and Quantum ESPRESSO below a folder.

    Args:
        root: any tree; a calculation is a vasprun.xml, an OUTCAR, or both, with a step's name such as `.relax1` or without; or a
            text output (.txt, .out, .pwo) of the other two. All plain or gzipped.
        cache: where finished rows are kept by the content of the files; a further run reads only what is new.
        workers: processes.
        limit: s for one calculation.

    Returns:
        `COLUMNS`; id is the path below root, calculation the step (empty without), status `converged`, `unconverged: <what>` or
        `failed: <why>`; energies in eV (without correction), forces in eV/Å, stress in kbar, magnetisation in Bohr magnetons.

    Raises:
        ValueError: there is no such folder, or no calculation in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder with calculations")
    found = find_calculations(root)
    if not found:
        raise ValueError(f"{root}: no calculations; expected vasprun.xml or OUTCAR files, or outputs of GPAW or Quantum ESPRESSO, "
                         "plain or gzipped, in any folder below")  # fmt: skip
    basis = digest(function_digest(read_calculation), *versions("pymatgen", "ase"))
    items = [(digest(basis, *(_content(file) for file in files.values()), *files), _paths(files)) for files in found.values()]
    rows = compute_keyed(read_calculation, items, {"limit": limit}, cache, workers, batch=8, unit="calculation")
    table = pd.DataFrame([{"id": name, "calculation": step} | row for (name, step), row in zip(found, rows, strict=True)])
    return table.reindex(columns=list(COLUMNS))


def find_calculations(root: Path) -> dict[tuple[str, str], dict[str, Path]]:
    """Return files by kind of each calculation, by the folder's path and the step, in order."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        folder = str(path.parent.relative_to(root))
        if matched := _VASP.fullmatch(path.name):
            found.setdefault((folder, (matched["step"] or "").lstrip(".")), {}).setdefault(matched["kind"], path)
        elif (matched := _TEXT.fullmatch(path.name)) and _is_ase(path):
            beside = {name: path.with_name(name) for name in _BESIDE if path.with_name(name).exists()}
            found.setdefault((folder, matched["step"]), {"output": path, **beside})
    return found


def read_calculation(files: dict[str, str], limit: float) -> dict:
    """Return a row, whatever is wrong with the files."""
    code = {} if "output" in files else {"code": "VASP"}
    try:
        with time_limit(limit):
            if "output" in files:
                return read_ase(Path(files["output"]))
            if "vasprun.xml" not in files:
                raise FailedRun("no vasprun.xml")
            return read_vasp(Path(files["vasprun.xml"]), Path(files["OUTCAR"]) if "OUTCAR" in files else None)
    except TimeLimit as error:
        return code | {"status": f"failed: {error}"}
    except FailedRun as error:
        return code | {"status": f"failed: {error}"}
    except Exception as error:  # a broken folder is a row, never the end of the table
        return code | {"status": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:120]}"}


def _is_ase(path: Path) -> bool:
    if _OWN.fullmatch(path.name) and path.with_name("input.json").exists():
        return True
    try:
        return is_output(read_text(path))
    except FailedRun:
        return False


def _paths(files: dict[str, Path]) -> dict[str, str]:
    return {kind: str(path) for kind, path in files.items()}


def _content(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        return f"{path}: {error}"
