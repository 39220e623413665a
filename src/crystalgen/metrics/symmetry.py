"""Symmetry of generated crystals: how many have none, and which space groups there are."""

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import find_space_groups

SYMPRECS = (0.01, 0.1)  # Å; a model's noise breaks symmetry at the first that is there at the second


def space_groups(table: pd.DataFrame) -> pd.DataFrame:
    """International numbers at each of `SYMPRECS`, columns `space_group_<symprec>` (NA where spglib finds none), n rows."""
    found = {f"space_group_{symprec:g}": find_space_groups(table, symprec)["space_group"].array for symprec in SYMPRECS}
    return pd.DataFrame(found, index=table.index)


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
