"""Crystals that any generator wrote, as a crystals table; what cannot be one is a row with a reason.

| input | written by |
|---|---|
| `.pt`, `.npz` of tensors: `eval_gen.pt`, `eval_diff.pt`, `eval_recon.pt` | CDVAE, DiffCSP and their kin |
| `.extxyz`, `.xyz` of many frames, with `energy` and `index` | MatterGen, OMatG, METRe |
| a folder, `.zip`, `.tar`, `.tar.gz` of CIF, POSCAR or extxyz | MatterGen, CrystaLLM |
| `.csv`, `.csv.gz` with a column `cif` | benchmark sets, language models |
| `.csv` with a column `structure`, `LeMatStructs` or `cif_string`; `.txt` of paths | LeMat-GenBench |
| `.parquet` | a crystals or a benchmark table |
"""

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import joblib
import numpy as np
import pandas as pd
from pymatgen.core import IStructure

from crystalgen.crystals import CrystalTableError, from_columns, read_crystals, structure_from_text
from crystalgen.crystals.convert import format_of, is_structure_file
from crystalgen.crystals.geometry import cell_problem
from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER
from crystalgen.datasets.generators import read_of_generator, with_frame_values
from crystalgen.datasets.sources import is_benchmark, names_of, read_benchmark
from crystalgen.utils.timeout import TimeLimit, time_limit

TIME_LIMIT = 20.0  # s to parse one crystal
_MAX_BYTES = 20_000_000  # of one file in an archive
_BATCH = 64


def read_generated(path: str | Path, workers: int = 2, limit: float = TIME_LIMIT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what a generator wrote.

    Args:
        path: see the table above.
        workers: processes that parse.
        limit: s for one crystal.

    Returns:
        The crystals (without space groups), and what could not be read: id, reason.

    Raises:
        CrystalTableError: nothing of this is known, or nothing is in it; naming the path and what was expected.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.exists():
        raise CrystalTableError(f"{path}: there is no such file or folder")
    if name.endswith(".parquet"):
        return (read_benchmark(path) if is_benchmark(path) else read_crystals(path)), _broken([])
    if (found := read_of_generator(path, workers, limit)) is not None:
        return found
    parts = _texts(path, name)
    batches = [parts[i : i + _BATCH] for i in range(0, len(parts), _BATCH)]
    parsed = joblib.Parallel(n_jobs=max(1, min(workers, len(batches))))(joblib.delayed(_parse)(batch, limit) for batch in batches)
    entries = [entry for batch in parsed for entry in batch]
    if not entries:
        raise CrystalTableError(
            f"{path}: holds no crystals; expected CIF, POSCAR or extxyz files, a .csv with a 'cif' column, a .pt or a .parquet"
        )
    names = names_of(pd.DataFrame({"id": [name for name, _ in entries]}))
    good = [(name, cell) for name, (_, cell) in zip(names, entries, strict=True) if not isinstance(cell, str)]
    lattices, numbers, coords = zip(*(cell for _, cell in good), strict=True) if good else ((), (), ())
    table = from_columns(lattices, numbers, coords, path.name, [name for name, _ in good])
    return with_frame_values(
        path, table, _broken([(n, cell) for n, (_, cell) in zip(names, entries, strict=True) if isinstance(cell, str)])
    )


def _broken(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "reason"], dtype=object)


def _texts(path: Path, name: str) -> list[tuple[str, str, str]]:
    """Name, format and text of each crystal; an unreadable file has the format `broken` and the reason for a text."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and is_structure_file(p))
        return [part for p in files for part in _split(str(p.relative_to(path)), p.read_text(errors="replace"))]
    if name.endswith((".csv", ".csv.gz")):
        return list(_rows(path))
    if name.endswith((".zip", ".tar", ".tar.gz", ".tgz")):
        reader = _zip if name.endswith(".zip") else _tar
        try:
            return [part for member, text in sorted(reader(path), key=lambda item: item[0]) for part in _split(member, text)]
        except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError) as error:
            raise CrystalTableError(f"{path}: not a readable archive ({error})") from None
    if is_structure_file(path):
        return _split(path.name, path.read_text(errors="replace"))
    raise CrystalTableError(f"{path}: expected a folder, .zip or .tar of structure files, .extxyz, .cif, .csv, .pt or .parquet")


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise CrystalTableError(f"{path}: not a readable CSV ({error})") from None
    if "cif" not in frame:
        raise CrystalTableError(f"{path}: lacks the column 'cif'; found {list(frame.columns)}")
    for name, text in zip(names_of(frame), frame["cif"], strict=True):
        yield (name, "cif", text) if isinstance(text, str) else (name, "broken", "no text in the column 'cif'")


def _zip(path: Path) -> Iterator[tuple[str, str | None]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if is_structure_file(PurePosixPath(member.filename)):
                yield member.filename, _decoded(archive.open(member).read, member.file_size)


def _tar(path: Path) -> Iterator[tuple[str, str | None]]:
    """Nothing is unpacked to disk, so that a member's name can do no harm."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and is_structure_file(PurePosixPath(member.name)):
                yield member.name, _decoded(archive.extractfile(member).read, member.size)


def _decoded(read: Callable[[int], bytes], size: int) -> str | None:
    return read(_MAX_BYTES).decode(errors="replace") if size <= _MAX_BYTES else None


def _split(name: str, text: str | None) -> list[tuple[str, str, str]]:
    """The frames of an extxyz file, or the one crystal of another."""
    if text is None:
        return [(name, "broken", f"a file of more than {_MAX_BYTES} bytes")]
    format = format_of(PurePosixPath(name))
    if format != "extxyz":
        return [(name, format, text)]
    lines, frames, start = text.splitlines(), [], 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        try:
            end = start + 2 + int(lines[start])
        except ValueError:
            frames.append((f"{name}:{len(frames)}", "broken", f"line {start + 1}: expected the number of atoms, got {lines[start][:40]!r}"))
            break
        frames.append((f"{name}:{len(frames)}", "extxyz", "\n".join(lines[start:end]) + "\n"))
        start = end
    return frames


def _parse(parts: list[tuple[str, str, str]], limit: float) -> list[tuple[str, tuple | str]]:
    return [(name, _cell(format, text, limit)) for name, format, text in parts]


def _cell(format: str, text: str, limit: float) -> tuple | str:
    if format == "broken":
        return text
    try:
        with time_limit(limit):
            structure = structure_from_text(text, format, "")
        return structure_cell(structure)
    except TimeLimit as error:
        return f"parser {error}"
    except (CrystalTableError, ValueError, AttributeError) as error:
        return str(error).removeprefix(": ")[:200]


def structure_cell(structure: IStructure) -> tuple | str:
    """Return lattice (3, 3), atomic numbers (n,) and fractional coordinates (n, 3) of a structure, or what is wrong with it."""
    if not structure.is_ordered:
        return f"partial occupancies ({structure.formula}); expected one element per site"
    return checked_cell(structure.lattice.matrix, np.array(structure.atomic_numbers), structure.frac_coords)


def checked_cell(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> tuple | str:
    """Return the cell, or what is wrong with it."""
    if not len(numbers):
        return "no atoms"
    if problem := cell_problem(lattice, coords):
        return problem
    if not ((numbers >= 1) & (numbers <= MAX_ATOMIC_NUMBER)).all():
        return f"unknown element: atomic numbers {sorted({int(z) for z in numbers if not 1 <= z <= MAX_ATOMIC_NUMBER})}"
    return lattice, numbers, coords
