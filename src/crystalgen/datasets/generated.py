"""The one reader of crystals: whatever a person or generator has, as a crystals table; what cannot be one is a row with a reason.

| input | written by |
|---|---|
| `.pt`, `.npz` of tensors: `eval_gen.pt`, `eval_diff.pt`, `eval_recon.pt` | CDVAE, DiffCSP and their kin |
| `.extxyz`, `.xyz` of many frames, with `energy` and `index` | MatterGen, OMatG, METRe |
| a folder, `.zip`, `.tar`, `.tar.gz` of structure files (see `crystals.reading`) | MatterGen, CrystaLLM |
| `.csv`, `.csv.gz` with a column `cif` | benchmark sets, language models |
| `.csv` with a column `structure`, `LeMatStructs` or `cif_string`; `.txt` of paths | LeMat-GenBench |
| `.parquet` | a crystals or a benchmark table |
"""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import joblib
import numpy as np
import pandas as pd

from crystalgen.crystals import CrystalTableError, from_columns, read_crystals, validate
from crystalgen.crystals.extxyz import split_frames
from crystalgen.crystals.reading import decoded, format_of, read_text
from crystalgen.datasets.cells import structure_cell
from crystalgen.datasets.files import find_files, passed_over
from crystalgen.datasets.generators import read_of_generator, with_frame_values
from crystalgen.datasets.tables import carried_columns, is_benchmark, names_of, read_benchmark, read_csv
from crystalgen.utils.timeout import TimeLimit, time_limit

TIME_LIMIT = 20.0  # s to parse one crystal
_BATCH = 64
_NAMED = 10  # broken crystals in an error
_NOTED = 3  # kinds of changes in a line
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """What one process parses at a time: a file, a frame of one or a row of a table; without content, the reason is all there is.

    row: of the table, if there is one.
    """

    name: str
    format: str
    content: str | bytes | None
    reason: str | None = None
    row: int = 0


@dataclass(frozen=True)
class Entry:
    """One crystal of a part: lattice, atomic numbers and coordinates, or what is wrong; and what was changed on the way."""

    name: str
    cell: tuple | str
    notes: tuple[str, ...] = ()


def read_generated(path: str | Path, workers: int = 2, limit: float = TIME_LIMIT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what a generator wrote, or anyone; say by a line of the log what was passed over, and what was changed on the way.

    Args:
        path: see the table above.
        workers: processes that parse.
        limit: s for one crystal.

    Returns:
        The crystals (space groups, energies and splits where the source says them; a column `reading_notes` where anything was
        changed), and what could not be read: id, reason.

    Raises:
        CrystalTableError: nothing of this is known, or nothing is in it; naming the path and what was expected.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.exists():
        raise CrystalTableError(
            f"{path}: there is no such file or folder; expected a folder, .zip or .tar, a structure file, .csv or .parquet"
        )
    if name.endswith(".parquet"):
        return (read_benchmark(path) if is_benchmark(path) else read_crystals(path)), _broken([])
    if (own := read_of_generator(path, workers, limit)) is not None:
        return own
    parts, carried, passed = _parts(path)
    found = parse(parts, workers, limit)
    entries = [entry for several in found for entry in several]
    rows = [part.row for part, several in zip(parts, found, strict=True) for _ in several]
    columns = {column: values[rows] for column, values in carried.items()} if rows else {}
    line = passed_over(passed)
    if not entries:
        raise CrystalTableError(
            f"{path}: holds no crystals{f' ({line})' if line else ''}; expected structure files such as .cif, POSCAR or .extxyz, "
            "a .csv with a 'cif' column, a .pt or a .parquet"
        )
    if line:
        _LOG.warning("%s: %s", path.name, line)
    table, broken = with_frame_values(_frames(path, parts), *_table(entries, columns, path))
    broken.attrs["passed_over"] = line
    return table, broken


def parse(parts: list[Part], workers: int = 1, limit: float = TIME_LIMIT) -> list[list[Entry]]:
    """Return the crystals of each part; see `read_generated`."""
    batches = [parts[i : i + _BATCH] for i in range(0, len(parts), _BATCH)]
    found = joblib.Parallel(n_jobs=max(1, min(workers, len(batches))))(joblib.delayed(_parse)(batch, limit) for batch in batches)
    return [entries for batch in found for entries in batch]


def need_all(table: pd.DataFrame, broken: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table; raise CrystalTableError, naming the first ten, where anything is broken."""
    if broken.empty:
        return table
    named = "; ".join(f"{row.id}: {row.reason}" for row in broken.head(_NAMED).itertuples())
    more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    raise CrystalTableError(f"{where}: {len(broken)} of {len(table) + len(broken)} crystals cannot be read: {named}{more}")


def need_some(table: pd.DataFrame, broken: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table; raise CrystalTableError, as `need_all`, where everything is broken."""
    return need_all(table, broken, where) if table.empty else table


def _table(entries: list[Entry], columns: dict, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = names_of(pd.DataFrame({"id": [entry.name for entry in entries]}))
    good = np.array([not isinstance(entry.cell, str) for entry in entries])
    kept = [entry for entry in entries if not isinstance(entry.cell, str)]
    lattices, numbers, coords = zip(*(entry.cell for entry in kept), strict=True) if kept else ((), (), ())
    if any(entry.notes for entry in kept):
        columns = columns | {"reading_notes": np.array(["; ".join(entry.notes) for entry in entries], dtype=object)}
        counts = Counter(note for entry in kept for note in entry.notes)
        kinds = ", ".join(f"{note} ({count})" for note, count in counts.most_common(_NOTED))
        _LOG.warning("%s: changed on the way: %s%s", path.name, kinds, ", and others" if len(counts) > _NOTED else "")
    ids = [name for name, keep in zip(names, good, strict=True) if keep]
    table = from_columns(lattices, numbers, coords, path.name, ids, **{name: values[good] for name, values in columns.items()})
    reasons = [(name, entry.cell) for name, entry in zip(names, entries, strict=True) if isinstance(entry.cell, str)]
    return validate(table, str(path)) if kept else table, _broken(reasons)


def _broken(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "reason"], dtype=object)


def _parts(path: Path) -> tuple[list[Part], dict, Counter]:
    """Parts to parse, the columns that a table carries beside its crystals, and what was passed over."""
    if path.is_file() and path.name.lower().endswith((".csv", ".csv.gz")):
        frame = read_csv(path)
        return table_parts(frame["cif"], names_of(frame)), carried_columns(frame, path.name.split(".csv")[0], path), Counter()
    files, passed = find_files(path)
    parts: list[Part] = []
    for file in files:
        format = format_of(PurePosixPath(file.name))
        if format == "extxyz" and file.content is not None:
            frames = split_frames(decoded(file.content)) or [""]
            several = len(frames) > 1
            parts += [Part(f"{file.name}:{place}" if several else file.name, format, text) for place, text in enumerate(frames)]
        else:
            parts.append(Part(file.name, format, file.content, file.reason))
    return parts, {}, passed


def _frames(path: Path, parts: list[Part]) -> dict[str, str]:
    """Text of each frame by its name, of a file of frames or a zip of such."""
    if path.suffix.lower() not in (".extxyz", ".xyz", ".zip"):
        return {}
    return {part.name: part.content for part in parts if part.format == "extxyz" and isinstance(part.content, str)}


def table_parts(texts: pd.Series, names: list[str]) -> list[Part]:
    """Return the parts of a column of CIFs."""
    rows = enumerate(zip(texts, names, strict=True))
    nothing = "no text in the column 'cif'"
    return [
        Part(name, "cif", text, row=row) if isinstance(text, str) else Part(name, "cif", None, nothing, row) for row, (text, name) in rows
    ]


def _parse(parts: list[Part], limit: float) -> list[list[Entry]]:
    return [_entries(part, limit) for part in parts]


def _entries(part: Part, limit: float) -> list[Entry]:
    if part.content is None:
        return [Entry(part.name, part.reason)]
    mark = "data_" if isinstance(part.content, str) else b"data_"
    blocks = max(1, part.content.count(mark)) if part.format == "cif" else 1
    try:
        with time_limit(limit * blocks):
            found = read_text(part.content, part.format)
            cells = [parsed.reason[:300] if parsed.structure is None else structure_cell(parsed.structure) for parsed in found]
    except TimeLimit as error:
        return [Entry(part.name, f"parser {error}")]
    except (ValueError, AttributeError) as error:
        return [Entry(part.name, " ".join(str(error).split())[:300])]
    names = [f"{part.name}:{parsed.name or place}" for place, parsed in enumerate(found)] if len(found) > 1 else [part.name]
    return [Entry(name, cell, parsed.notes) for name, cell, parsed in zip(names, cells, found, strict=True)]
