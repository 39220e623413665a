"""B's data protocol: keep polymorph groups, drop rare elements and space groups (B §2.1)."""

import numpy as np
import pandas as pd
from pymatgen.core import Element

from crystalgen.config import Filter


def filter_polymorphs(table: pd.DataFrame, settings: Filter) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Filter to a fixed point; returns the kept rows and a report with one row per step.

    Size first, then, until nothing changes: rows with an element or a space group found in less than
    `min_share` of the rows left, then groups (same full formula) outside `min_group` to `max_group`.
    Dropping rows changes the shares, so one pass is not enough.

    Report columns: step, structures, groups, min_group, max_group, space_groups, elements.

    Raises:
        ValueError: nothing is left; the message names the step.
    """
    steps = [("all", table)]
    kept = table[table["nsites"].between(settings.min_sites, settings.max_sites)]
    if settings.elements is not None:
        kept = kept[made_of(kept, settings.elements)]
    steps.append((f"{settings.min_sites}-{settings.max_sites} atoms" + (", elements" if settings.elements else ""), kept))
    number = 0
    while True:
        number += 1
        before = len(kept)
        kept = kept[_common(kept, settings.min_share)]
        steps.append((f"pass {number}: rare elements and space groups", kept))
        sizes = kept.groupby("formula")["id"].transform("size")
        kept = kept[sizes.between(settings.min_group, settings.max_group)]
        steps.append((f"pass {number}: group size", kept))
        for name, rows in steps:
            if len(rows) == 0:
                raise ValueError(f"the polymorph filter leaves nothing after '{name}' with {settings}")
        if len(kept) == before:
            return kept.reset_index(drop=True), pd.DataFrame([describe(name, rows) for name, rows in steps])


def describe(step: str, table: pd.DataFrame) -> dict:
    """What B reports of its data, for one step."""
    sizes = table["formula"].value_counts()
    return {
        "step": step,
        "structures": len(table),
        "groups": len(sizes),
        "min_group": int(sizes.min()) if len(sizes) else 0,
        "max_group": int(sizes.max()) if len(sizes) else 0,
        "space_groups": int(table["space_group"].nunique()),
        "elements": len(set().union(*map(set, table["atomic_numbers"]))) if len(table) else 0,
    }


def made_of(table: pd.DataFrame, symbols: tuple[str, ...]) -> np.ndarray:
    """Mask of the crystals that hold no element but these."""
    allowed = {Element(s).Z for s in symbols}
    return table["atomic_numbers"].map(lambda z: set(z.tolist()) <= allowed).to_numpy(bool)


def _common(table: pd.DataFrame, min_share: float) -> np.ndarray:
    """Mask of rows all of whose elements and whose space group reach the share; a lost space group never does."""
    if len(table) == 0:
        return np.zeros(0, bool)
    least = min_share * len(table) - 1e-9  # a share that is met exactly is met
    presence = np.zeros((len(table), 120), bool)
    rows = np.repeat(np.arange(len(table)), table["nsites"])
    presence[rows, np.concatenate(table["atomic_numbers"].to_numpy())] = True
    rare_elements = (presence.sum(axis=0) < least) & presence.any(axis=0)
    groups = table["space_group"].to_numpy(dtype=int, na_value=0)
    counts = np.bincount(groups, minlength=231)
    counts[0] = 0
    return ~(presence[:, rare_elements].any(axis=1) | (counts[groups] < least) | (groups == 0))
