"""Figures of sets of the same compositions: how far above the hull, and how much lower or higher than a random search (A F5, F6, F8)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crystalgen.baselines.random_search import RANDOM
from crystalgen.report.style import GREY, LINES, MARKERS, model_colors, model_order, new_figure, say_empty, wrapped_label
from crystalgen.stability.hull import METASTABLE

_REACH = (-0.2, 2.0)  # eV/atom of the histogram; what lies beyond is counted at its ends
_BINS = 44


def decomposition_histograms(sets: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Shares of each set's rated crystals by energy above the hull (A F6).

    Args:
        sets: with row and e_above_hull (eV/atom).

    Returns:
        the figure, and points with columns model, from, to (eV/atom), share.
    """
    rated = sets[sets["e_above_hull"].notna()]
    figure, axes = new_figure(size=(8.4, 4.2))
    ax = axes[0, 0]
    edges, rows = np.linspace(*_REACH, _BINS + 1), []
    if rated.empty:
        say_empty(ax, "no crystal has an energy")
    colors = model_colors(sorted(set(rated["row"]), key=model_order))
    for place, (row, color) in enumerate(colors.items()):
        values = rated.loc[rated["row"] == row, "e_above_hull"].to_numpy()
        share = np.histogram(np.clip(values, *_REACH), edges)[0] / len(values)
        label = f"{wrapped_label(row)}\n(n = {len(values)})"
        ax.stairs(share, edges, color=color, linestyle=LINES[place % len(LINES)], linewidth=1.6, label=label)
        rows.append(pd.DataFrame({"model": row, "from": edges[:-1], "to": edges[1:], "share": share}))
    if rows:
        ax.axvspan(_REACH[0], METASTABLE, color=GREY, alpha=0.15, linewidth=0)
        ax.set_xlabel("energy above the library's hull, eV/atom (shaded: below 25 meV/atom)")
        ax.set_ylabel("share of the rated crystals")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure, pd.concat(rows) if rows else pd.DataFrame(columns=["model", "from", "to", "share"])


def composition_differences(lowest: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Least energy of each composition by each set, minus random search's (A F5, F8): below zero, the set found the lower crystal.

    Args:
        lowest: of `energy_tables.lowest_energies`.

    Returns:
        the figure, and its points.
    """
    points = lowest[(lowest["row"] != RANDOM) & lowest["difference"].notna()].rename(columns={"row": "model"})
    models = sorted(set(points["model"]), key=model_order)
    compositions = list(points.groupby("composition")["difference"].min().sort_values().index)
    figure, axes = new_figure(size=(max(6.0, 2.5 + 0.17 * len(compositions)), 4.4))
    ax = axes[0, 0]
    if points.empty:
        say_empty(ax, "no composition has an energy in two sets")
        return figure, points
    places = {name: place for place, name in enumerate(compositions)}
    for number, (model, color) in enumerate(model_colors(models).items()):
        own = points[points["model"] == model]
        at = own["composition"].map(places) + 0.12 * (number - (len(models) - 1) / 2)
        marker = MARKERS[number % len(MARKERS)]
        ax.scatter(
            at, own["difference"], s=26, marker=marker, facecolors="none", edgecolors=color, linewidths=1.2, label=wrapped_label(model)
        )
    low, high = points["difference"].min(), points["difference"].max()
    margin = 0.08 * max(high - low, 0.02)
    known = points.drop_duplicates("composition")
    gap = known["library_e_above_hull"] - (known["e_above_hull"] - known["difference"])
    ax.scatter(known["composition"].map(places), gap, s=90, marker="_", color="#000000", linewidths=1.6, label="the library's lowest")
    ax.set_ylim(min(low, 0) - margin, max(high, 0) + margin)  # a library that holds only high crystals of a formula would flatten the rest
    ax.axhline(0, color=GREY, linewidth=0.9, linestyle="--")
    ax.set_xticks(range(len(compositions)), compositions, rotation=90 if len(compositions) > 6 else 0)
    ax.set_ylabel("least energy minus random search's, eV/atom")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure, points.drop(columns="rated")
