"""Describe elements to a network: 22 properties from mendeleev, imputed openly and standardised."""

from functools import lru_cache

import numpy as np
import pandas as pd

MAX_Z = 103

PROPERTIES = (
    "atomic_number",
    "atomic_weight",
    "period",
    "group_id",  # lanthanides and actinides count as group 3
    "mendeleev_number",
    "pettifor_number",
    "glawe_number",
    "atomic_radius",
    "atomic_radius_rahm",
    "covalent_radius_cordero",
    "covalent_radius_pyykko",
    "vdw_radius",
    "vdw_radius_alvarez",
    "en_pauling",
    "en_allen",
    "en_ghosh",
    "dipole_polarizability",
    "electron_affinity",
    "heat_of_formation",
    "evaporation_heat",
    "density",
    "c6_gb",
)


@lru_cache(maxsize=1)
def property_table() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Raw properties of elements 1 to 103 and a mask of the imputed ones, both (103, 22), index Z.

    A missing value is the mean of the element's group, and where the whole group lacks it the median of
    all elements. Units are mendeleev's. The paper (B §2.1) names the package and the number 22 only; the
    choice is listed in `PROPERTIES`.
    """
    from mendeleev.fetch import fetch_table  # slow to import, needed once

    raw = fetch_table("elements").set_index("atomic_number").loc[1:MAX_Z]
    raw["group_id"] = raw["group_id"].fillna(3)
    raw["atomic_number"] = raw.index
    table = raw[list(PROPERTIES)].apply(pd.to_numeric).astype(float)
    imputed = table.isna()
    by_group = table.groupby(raw["group_id"]).transform("mean")
    return table.fillna(by_group).fillna(table.median()), imputed


@lru_cache(maxsize=1)
def standardised_properties() -> np.ndarray:
    """Zero mean and unit variance over elements 1 to 103, float32 (104, 22); row 0 (no atom) is zero."""
    table, _ = property_table()
    scaled = (table - table.mean()) / table.std(ddof=0)
    return np.vstack([np.zeros(len(PROPERTIES)), scaled.to_numpy()]).astype(np.float32)
