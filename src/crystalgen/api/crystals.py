"""Whatever a person has of crystals, as a crystals table, and a crystals table as what a person works with."""

import logging
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from pymatgen.core import IStructure

from crystalgen.api.checks import check_paths
from crystalgen.crystals import CrystalTableError, from_columns, to_structures, validate
from crystalgen.crystals.geometry import cell_problem, period_problem
from crystalgen.crystals.schema import COLUMNS
from crystalgen.datasets.cells import checked_cell, structure_cell
from crystalgen.datasets.generated import (
    TIME_LIMIT,
    Entry,
    need_all,
    need_some,
    parse,
    read_generated,
    table_parts,
)
from crystalgen.datasets.tables import names_of
from crystalgen.datasets.tensor_files import formula_of, read_targets

_LOG = logging.getLogger(__name__)
_MAX_BROKEN = 0.1  # of a reference
_CELL = ("lattice", "atomic_numbers", "frac_coords")
_DERIVED = {"id", "material_id", "formula", "reduced_formula", "nsites", "source", "structure", "cif", *_CELL}
_EXPECTED = (
    "expected pymatgen Structures or ASE Atoms (one or a list), paths of files, folders or archives, or a DataFrame with a column "
    "'structure', a column 'cif', or the columns 'lattice', 'atomic_numbers' and 'frac_coords'"
)


def as_crystals(crystals) -> pd.DataFrame:
    """Return the crystals table of whatever `api.read_crystals` reads; raises CrystalTableError, naming them, where some are broken."""
    return need_all(*_read(crystals), describe(crystals))


def read(crystals, workers: int = 2, limit: float = TIME_LIMIT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the crystals table of whatever `api.read_crystals` reads, and what is broken in it: id, reason.

    Args:
        crystals: see `api.read_crystals`.
        workers: processes that parse files.
        limit: s for one crystal of a file.

    Raises:
        CrystalTableError: nothing in it can be read; naming the first of what is broken, and why.
    """
    table, broken = _read(crystals, workers, limit)
    return need_some(table, broken, describe(crystals)), broken


def read_reference(crystals, workers: int = 2, limit: float = TIME_LIMIT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what `read` does of crystals to compare with, of which a log line names what is broken.

    Raises:
        CrystalTableError: more than a tenth is broken: figures beside the rest would be about another reference.
    """
    table, broken = read(crystals, workers, limit)
    if len(broken) > _MAX_BROKEN * (len(table) + len(broken)):
        need_all(table, broken, f"{describe(crystals)}, a reference, of which at most {_MAX_BROKEN:.0%} may be broken")
    if len(broken):
        first = broken.iloc[0]
        _LOG.warning(
            "%s: %d of %d left out, e.g. %s: %s", describe(crystals), len(broken), len(table) + len(broken), *first[["id", "reason"]]
        )
    return table, broken


def _read(crystals, workers: int = 2, limit: float = TIME_LIMIT) -> tuple[pd.DataFrame, pd.DataFrame]:
    check_paths(crystals)
    if isinstance(crystals, str | PathLike):
        return read_generated(crystals, workers, limit)
    if isinstance(crystals, pd.DataFrame):
        return _read_frame(crystals)
    if isinstance(crystals, Mapping | bytes) or not isinstance(crystals, Iterable):
        raise TypeError(f"got {type(crystals).__name__}; {_EXPECTED}")
    items = [crystals] if isinstance(crystals, IStructure | Atoms) else list(crystals)
    if not items:
        raise CrystalTableError(f"got an empty {type(crystals).__name__}; {_EXPECTED}")
    if all(isinstance(item, str | PathLike) for item in items):
        check_paths(*items)
        tables, broken = zip(*(read_generated(item, workers, limit) for item in items), strict=True)
        table = pd.concat(tables, ignore_index=True)
        for part in broken:
            part.attrs.clear()  # they are of one path each
        return table.assign(id=names_of(table)), pd.concat(broken, ignore_index=True)
    for number, item in enumerate(items):
        if not isinstance(item, IStructure | Atoms):
            raise TypeError(f"got {type(crystals).__name__} whose item {number} is {type(item).__name__}; {_EXPECTED}")
    return _table([Entry(f"crystal-{number}", _cell(item)) for number, item in enumerate(items)], {}, "given")


def targets_of(crystals: str | PathLike) -> pd.DataFrame:
    """Return the crystals that generated ones were asked to be, which their file of tensors holds beside them.

    Raises:
        ValueError: it holds none.
    """
    targets = read_targets(crystals)
    if targets is None:
        raise ValueError(f"{describe(crystals)}: holds no targets; expected a reference to compare with")
    return targets


def with_structures(table: pd.DataFrame) -> pd.DataFrame:
    """Return a crystals table with pymatgen Structures in a column `structure` in place of its three columns of arrays."""
    structures = pd.Series(to_structures(table), index=table.index, dtype=object)
    return table.drop(columns=list(_CELL)).assign(structure=structures)


def structures_where_known(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of calculations likewise; the structure of a failed one is None."""
    read = table["lattice"].notna()
    structures = iter(to_structures(from_columns(*(table.loc[read, name] for name in _CELL), "calculation")))
    column = [next(structures) if known else None for known in read]
    return table.drop(columns=list(_CELL)).assign(structure=pd.Series(column, index=table.index, dtype=object))


def target_places(samples: pd.DataFrame, targets: pd.DataFrame) -> np.ndarray:
    """Return the place of each sample's target, (n,); see `api.match`.

    Raises:
        ValueError: it is not clear which target a sample has.
    """
    if "target_id" in samples:
        found = pd.Index(targets["id"]).get_indexer(samples["target_id"])
        if (found < 0).any():
            raise ValueError(f"samples: target_id {samples['target_id'][found < 0].iloc[0]!r} is none of the targets' ids")
        return found
    if len(targets) not in (1, len(samples)):
        raise ValueError(
            f"{len(samples)} samples and {len(targets)} targets: expected as many of both, one target, or a column target_id in samples"
        )
    return np.arange(len(samples)) % len(targets) if len(targets) else np.empty(0, dtype=int)


def describe(crystals) -> str:
    """Name an input for a title or an error: its path, or what it is and how many."""
    if isinstance(crystals, str | PathLike):
        return str(Path(crystals))
    count = 1 if isinstance(crystals, IStructure | Atoms) else len(crystals) if hasattr(crystals, "__len__") else None
    kind = "table" if isinstance(crystals, pd.DataFrame) else type(crystals).__name__
    return f"{kind} of {count} crystal{'' if count == 1 else 's'}" if count is not None else kind


def _read_frame(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    if set(COLUMNS) <= set(frame):
        return validate(frame, describe(frame)), pd.DataFrame(columns=["id", "reason"], dtype=object)
    names = names_of(frame)
    if "structure" in frame:
        found = [[Entry(name, _cell(item))] for name, item in zip(names, frame["structure"], strict=True)]
    elif "cif" in frame:
        found = parse(table_parts(frame["cif"], names))
    elif set(_CELL) <= set(frame):
        cells = zip(*(frame[name] for name in _CELL), strict=True)
        found = [[Entry(name, _checked(*arrays))] for name, arrays in zip(names, cells, strict=True)]
    else:
        raise TypeError(f"got a DataFrame with the columns {list(frame)}; {_EXPECTED}")
    rows = [row for row, entries in enumerate(found) for _ in entries]
    columns = {name: frame[name].array[rows] for name in frame if name not in _DERIVED}
    entries = [entry for several in found for entry in several]
    table, broken = _table(entries, columns, frame["source"].to_numpy()[rows] if "source" in frame else "given")
    table.attrs = dict(frame.attrs)
    if len(broken) and "atomic_numbers" in frame:
        numbers = dict(zip(names, frame["atomic_numbers"], strict=True))
        broken["reduced_formula"] = [formula_of(numbers[name]) for name in broken["id"]]
    return table, broken


def _table(entries: list[Entry], columns: dict, source) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Crystals and broken ones."""
    names = names_of(pd.DataFrame({"id": [entry.name for entry in entries]}))
    good = np.array([not isinstance(entry.cell, str) for entry in entries], dtype=bool)
    kept = [entry for entry in entries if not isinstance(entry.cell, str)]
    arrays = zip(*(entry.cell for entry in kept), strict=True) if kept else ((), (), ())
    ids = [name for name, keep in zip(names, good, strict=True) if keep]
    table = from_columns(*arrays, "given", ids, **{name: values[good] for name, values in columns.items()})
    table["source"] = source[good].astype(str) if isinstance(source, np.ndarray) else source
    reasons = [(name, entry.cell) for name, entry in zip(names, entries, strict=True) if isinstance(entry.cell, str)]
    return validate(table, "crystals") if len(table) else table, pd.DataFrame(reasons, columns=["id", "reason"], dtype=object)


def _cell(item) -> tuple | str:
    if isinstance(item, Atoms):
        problem = period_problem(item.pbc) or cell_problem(item.cell.array, item.positions)
        return problem or _checked(item.cell.array, item.numbers, item.get_scaled_positions(wrap=False))
    if not isinstance(item, IStructure):
        return f"no structure, but {type(item).__name__}"
    return structure_cell(item)


def _checked(lattice, numbers, coords) -> tuple | str:
    try:
        lattice, numbers = np.asarray(lattice, dtype=float).reshape(3, 3), np.asarray(numbers, dtype=int)
        coords = np.asarray(coords, dtype=float).reshape(-1, 3)
    except (TypeError, ValueError):
        return "no lattice (3, 3), atomic numbers (n,) and fractional coordinates (n, 3)"
    if not len(numbers) or len(coords) != len(numbers):
        return f"{len(numbers)} atomic numbers and {len(coords)} coordinates; expected one of each per site"
    return checked_cell(lattice, numbers, coords)
