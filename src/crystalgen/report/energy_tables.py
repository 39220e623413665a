"""What sets of crystals of the same compositions show: paper A's Tables 2 and 3 with ours, and what its Figures 5, 6 and 8 draw."""

import numpy as np
import pandas as pd

from crystalgen.baselines.random_search import RANDOM
from crystalgen.crystals.plausibility import MAX_BELOW_HULL
from crystalgen.potentials.single_point import CONVERGED
from crystalgen.report.style import model_label, model_order
from crystalgen.report.tables import format_interval
from crystalgen.stability.energies import composition_pairs, energy_comparison, stable_counts
from crystalgen.stability.hull import Hull

NOTE = (
    "Every set is asked for the same compositions, which no model saw, relaxed by CHGNet with the same budget, and rated by SevenNet "
    "7net-l3i5 against the library's hull, whose phases of these very compositions are among the known. ΔE_f is the mean difference over "
    "all pairs of one composition to random search, negative where the set is the more stable one; the rate is the share of pairs in "
    f"which it is (A eq. 3 and 4). An energy more than {MAX_BELOW_HULL:g} eV/atom below the hull is an invention of the potential and not "
    "counted. Lowest: the least energy of each composition alone. Intervals: 95 %, whole compositions redrawn."
)
PAPER = {"delta_e": -0.68, "reduction_rate": 0.8}  # of conditional UniMat against AIRSS, by DFT on other compositions (A §2.3)


def energy_table(sets: pd.DataFrame, draws: int) -> pd.DataFrame:
    """Per set: counts on the way to an energy, stability, ΔE_f and reduction rate against random search.

    Args:
        sets: of `relaxed_sets.relax_sets`.
        draws: of the bootstrap.
    """
    searched = sets[sets["row"] == RANDOM]
    rows = []
    for row in sorted(set(sets["row"]), key=model_order):
        own = sets[sets["row"] == row]
        counts = stable_counts(own["e_above_hull"])
        line = {
            "Set": model_label(row),
            "Crystals": len(own),
            "Valid": int(own["valid"].sum()),
            "Converged": int((own["relaxation"] == CONVERGED).sum()),
            "Rated": counts["n"] - counts["unknown"],
            "Below the hull": counts["stable"],
            "Within 25 meV/atom": counts["metastable"],
            "Median above the hull, meV/atom": round(float(own["e_above_hull"].median()) * 1000, 1),
            "Lowest of each composition, mean, meV/atom": round(float(own.groupby("composition")["e_above_hull"].min().mean()) * 1000, 1),
        }
        for name, lowest in (("", False), (", lowest", True)):
            found = {} if row == RANDOM else energy_comparison(composition_pairs(own, searched, lowest), draws)
            line[f"ΔE_f to random search{name}, eV/atom"] = _shown(found.get("delta_e"))
            line[f"Rate{name}"] = _shown(found.get("reduction_rate"))
        rows.append(line)
    return pd.DataFrame(rows)


def lowest_energies(sets: pd.DataFrame, library: pd.DataFrame, hull: Hull) -> pd.DataFrame:
    """Per composition and set: least energy above the hull (eV/atom), and its difference to random search's; the library's beside.

    Returns:
        composition, row, e_above_hull, difference, library_e_above_hull, rated (crystals with an energy).
    """
    rated = sets[sets["e_above_hull"].notna()]
    lowest = rated.groupby(["composition", "row"])["e_above_hull"].agg(["min", "size"]).reset_index()
    lowest.columns = ["composition", "row", "e_above_hull", "rated"]
    searched = lowest[lowest["row"] == RANDOM].set_index("composition")["e_above_hull"]
    known = library.groupby("reduced_formula")["formation_energy_per_atom"].min()
    formulas = sets.drop_duplicates("composition").set_index("composition")["reduced_formula"]
    own = {name: known.get(formula, np.nan) - hull.energy_at(formula) for name, formula in formulas.items()}
    return lowest.assign(
        difference=lowest["e_above_hull"] - lowest["composition"].map(searched), library_e_above_hull=lowest["composition"].map(own)
    )


def show_lowest(lowest: pd.DataFrame) -> pd.DataFrame:
    """`lowest_energies` for a reader: a row per composition, a column per set, meV/atom."""
    wide = (lowest.pivot_table(index="composition", columns="row", values="e_above_hull") * 1000).round(1)
    wide = wide[sorted(wide.columns, key=model_order)].rename(columns=model_label)
    known = (lowest.drop_duplicates("composition").set_index("composition")["library_e_above_hull"] * 1000).round(1)
    return wide.assign(**{"Library": known}).rename_axis(index="Composition", columns=None).reset_index()


def _shown(found: dict | None) -> str:
    return "–" if found is None else format_interval(found["value"], found["low"], found["high"])
