"""The data protocol of paper B (§2.1): keep polymorph groups, drop rare elements and space groups.

The filter looks at each crystal's size, space group, formula and set of elements only. Held as flat arrays these fit into
memory for all of AFLOW; the crystals themselves need not.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Element

from crystalgen.config import Filter
from crystalgen.crystals import CrystalTableError
from crystalgen.crystals.schema import COLUMNS, MAX_ATOMIC_NUMBER
from crystalgen.utils.files import atomic

BATCH = 65_536  # crystals of a file that are in memory at once


@dataclass(frozen=True)
class _Light:
    """Input of the filter: n crystals of f formulas with m different sets of elements.

    nsites, space_group (0 where unknown), formula (0 to f-1), elements (0 to m-1): int (n,).
    presence: bool (m, 128), the atomic numbers in each set.
    """

    nsites: np.ndarray
    space_group: np.ndarray
    formula: np.ndarray
    formulas: int
    elements: np.ndarray
    presence: np.ndarray


def filter_polymorphs(table: pd.DataFrame, settings: Filter) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Filter to a fixed point; returns the kept rows and a report with one row per step.

    Size and elements first, then, if `polymorphs`, until nothing changes: rows with an element or a space group found in less than
    `min_share` of the rows left, then groups (same full formula) outside `min_group` to `max_group`.
    Dropping rows changes the shares, so one pass is not enough.

    Report columns: step, structures, groups, min_group, max_group, space_groups, elements.

    Raises:
        ValueError: nothing is left; the message names the step.
    """
    kept, report = _fixed_point(_light(table), settings)
    return table[kept].reset_index(drop=True), report


def filter_parquet(path: str | Path, settings: Filter, out: str | Path) -> pd.DataFrame:
    """Filter a crystals parquet of any size into another one; returns the report (see `filter_polymorphs`).

    Reading `out` gives the rows that `filter_polymorphs` keeps of reading `path`. Rows are streamed and not checked one by
    one, which `read_crystals` does with what is left; space groups must be there already.

    Raises:
        CrystalTableError: `path` is no crystals parquet.
        ValueError: nothing is left; the message names the step.
    """
    path, out = Path(path), Path(out)
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CrystalTableError(f"{path}: not a readable parquet file ({error})") from None
    kept, report = _fixed_point(_light_of_parquet(file, path), settings)
    start = 0
    with file, atomic(out) as partial, pq.ParquetWriter(partial, file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(BATCH):
            writer.write_batch(batch.filter(pa.array(kept[start : start + len(batch)])))
            start += len(batch)
    return report


def describe(step: str, table: pd.DataFrame) -> dict:
    """Count what paper B reports of its data, for one step."""
    return _describe(step, _light(table), np.ones(len(table), bool))


def made_of(table: pd.DataFrame, symbols: tuple[str, ...]) -> np.ndarray:
    """Return the mask of the crystals that hold no element but these."""
    light = _light(table)
    return _made_of(light, symbols)[light.elements]


def _fixed_point(light: _Light, settings: Filter) -> tuple[np.ndarray, pd.DataFrame]:
    """Mask of the kept crystals (n,), and the report."""
    steps: list[dict] = []

    def note(step: str, kept: np.ndarray) -> np.ndarray:
        steps.append(_describe(step, light, kept))
        if not kept.any():
            raise ValueError(f"the polymorph filter leaves nothing after '{step}' with {settings}")
        return kept

    kept = note("all", np.ones(len(light.nsites), bool))
    kept = (light.nsites >= settings.min_sites) & (light.nsites <= settings.max_sites)
    if settings.elements is not None:
        kept &= _made_of(light, settings.elements)[light.elements]
    note(f"{settings.min_sites}-{settings.max_sites} atoms" + (", elements" if settings.elements else ""), kept)
    number, before = 0, -1 if settings.polymorphs else kept.sum()
    while kept.sum() != before:
        number, before = number + 1, kept.sum()
        kept = note(f"pass {number}: rare elements and space groups", kept & _common(light, kept, settings.min_share))
        sizes = _counts(light.formula, kept, light.formulas)
        fits = (sizes >= settings.min_group) & (sizes <= settings.max_group)
        kept = note(f"pass {number}: group size", kept & fits[light.formula])
    return kept, pd.DataFrame(steps)


def _common(light: _Light, kept: np.ndarray, min_share: float) -> np.ndarray:
    """Mask of rows all of whose elements and whose space group reach the share; a lost space group never does."""
    least = min_share * kept.sum() - 1e-9  # a share that is met exactly is met
    rare_elements = _counts(light.elements, kept, len(light.presence)) @ light.presence < least
    groups = _counts(light.space_group, kept, 231)
    common_groups = (groups >= least) & (np.arange(len(groups)) > 0)
    return ~light.presence[:, rare_elements].any(axis=1)[light.elements] & common_groups[light.space_group]


def _describe(step: str, light: _Light, kept: np.ndarray) -> dict:
    sizes = _counts(light.formula, kept, light.formulas)
    sizes = sizes[sizes > 0]
    sets = _counts(light.elements, kept, len(light.presence)) > 0
    return {
        "step": step,
        "structures": int(kept.sum()),
        "groups": len(sizes),
        "min_group": int(sizes.min()) if len(sizes) else 0,
        "max_group": int(sizes.max()) if len(sizes) else 0,
        "space_groups": int((_counts(light.space_group, kept, 231)[1:] > 0).sum()),
        "elements": int(light.presence[sets].any(axis=0).sum()),
    }


def _counts(codes: np.ndarray, kept: np.ndarray, length: int) -> np.ndarray:
    return np.bincount(codes[kept], minlength=length)


def _made_of(light: _Light, symbols: tuple[str, ...]) -> np.ndarray:
    """Mask of the sets of elements (m,) that hold none but these."""
    others = np.ones(light.presence.shape[1], bool)
    others[[Element(s).Z for s in symbols]] = False
    return ~light.presence[:, others].any(axis=1)


def _light(table: pd.DataFrame) -> _Light:
    nsites = table["nsites"].to_numpy()
    numbers = np.concatenate([np.zeros(0, np.int16), *table["atomic_numbers"]])
    groups = table["space_group"].to_numpy(dtype=np.int16, na_value=0)
    formula, formulas = pd.factorize(table["formula"])
    return _Light(nsites, groups, formula, len(formulas), *_sets(_bits(numbers, nsites)))


def _light_of_parquet(file: pq.ParquetFile, path: Path) -> _Light:
    missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
    if missing:
        raise CrystalTableError(f"{path}: lacks the columns {missing}; expected {list(COLUMNS)}")
    parts, start = [], 0
    for batch in file.iter_batches(BATCH, columns=["nsites", "space_group", "atomic_numbers"]):
        parts.append(_read_batch(batch, path, start))
        start += len(batch)
    if not parts:
        raise CrystalTableError(f"{path}: holds no crystals")
    nsites, groups, bits = map(np.concatenate, zip(*parts, strict=True))
    formula = file.read(columns=["formula"])["formula"].combine_chunks().dictionary_encode()
    return _Light(nsites, groups, formula.indices.to_numpy(), len(formula.dictionary), *_sets(bits))


def _read_batch(batch: pa.RecordBatch, path: Path, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """nsites (n,), space groups (n,) and sets of elements as bits (n, 2) of the rows from `start` on."""
    nsites = batch["nsites"].to_numpy(zero_copy_only=False)
    groups = batch["space_group"].fill_null(0).to_numpy()
    numbers = batch["atomic_numbers"].flatten().to_numpy(zero_copy_only=False)
    lengths = batch["atomic_numbers"].value_lengths().fill_null(-1).to_numpy()
    unknown = np.repeat(np.arange(len(batch)), np.maximum(lengths, 0))[(numbers < 1) | (numbers > MAX_ATOMIC_NUMBER)]
    for column, expected, bad in (
        ("atomic_numbers", "one atomic number per site", (lengths != nsites) | (lengths < 1)),
        ("atomic_numbers", f"atomic numbers from 1 to {MAX_ATOMIC_NUMBER}", np.isin(np.arange(len(batch)), unknown)),
        ("space_group", "an International number from 1 to 230", (groups < 0) | (groups > 230)),
    ):
        if bad.any():
            raise CrystalTableError(f"{path}: row {start + int(np.argmax(bad))}, column '{column}': expected {expected}")
    return nsites, groups, _bits(numbers, nsites)


def _bits(numbers: np.ndarray, nsites: np.ndarray) -> np.ndarray:
    """Sets of elements as bits, uint64 (n, 2): atomic number z is bit z % 64 of column z // 64."""
    if len(nsites) == 0:
        return np.zeros((0, 2), np.uint64)
    starts = np.cumsum(nsites) - nsites
    bit = np.uint64(1) << (numbers % 64).astype(np.uint64)
    return np.stack([np.bitwise_or.reduceat(np.where(numbers // 64 == c, bit, np.uint64(0)), starts) for c in (0, 1)], axis=1)


def _sets(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which set each crystal has (n,), and the sets as a mask (m, 128)."""
    (low, _), (high, highs) = pd.factorize(bits[:, 0]), pd.factorize(bits[:, 1])
    codes, _ = pd.factorize(low * (len(highs) + 1) + high)
    first = np.flatnonzero(~pd.Series(codes).duplicated().to_numpy())  # codes are numbered as they come
    presence = bits[first][:, :, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    return codes, presence.astype(bool).reshape(-1, 128)
