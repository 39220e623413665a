"""Figures of energies: candidates of a search, sets of equal composition (A F5, F6, F8), and what guidance obtains (A eq. 2)."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from crystalgen.baselines.random_search import RANDOM
from crystalgen.crystals.columns import axis_label
from crystalgen.report.style import GREY, counted, legend_above, new_figure, palette, say_empty
from crystalgen.stability.hull import METASTABLE

_REACH = (-0.2, 2.0)  # eV/atom of the histogram; what lies beyond is counted at its ends
_LINEAR = 25.0  # meV/atom around the hull drawn linearly, logarithmic beyond


def candidate_strips(candidates: pd.DataFrame) -> Figure:
    """Draw the energies above the hull of relaxed candidates, a panel per composition and a strip per model; a bar is the median.

    Args:
        candidates: columns composition, model, e_above_hull (eV/atom), new (to the library).
    """
    compositions, models = sorted(candidates["composition"].unique()), list(palette(candidates["model"]))
    size = (3.6 + 2.6 * max(len(compositions), 1), 1.6 + 0.62 * max(len(models), 2))
    figure, axes = new_figure(1, max(len(compositions), 1), size=size, sharex=True, sharey=True)
    if candidates.empty:
        return say_empty(axes[0, 0], "no candidate was relaxed")
    candidates = candidates.assign(mev=candidates["e_above_hull"] * 1000, phase=candidates["new"].map({True: "new", False: "known"}))
    for ax, composition in zip(axes[0], compositions, strict=True):
        own = candidates[candidates["composition"] == composition].astype({"model": object})
        np.random.seed(0)  # noqa: NPY002  seaborn draws its jitter from numpy's global generator
        sns.stripplot(own, x="mev", y="model", hue="phase", order=models, hue_order=("new", "known"), palette=["#0072B2", "#E69F00"],
                      jitter=0.25, size=4, alpha=0.8, legend=ax is axes[0, 0], ax=ax)  # fmt: skip
        for place, model in enumerate(models):
            mine = own.loc[own["model"] == model, "mev"]
            ax.plot([mine.median()] * 2, [place - 0.33, place + 0.33], color="black", linewidth=1.4)
            ax.text(0.02, place - 0.3, f"n = {len(mine)}", va="bottom", fontsize=8, transform=ax.get_yaxis_transform())
        ax.axvline(0, color=GREY, linewidth=0.9, linestyle="--")
        ax.set_xscale("symlog", linthresh=_LINEAR)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set(title=composition, xlabel="", ylabel="")
    figure.supxlabel(axis_label("e_above_hull", "meV/atom"), fontsize=10)
    legend_above(figure, axes[0, 0])
    return figure


def decomposition_histograms(sets: pd.DataFrame) -> Figure:
    """Draw shares of each method's crystals by energy above the hull (A F6); those below 25 meV/atom are shaded.

    Args:
        sets: with model and e_above_hull (eV/atom).
    """
    known = sets.dropna(subset="e_above_hull")
    figure, axes = new_figure(size=(8.4, 4.2))
    ax = axes[0, 0]
    if known.empty:
        return say_empty(ax, "no crystal has an energy")
    data = pd.DataFrame({"energy": known["e_above_hull"].clip(*_REACH), "model": counted(known["model"])})
    colors = dict(zip(palette(data["model"]), palette(known["model"]).values(), strict=True))
    sns.histplot(data, x="energy", hue="model", palette=colors, bins=44, binrange=_REACH, stat="proportion", common_norm=False,
                 element="step", fill=False, ax=ax)  # fmt: skip
    ax.axvspan(_REACH[0], METASTABLE, color=GREY, alpha=0.15, linewidth=0)
    ax.set(xlabel=axis_label("e_above_hull"), ylabel="share of the crystals with an energy")
    legend_above(figure, ax, 2)
    return figure


def composition_differences(lowest: pd.DataFrame) -> Figure:
    """Draw the least energy of each composition by each method, minus random search's (A F5, F8): below zero the method is lower.

    Args:
        lowest: of `energy_tables.lowest_energies`.
    """
    points = lowest[(lowest["row"] != RANDOM) & lowest["difference"].notna()].astype({"model": object})
    order = list(points.groupby("composition")["difference"].min().sort_values().index)
    figure, axes = new_figure(size=(max(6.0, 2.5 + 0.17 * len(order)), 4.8))
    ax = axes[0, 0]
    if points.empty:
        return say_empty(ax, "no composition has an energy by two methods")
    colors = {name: color for name, color in palette(lowest["model"]).items() if name in set(points["model"])}
    sns.stripplot(points, x="composition", y="difference", hue="model", order=order, hue_order=list(colors), palette=colors,
                  jitter=False, dodge=len(colors) > 1, size=5, alpha=0.8, ax=ax)  # fmt: skip
    known = points.drop_duplicates("composition")
    gap = known["library_e_above_hull"] - (known["e_above_hull"] - known["difference"])
    places = known["composition"].map({name: i for i, name in enumerate(order)})
    low, high = min(points["difference"].min(), 0), max(points["difference"].max(), 0)
    margin = 0.08 * max(high - low, 0.02)
    ax.scatter(places, gap, s=90, marker="_", color="black", linewidths=1.6, label="the library's lowest")
    ax.set_ylim(low - margin, high + margin)  # a library that holds only high crystals of a formula would flatten the rest
    ax.axhline(0, color=GREY, linewidth=0.9, linestyle="--")
    ax.tick_params(axis="x", rotation=90 if len(order) > 6 else 0)
    ax.set(xlabel="", ylabel="least energy minus random search's (eV/atom)")
    legend_above(figure, ax, 3)
    return figure


def energies_obtained(found: pd.DataFrame) -> Figure:
    """Draw the formation energy obtained against the target, a line per guidance weight: median and quartiles.

    Args:
        found: columns asked (the target), weight, energy (eV/atom, NaN where a sample has none).
    """
    figure, axes = new_figure(size=(6, 4.6))
    ax, known = axes[0, 0], found.dropna(subset="energy")
    if known.empty:
        return say_empty(ax, "no sample has an energy")
    span = [known["asked"].min(), known["asked"].max()]
    ax.plot(span, span, color=GREY, linewidth=1, label="target")
    weights = "ω = " + known["weight"].map("{:g}".format)
    step = 0.012 * (span[1] - span[0])
    data = known.assign(weight=weights, asked=known["asked"] + step * (known["weight"].rank(method="dense") - 2))  # beside each other
    order = list(dict.fromkeys(weights[known["weight"].sort_values().index]))
    sns.lineplot(data, x="asked", y="energy", hue="weight", style="weight", hue_order=order, palette=palette(order), markers=True,
                 estimator="median", errorbar=("pi", 50), err_style="bars", err_kws={"capsize": 3}, ax=ax)  # fmt: skip
    counts = known.groupby(["weight", "asked"]).size()
    ax.set(xlabel=axis_label("asked_formation_energy_per_atom"), ylabel=f"{axis_label('formation_energy_per_atom')}, obtained")
    ax.legend(title=f"n = {counts.min()} to {counts.max()} a point")
    return figure
