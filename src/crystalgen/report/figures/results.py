"""Figures of rates with their intervals: by method, by number of sites, by number of sampling steps, by size of the network."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from crystalgen.crystals.columns import axis_label
from crystalgen.report.style import MARKERS, legend_above, new_figure, palette, say_empty

_INTERVAL = {"estimator": "median", "errorbar": ("pi", 100)}  # of low, value and high: the value, from low to high


def match_rates(rates: pd.DataFrame, label: str = "match rate") -> Figure:
    """Draw the rate of each model and baseline with its 95 % interval, its training seeds and the paper's value where there is one.

    Args:
        rates: columns model, value, low, high, n, by_seed (a list each) and perhaps paper_value (NaN where none); rates 0 to 1.
        label: of the rate's axis.
    """
    figure, axes = new_figure(size=(8, 1.4 + 0.45 * max(len(rates), 2)))
    ax, colors = axes[0, 0], palette(rates["model"])
    if rates.empty:
        return say_empty(ax, "no match rates")
    look = {"hue": "model", "hue_order": list(colors), "palette": colors, "order": list(colors), "ax": ax}
    sns.pointplot(_long(rates), x="rate", y="model", linestyle="none", capsize=0.25, marker="s", markersize=6, err_kws={"linewidth": 1.5},
                  legend=False, **look, **_INTERVAL)  # fmt: skip
    seeds = rates[rates["by_seed"].map(len) > 1].explode("by_seed").astype({"by_seed": float})
    if len(seeds):
        sns.stripplot(seeds, x="by_seed", y="model", jitter=False, color="black", size=4, alpha=0.7, order=list(colors), ax=ax,
                      label="one training seed", zorder=4)  # fmt: skip
    paper = rates.get("paper_value", pd.Series(dtype=float)).astype(float)
    if paper.notna().any():
        place = [list(colors).index(name) for name in rates["model"]]
        ax.scatter(paper, place, marker="D", s=50, facecolor="white", edgecolor="black", label="paper, another data set", zorder=5)
    for place, name in enumerate(colors):
        found = rates[rates["model"] == name].iloc[0]
        ax.text(1.02, place, f"{found['value']:.3f}  (n = {int(found['n'])})", va="center", transform=ax.get_yaxis_transform())
    top = np.nanmax([*rates["value"], *rates["high"], *paper])
    ax.set(xlabel=f"{label}, with 95 % intervals", ylabel="", xlim=(-0.01, 1.01) if top > 0.5 else (-0.02 * top, max(1.15 * top, 0.02)))
    legend_above(figure, ax)
    return figure


def rates_by_size(rates: pd.DataFrame) -> Figure:
    """Draw the match rate against the number of sites with 95 % intervals: a panel per model, the baselines again in each.

    Args:
        rates: columns model, baseline (bool), nsites, value, low, high, n; rates 0 to 1.
    """
    models, baselines = (list(palette(rates.loc[rates["baseline"] == kind, "model"])) for kind in (False, True))
    columns = min(max(len(models), 1), 2)
    lines, sizes, colors = -(-max(len(models), 1) // columns), np.sort(rates["nsites"].unique()), palette(rates["model"])
    figure, axes = new_figure(lines, columns, size=(5.6 * columns, 0.8 + 2.8 * lines), sharey=True)
    counts = rates.groupby("nsites")["n"].max().astype(int)
    for ax in axes.flat[len(models) :]:
        ax.set_axis_off()
    for ax, model in zip(axes.flat, models, strict=False):  # a last line may be part empty
        shown = [*baselines, model]
        data = _long(rates[rates["model"].isin(shown)]).astype({"model": object})
        sns.pointplot(data, x="nsites", y="rate", hue="model", hue_order=shown, palette=colors, order=sizes,
                      dodge=0.3 if len(shown) > 1 else False, capsize=0.1,
                      markers=[*MARKERS[1 : len(shown)], "o"], markersize=4, linewidth=1.3, ax=ax, **_INTERVAL)  # fmt: skip
        ax.set(title=model, xlabel=axis_label("nsites"), ylabel=axis_label("match_rate"))
        ax.set_xticks(range(len(sizes)), [f"{size}\nn = {counts[size]}" for size in sizes])
        handles, names = ax.get_legend_handles_labels()
        ax.get_legend().remove()
    if models and baselines:
        figure.legend(handles[: len(baselines)], names[: len(baselines)], loc="outside upper center", ncols=len(baselines))
    return figure


def rates_by_steps(rates: pd.DataFrame) -> Figure:
    """Draw the match rate against the number of sampling steps, a line per way to sample, with 95 % intervals.

    Args:
        rates: columns model, steps, value, low, high, n (see `experiments.sampler_steps`); rates 0 to 1.
    """
    figure, axes = new_figure(size=(8, 4.4))
    ax = axes[0, 0]
    if rates.empty:
        return say_empty(ax, "this study has no generation model")
    colors, steps = palette(rates["model"]), np.sort(rates["steps"].unique())
    shift = {name: 1.04 ** (i - (len(colors) - 1) / 2) for i, name in enumerate(colors)}  # beside each other: intervals stay legible
    data = _long(rates).assign(steps=lambda table: table["steps"] * table["model"].astype(object).map(shift))
    sns.lineplot(data, x="steps", y="rate", hue="model", style="model", hue_order=list(colors), style_order=list(colors), palette=colors,
                 markers=True, err_style="bars", err_kws={"capsize": 3}, ax=ax, **_INTERVAL)  # fmt: skip
    ax.set(xscale="log", xlabel="sampling steps", ylabel=f"match rate, n = {int(rates['n'].max())} validation crystals")
    ax.set_xticks(steps, [f"{step}" for step in steps])
    ax.xaxis.set_minor_locator(NullLocator())
    legend_above(figure, ax, 2)
    return figure


def quality_by_size(found: pd.DataFrame) -> Figure:
    """Draw validity and coverage of samples without a target against the network's size, a mark per model (A Fig. 4).

    Args:
        found: of `paper_tables.quality_by_size`.
    """
    metrics, colors = list(dict.fromkeys(found["metric"])), palette(found["model"])
    rows = -(-len(metrics) // 2)
    figure, axes = new_figure(rows, 2, size=(10, 1.4 + 2.8 * rows), sharey=True)
    for ax, name in zip(axes.flat, metrics, strict=False):
        sns.lineplot(_long(found[found["metric"] == name]), x="parameters", y="rate", hue="model", style="model", palette=colors,
                     markers=True, dashes=False, err_style="bars", err_kws={"capsize": 3}, ax=ax, **_INTERVAL)  # fmt: skip
        ax.set(xscale="log", ylabel=name.lower(), ylim=(-0.02, 1.02))
        if ax is not axes[0, 0]:
            ax.get_legend().remove()
    legend_above(figure, axes[0, 0], 2)
    return figure


def rates_by_compute(own: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Draw match rates against the arithmetic of training: lines across for what is not trained on a GPU, a mark per published model.

    Args:
        own: columns label, value, low, high: rows that take minutes of a CPU.
        published: columns label, flop, and match_rate_csp or match_rate_csp_filtered, NaN where unknown; rates 0 to 1.
    """
    figure, axes = new_figure(size=(8.5, 5.2))
    ax, colors = axes[0, 0], palette(own["label"])
    for row in own.itertuples():
        ax.axhspan(row.low, row.high, color=colors[row.label], alpha=0.15, linewidth=0)
        ax.axhline(row.value, color=colors[row.label], label=f"{row.label}, {row.value:.3f}")
    known = published[published["flop"].notna()]
    for column, marker, face, name in (("match_rate_csp", "o", "black", "published, all"),
                                       ("match_rate_csp_filtered", "o", "white", "published, filtered by validity")):  # fmt: skip
        ax.scatter(known["flop"], known[column], marker=marker, s=40, facecolor=face, edgecolor="black", zorder=4, label=name)
    for row in known.itertuples():
        rate = row.match_rate_csp if row.match_rate_csp == row.match_rate_csp else row.match_rate_csp_filtered
        ax.annotate(row.label, (row.flop, rate), xytext=(5, -12), textcoords="offset points", fontsize=9)
    lowest = np.nanmin([*own["low"], *known["match_rate_csp"], *known["match_rate_csp_filtered"]])
    ax.set(xscale="log", xlabel="FLOP of training, estimated", ylabel="match rate, one try, 0.3/0.5/10", ylim=(lowest - 0.04, None))
    ax.set_xlim(known["flop"].min() / 2, known["flop"].max() * 4)
    legend_above(figure, ax, 2)
    return figure


def _long(rates: pd.DataFrame) -> pd.DataFrame:
    """Three lines for each rate, its low, value and high, for seaborn to draw as a median and its full range."""
    ends = rates.assign(low=rates[["low", "value"]].min(axis=1), high=rates[["high", "value"]].max(axis=1))  # rounding may cross them
    return ends.melt([name for name in rates if name not in ("low", "value", "high")], ["low", "value", "high"], value_name="rate")
