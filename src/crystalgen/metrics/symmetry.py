"""Symmetry of generated crystals: how many have none, and which space groups there are."""

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import space_group_number
from crystalgen.utils.limited_map import map_limited
from crystalgen.utils.timeout import TimeLimit

SYMPRECS = (0.01, 0.1)  # Å; a model's noise breaks symmetry at the first that is there at the second


def space_groups(table: pd.DataFrame, workers: int = 1, limit: float = 20.0) -> pd.DataFrame:
    """International numbers at each of `SYMPRECS`, columns `space_group_<symprec>` (NA where spglib finds none), n rows.

    workers: processes. limit: s of CPU time for one crystal; one that takes longer has none.
    """
    cells = list(zip(table["lattice"], table["frac_coords"], table["atomic_numbers"], strict=True))
    found = [
        [None] * len(SYMPRECS) if isinstance(groups, TimeLimit) else groups for groups in map_limited(_groups, cells, workers, limit, 64)
    ]
    columns = {f"space_group_{symprec:g}": pd.array([groups[i] for groups in found], dtype="Int16") for i, symprec in enumerate(SYMPRECS)}
    return pd.DataFrame(columns, index=table.index)


def _groups(cell: tuple) -> list[int | None]:
    return [space_group_number(cell, symprec) for symprec in SYMPRECS]


def in_p1(groups: pd.Series) -> np.ndarray:
    """Return whether each crystal has no symmetry, bool (n,); one of which spglib finds no group has none."""
    return (groups.isna() | (groups == 1)).to_numpy(bool)


def without_symmetry(groups: pd.Series) -> float:
    """Return the share in P1, of all; NaN of none."""
    return float(in_p1(groups).mean()) if len(groups) else np.nan


def histogram(generated: pd.Series, reference: pd.Series) -> pd.DataFrame:
    """Return the share of each space group that either has: space_group, generated, reference; the reference's commonest first."""
    shares = {name: groups.fillna(1).astype(int).value_counts(normalize=True) for name, groups in
              {"generated": generated, "reference": reference}.items()}  # fmt: skip
    table = pd.DataFrame(shares).fillna(0.0).rename_axis("space_group").reset_index()
    return table.sort_values(["reference", "generated", "space_group"], ascending=[False, False, True], ignore_index=True)
