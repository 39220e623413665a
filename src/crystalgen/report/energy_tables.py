"""Tables of crystals of the same compositions by several methods: paper A's Tables 2 and 3, and what its Figures 5, 6 and 8 draw."""

import numpy as np
import pandas as pd

from crystalgen.baselines.random_search import RANDOM
from crystalgen.crystals.plausibility import MAX_BELOW_HULL
from crystalgen.potentials.relaxation import CONVERGED
from crystalgen.report.labels import labelled, ordered
from crystalgen.report.tables import UNKNOWN, format_interval
from crystalgen.stability.energies import composition_pairs, energy_comparison, stable_counts
from crystalgen.stability.hull import Hull

NOTE = (
    "Every method generates crystals of the same compositions, which no model saw; CHGNet relaxes them with the same budget, and SevenNet "
    "7net-l3i5 gives their energies above the library's hull, whose phases of these very compositions are among the known ones. ΔE_f is "
    "the mean difference over all pairs of one composition to random search, negative where the method's crystals are the more stable "
    "ones; the rate is the share of pairs in which they are (A eq. 3 and 4). An energy more than "
    f"{MAX_BELOW_HULL:g} eV/atom below the hull is an artefact of the potential and does not count. Lowest: only the least energy of each "
    "composition counts. The 95 % intervals redraw whole compositions."
)


def energy_table(sets: pd.DataFrame, draws: int, labels: dict[str, str]) -> pd.DataFrame:
    """Return per method counts on the way to an energy, stability, ΔE_f and reduction rate against random search.

    Args:
        sets: of `relaxed_sets.relax_sets`.
        draws: of the bootstrap.
        labels: of the rows.
    """
    searched, lines = sets[sets["row"] == RANDOM], []
    for row in ordered(sets["row"], labels):
        own = sets[sets["row"] == row]
        counts = stable_counts(own["e_above_hull"])
        line = {
            "Method": labels.get(row, row),
            "Crystals": len(own),
            "Valid": int(own["valid"].sum()),
            "Converged": int((own["relaxation"] == CONVERGED).sum()),
            "With an energy": counts["n"] - counts["unknown"],
            "Below the hull": counts["stable"],
            "Within 25 meV/atom": counts["metastable"],
            "Median above the hull, meV/atom": round(float(own["e_above_hull"].median()) * 1000, 1),
            "Lowest of each composition, mean, meV/atom": round(float(own.groupby("composition")["e_above_hull"].min().mean()) * 1000, 1),
        }
        for name, lowest in (("", False), (", lowest", True)):
            found = {} if row == RANDOM else energy_comparison(composition_pairs(own, searched, lowest), draws)
            line[f"ΔE_f to random search{name}, eV/atom"] = _shown(found.get("delta_e"))
            line[f"Rate{name}"] = _shown(found.get("reduction_rate"))
        lines.append(line)
    return pd.DataFrame(lines)


def lowest_energies(sets: pd.DataFrame, library: pd.DataFrame, hull: Hull, labels: dict[str, str]) -> pd.DataFrame:
    """Return per composition and method the least energy above the hull (eV/atom), and its difference to random search's.

    Returns:
        composition, row, model (its label), e_above_hull, difference, library_e_above_hull (the library's lowest crystal).
    """
    lowest = sets[sets["e_above_hull"].notna()].groupby(["composition", "row"])["e_above_hull"].min().reset_index()
    searched = lowest[lowest["row"] == RANDOM].set_index("composition")["e_above_hull"]
    known = library.groupby("reduced_formula")["formation_energy_per_atom"].min()
    formulas = sets.drop_duplicates("composition").set_index("composition")["reduced_formula"]
    own = {name: known.get(formula, np.nan) - hull.energy_at(formula) for name, formula in formulas.items()}
    names = lowest["composition"]
    differences = {"difference": lowest["e_above_hull"] - names.map(searched), "library_e_above_hull": names.map(own)}
    return lowest.assign(model=labelled(lowest["row"], labels), **differences)


def show_lowest(lowest: pd.DataFrame) -> pd.DataFrame:
    """Return `lowest_energies` for a reader: a line per composition, a column per method, meV/atom."""
    wide = lowest.pivot_table(index="composition", columns="model", values="e_above_hull", observed=True)
    wide.columns = wide.columns.astype(str)
    known = lowest.drop_duplicates("composition").set_index("composition")["library_e_above_hull"]
    return (wide.assign(Library=known) * 1000).round(1).rename_axis("Composition").reset_index()


def _shown(found: dict | None) -> str:
    return UNKNOWN if found is None else format_interval(found["value"], found["low"], found["high"])
