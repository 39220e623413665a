"""A tree of folders with calculations, as one table: a row per calculation, whatever state it is in."""

import re
from pathlib import Path

import pandas as pd

from crystalgen.files import file_hash
from crystalgen.limits import TimeLimit, time_limit
from crystalgen.physics.dft.vasp import FailedRun, read_vasp
from crystalgen.store import compute_keyed, digest, versions

TIME_LIMIT = 120.0  # s for one calculation
COLUMNS = ("id", "calculation", "formula", "nsites", "code", "version", "settings_id", "settings", "potentials", "status", "energy",
           "energy_per_atom", "max_force", "stress", "magnetisation", "ionic_steps", "correction_mp2020", "lattice", "atomic_numbers",
           "frac_coords", "warnings")  # fmt: skip
_RUN = re.compile(r"(?P<kind>vasprun\.xml|OUTCAR)(?P<step>\.(?!gz$)[A-Za-z0-9_]+)?(?P<packed>\.gz)?")


def ingest(root: Path, cache: Path, workers: int = 2, limit: float = TIME_LIMIT) -> pd.DataFrame:
    """Read every VASP calculation below a folder.

    Args:
        root: any tree; a calculation is a vasprun.xml, an OUTCAR, or both, plain or gzipped, with a step's name such as `.relax1`
            or without.
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
        raise ValueError(f"{root}: no calculations; expected vasprun.xml or OUTCAR files, plain or gzipped, in any folder below")
    basis = digest(*versions("pymatgen"))
    items = [(digest(basis, *(_content(file) for file in files.values()), *files), _paths(files)) for files in found.values()]
    rows = compute_keyed(read_calculation, items, {"limit": limit}, cache, workers, batch=8, unit="calculation")
    table = pd.DataFrame([{"id": name, "calculation": step} | row for (name, step), row in zip(found, rows, strict=True)])
    return table.reindex(columns=list(COLUMNS))


def find_calculations(root: Path) -> dict[tuple[str, str], dict[str, Path]]:
    """Files by kind of each calculation, by the folder's path and the step, in order."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(root.rglob("*")):
        matched = _RUN.fullmatch(path.name)
        if matched and not path.is_dir():
            name = (str(path.parent.relative_to(root)), (matched["step"] or "").lstrip("."))
            found.setdefault(name, {}).setdefault(matched["kind"], path)
    return found


def read_calculation(files: dict[str, str], limit: float) -> dict:
    """A row, whatever is wrong with the files."""
    try:
        with time_limit(limit):
            if "vasprun.xml" not in files:
                raise FailedRun("no vasprun.xml")
            return read_vasp(Path(files["vasprun.xml"]), Path(files["OUTCAR"]) if "OUTCAR" in files else None)
    except TimeLimit as error:
        return {"code": "VASP", "status": f"failed: {error}"}
    except FailedRun as error:
        return {"code": "VASP", "status": f"failed: {error}"}
    except Exception as error:  # a broken folder is a row, never the end of the table
        return {"code": "VASP", "status": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:120]}"}


def _paths(files: dict[str, Path]) -> dict[str, str]:
    return {kind: str(path) for kind, path in files.items()}


def _content(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        return f"{path}: {error}"
