"""What some generators and benchmarks write in a form of their own: tensors, LeMat-GenBench's tables and lists, values of frames."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Element

from crystalgen.crystals import CrystalTableError, from_columns, structure_from_text
from crystalgen.datasets.cells import checked_cell, structure_cell
from crystalgen.datasets.tables import names_of, read_any_csv
from crystalgen.datasets.tensor_files import SUFFIXES, read_tensor_file
from crystalgen.utils.limited_map import map_limited
from crystalgen.utils.timeout import TimeLimit

_STRUCTURE_COLUMNS = ("structure", "LeMatStructs", "cif_string")  # in LeMat-GenBench's order
_VALUES = {"energy": "energy", "index": "target_place"}  # of a frame's second line, as columns


def read_of_generator(path: Path, workers: int = 2, limit: float = 20.0) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Read a file of tensors, a CSV of LeMat-GenBench or a list of paths; None where it is none of these.

    Args:
        path: of a file that exists.
        workers: processes that parse.
        limit: s of CPU time for one crystal.

    Returns:
        The crystals, and what could not be read: id, reason (and reduced_formula, where that is known).

    Raises:
        CrystalTableError: it is such a file, and nothing in it can be used.
    """
    name = path.name.lower()
    if not path.is_file():
        return None
    if name.endswith(SUFFIXES):
        return read_tensor_file(path)
    if name.endswith(".txt"):
        return _read_list(path, workers, limit)
    if name.endswith((".csv", ".csv.gz")):
        frame = read_any_csv(path)
        column = next((column for column in _STRUCTURE_COLUMNS if column in frame), None)
        return None if column is None or "cif" in frame else _read_table(path, frame, column, workers, limit)
    return None


def with_frame_values(frames: dict[str, str], table: pd.DataFrame, broken: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables with what the frames of an extxyz say: `energy_per_atom` (eV/atom, of `energy`), `target_place` (of `index`).

    Args:
        frames: text of each frame by the crystal's id.
        table: crystals.
        broken: id and reason.
    """
    values = pd.DataFrame.from_dict({name: _frame_values(text) for name, text in frames.items()}, orient="index")
    for column in values:
        own = pd.to_numeric(table["id"].map(values[column]), errors="coerce")
        if column == "energy" and own.notna().any():
            table = table.assign(energy_per_atom=own / table["nsites"])
        elif column == "target_place" and own.notna().all() and len(own):
            table = table.assign(target_place=own.astype(int))
            broken = broken.assign(target_place=pd.to_numeric(broken["id"].map(values[column]), errors="coerce"))
    return table, broken


def _frame_values(frame: str) -> dict[str, str | None]:
    said = frame.split("\n", 2)[1] if "\n" in frame else ""
    found = {column: re.search(rf'(?:^|\s){key}="?([-+.\deE]+)"?(?:\s|$)', said) for key, column in _VALUES.items()}
    return {column: value and value.group(1) for column, value in found.items()}


def _read_list(path: Path, workers: int, limit: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A line for each structure file, relative to the working directory or the list."""
    from crystalgen.datasets.generated import read_generated  # which reads each of them

    names = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip() and not line.startswith("#")]
    tables, broken = [], [pd.DataFrame(columns=["id", "reason"], dtype=object)]
    for name in names:
        file = Path(name) if Path(name).is_file() else path.parent / name
        try:
            table, lost = read_generated(file, workers, limit)
        except CrystalTableError as error:
            table, lost = None, pd.DataFrame([(name, str(error))], columns=["id", "reason"])
        if table is not None and len(table):
            tables.append(table.assign(id=name if len(table) == 1 else name + ":" + table["id"]))
        broken.append(lost.assign(id=name))
    if not tables:
        raise CrystalTableError(f"{path}: a list of {len(names)} paths, none of which is a crystal; expected a structure file in each line")
    table = pd.concat(tables, ignore_index=True)
    return table.assign(source=path.name), pd.concat(broken, ignore_index=True)


def _read_table(path: Path, frame: pd.DataFrame, column: str, workers: int, limit: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = names_of(frame)
    found = map_limited(_cell, frame[column].tolist(), workers, limit)
    cells = [f"parser {cell}" if isinstance(cell, TimeLimit) else cell for cell in found]
    good = np.array([not isinstance(cell, str) for cell in cells], dtype=bool)
    if not good.any():
        raise CrystalTableError(f"{path}: no crystal in the column '{column}'; the first is: {cells[0] if cells else 'none'}")
    energies = {
        name: pd.to_numeric(frame[name], errors="coerce").to_numpy()[good] for name in ("energy_per_atom", "e_above_hull") if name in frame
    }
    kept = [cell for cell in cells if not isinstance(cell, str)]
    table = from_columns(
        *map(list, zip(*kept, strict=True)), path.name, [n for n, keep in zip(names, good, strict=True) if keep], **energies
    )
    reasons = [(name, cell) for name, cell in zip(names, cells, strict=True) if isinstance(cell, str)]
    return table, pd.DataFrame(reasons, columns=["id", "reason"], dtype=object)


def _cell(text) -> tuple | str:
    """Lattice, atomic numbers and coordinates of a CIF, or of a pymatgen Structure as JSON; or what is wrong with it."""
    if not isinstance(text, str):
        return "no text"
    try:
        if text.lstrip().startswith("{"):
            return _of_json(json.loads(text))
        return structure_cell(structure_from_text(text, "cif", ""))
    except (CrystalTableError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _of_json(record: dict) -> tuple | str:
    """The values alone: no class that the record names is loaded."""
    species = [site["species"] for site in record["sites"]]
    if any(len(kinds) != 1 or kinds[0].get("occu", 1) != 1 for kinds in species):
        return "partial occupancies; expected one element per site"
    numbers = np.array([Element(kinds[0]["element"]).Z for kinds in species])
    coords = np.array([site["abc"] for site in record["sites"]], dtype=float)
    return checked_cell(np.array(record["lattice"]["matrix"], dtype=float).reshape(3, 3), numbers, coords)
