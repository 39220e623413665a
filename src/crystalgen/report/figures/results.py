"""Figures of match rates: by method, by number of sites, by number of sampling steps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from crystalgen.report.style import LINES, MARKERS, model_colors, model_label, model_order, new_figure, say_empty, wrapped_label

_PAPER = "paper (another data set)"
_DODGE = 0.12  # of the distance between two sizes


def match_rate_bars(rows: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Match rate of each row of a task with its 95 % interval, its training seeds and the paper's value where there is one.

    Args:
        rows: columns model, value, low, high, n, by_seed (a list each) and paper_value (NaN where none); rates 0 to 1.

    Returns:
        the figure, and the rows in the order shown, by_seed as text.
    """
    points = rows.sort_values("model", key=lambda column: column.map(model_order), ignore_index=True)
    figure, axes = new_figure(size=(8, 1.4 + 0.5 * max(len(points), 2)))
    ax = axes[0, 0]
    if points.empty:
        say_empty(ax, "no match rates")
        return figure, points
    colors, places, paper = model_colors(points["model"]), np.arange(len(points)), points["paper_value"].astype(float)
    ax.barh(places, points["value"], height=0.6, color=[colors[m] for m in points["model"]], alpha=0.6)
    ax.errorbar(points["value"], places, xerr=_spread(points), fmt="none", ecolor="#000000", capsize=4, label="95 % interval")
    seeds = [(place + 0.2, value) for place, row in zip(places, points["by_seed"], strict=True) if len(row) > 1 for value in row]
    if seeds:
        heights, values = zip(*seeds, strict=True)
        ax.scatter(values, heights, s=14, color="#000000", linewidth=0, alpha=0.7, zorder=3, clip_on=False, label="each training seed")
    if paper.notna().any():
        style = {"marker": "D", "s": 55, "facecolor": "white", "edgecolor": "#000000", "linewidth": 1.4, "zorder": 4}
        ax.scatter(paper, places, label=_PAPER, **style)
    for place, value, n in zip(places, points["value"], points["n"], strict=True):
        text = f"{value:.3f}  (n = {int(n)})"
        ax.text(1.02, place, text, va="center", transform=ax.get_yaxis_transform(), fontsize=9)
    ax.set_yticks(places, [wrapped_label(m) for m in points["model"]])
    ax.invert_yaxis()
    top = np.nanmax([*points["value"], *points["high"], *paper])
    ax.set_xlim(0, 1 if top > 0.5 else max(1.15 * top, 0.02))
    ax.set_xlabel("match rate")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure, points.assign(by_seed=[" ".join(f"{value:g}" for value in row) for row in points["by_seed"]])


def rate_by_group(rows: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Match rate against the number of sites with 95 % intervals: a panel per model, the baselines again in each.

    Args:
        rows: columns model, baseline (bool), nsites, value, low, high, n; rates 0 to 1.

    Returns:
        the figure, and the rows in the order shown.
    """
    points = rows.sort_values("nsites", kind="stable", ignore_index=True)
    points = points.sort_values("model", key=lambda c: c.map(model_order), kind="stable", ignore_index=True)
    sizes, colors = np.sort(points["nsites"].unique()), model_colors(points["model"])
    models, baselines = (list(dict.fromkeys(points.loc[points["baseline"] == kind, "model"])) for kind in (False, True))
    columns = 2 if len(models) > 1 else 1
    lines = -(-max(len(models), 1) // columns)
    width = float(np.clip(1.5 + 0.6 * len(sizes), 4.2, 6.5))
    figure, axes = new_figure(lines, columns, size=(width * columns, 0.6 + 2.8 * lines), sharey=True)
    for ax in axes.flat[len(models) :]:
        ax.set_axis_off()
    for ax, model in zip(axes.flat, models, strict=False):  # a last line may be part empty
        for i, name in enumerate([*baselines, model]):
            part = points[points["model"] == name]
            place = np.searchsorted(sizes, part["nsites"]) + _DODGE * (i - len(baselines) / 2)  # beside each other: intervals stay legible
            style = {"marker": MARKERS[i % len(MARKERS)], "linestyle": LINES[(i + 1) % len(LINES)], "lw": 1.0, "markersize": 4}
            if name == model:
                style = {"marker": "o", "linestyle": "-", "lw": 1.8, "markersize": 5}
            label = model_label(name) if name in baselines else None
            ax.errorbar(place, part["value"], yerr=_spread(part), color=colors[name], capsize=2, label=label, **style)
        ax.set_title(model_label(model), fontsize=10)
        _size_axis(ax, points, sizes)
    for ax in axes[:, 0]:
        ax.set_ylabel("match rate")
    axes[0, 0].set_ylim(*_limits(points))  # of all panels
    if models and baselines:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(baselines))
    return figure, points


def rate_by_steps(rows: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Match rate against the number of sampling steps, a line per way to sample, with 95 % intervals.

    Args:
        rows: columns row, sampler, steps, value, low, high, n (see `experiments.sampler_steps`); rates 0 to 1.

    Returns:
        the figure, and the rows in the order shown.
    """
    points = rows.sort_values("steps", kind="stable", ignore_index=True)
    points = points.sort_values("row", key=lambda c: c.map(model_order), kind="stable", ignore_index=True)
    figure, axes = new_figure(size=(8, 4.4))
    ax = axes[0, 0]
    if points.empty:
        say_empty(ax, "this study has no generation model")
        return figure, points
    colors, steps = model_colors(points["row"]), np.sort(points["steps"].unique())
    for i, row in enumerate(colors):
        part = points[points["row"] == row]
        place = part["steps"] * 1.04 ** (i - (len(colors) - 1) / 2)  # beside each other: intervals stay legible
        style = {"marker": MARKERS[i % len(MARKERS)], "linestyle": LINES[i % len(LINES)], "capsize": 3, "markersize": 5, "lw": 1.4}
        ax.errorbar(place, part["value"], yerr=_spread(part), color=colors[row], label=model_label(row), **style)
    ax.set_xscale("log")
    ax.set_xticks(steps, [f"{step}" for step in steps])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(*_limits(points))
    ax.set(xlabel="sampling steps", ylabel=f"match rate, n = {int(points['n'].max())} validation crystals")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure, points


def _size_axis(ax: Axes, points: pd.DataFrame, sizes: np.ndarray) -> None:
    counts = points.groupby("nsites")["n"].agg(["min", "max"]).loc[sizes].astype(int)
    totals = [f"{low}" if low == high else f"{low} to {high}" for low, high in counts.to_numpy()]
    ax.set_xticks(np.arange(len(sizes)), [f"{size}\nn = {total}" for size, total in zip(sizes, totals, strict=True)])
    ax.set_xlabel("sites in the cell")


def _limits(points: pd.DataFrame) -> tuple[float, float]:
    """Of a rate's axis; a marker at 0 is not cut."""
    top = 1.05 * max(points["high"].max(), 0.02)
    return -0.02 * top, top


def _spread(points: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars below and above each value, (2, n); rounding must not make one negative."""
    low, high = points["value"] - points["low"], points["high"] - points["value"]
    return np.clip(np.array([low, high], dtype=float), 0, None)
