"""Comparing sets of crystals by energy, as paper A does (A §2.3, app. 8): per composition, by decomposition energy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crystalgen.stability.hull import METASTABLE, EnergySourceError
from crystalgen.utils.statistics import clustered_bootstrap


def composition_pairs(one: pd.DataFrame, other: pd.DataFrame, lowest: bool = False) -> pd.DataFrame:
    """Return every crystal of one set with every crystal of the other of the same composition: A's set C.

    Args:
        one, other: tables with reduced_formula, formation_energy_per_atom (eV) and energy_source; rows without an energy are left out.
        lowest: of each set only the crystal of least energy of a composition, as of a search that keeps its best.

    Returns:
        reduced_formula, energy, other_energy (eV/atom), a row per pair.

    Raises:
        EnergySourceError: the energies are not all from one source.
    """
    rated = [table[table["formation_energy_per_atom"].notna()] for table in (one, other)]
    sources = sorted({source for table in rated for source in table["energy_source"]})
    if len(sources) > 1:
        raise EnergySourceError(f"energies by {' and by '.join(map(repr, sources))} are not compared: their references and errors differ")
    columns = ["reduced_formula", "formation_energy_per_atom"]
    if lowest:
        rated = [table.groupby("reduced_formula", as_index=False)["formation_energy_per_atom"].min() for table in rated]
    pairs = rated[0][columns].merge(rated[1][columns], on="reduced_formula", suffixes=("", "_other"))
    names = {"formation_energy_per_atom": "energy", "formation_energy_per_atom_other": "other_energy"}
    return pairs.rename(columns=names)


def energy_comparison(pairs: pd.DataFrame, draws: int = 2000) -> dict[str, dict]:
    """ΔE_f(A, B) (A eq. 3) and the E_f reduction rate (A eq. 4), 95 % intervals over compositions.

    Args:
        pairs: of `composition_pairs`.
        draws: of the bootstrap.

    Returns:
        delta_e and reduction_rate: value, low, high, n (pairs), compositions. Negative ΔE_f and a rate above one half say that the first
        set is the more stable one. Empty where no composition is in both.
    """
    if pairs.empty:
        return {}
    gap = (pairs["energy"] - pairs["other_energy"]).to_numpy(float)
    formulas = pairs["reduced_formula"].to_numpy(str)
    found = {}
    for name, values in (("delta_e", gap), ("reduction_rate", (gap < 0).astype(float))):
        low, high = clustered_bootstrap(values, formulas, draws)
        found[name] = {"value": float(values.mean()), "low": low, "high": high, "n": len(values), "compositions": len(set(formulas))}
    return found


def stable_counts(decomposition: Sequence[float]) -> dict[str, int]:
    """Count crystals below the hull, and less than 25 meV/atom above it (A eq. 5); and how many have no energy.

    decomposition: energies above the hull, eV/atom; negative below it, NaN where unknown.
    """
    values = np.asarray(decomposition, dtype=float)
    return {
        "stable": int((values < 0).sum()),
        "metastable": int((values < METASTABLE).sum()),
        "unknown": int(np.isnan(values).sum()),
        "n": len(values),
    }
