"""Figures of results: training curves and match rates."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from crystalgen.present.style import LINES, MARKERS, PALETTE, model_colors, model_label, model_order, new_figure

_PAPER = "paper (another data set)"


def training_curves(curves: dict[str, pd.DataFrame]) -> tuple[Figure, pd.DataFrame]:
    """Training and validation loss against the step, one panel per model.

    Args:
        curves: by model id, a table with columns step, loss and val_loss (NaN where not measured).

    Returns:
        the figure, and points with columns model, step, loss, val_loss.
    """
    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure, axes = new_figure(rows, columns, size=(max(3.9 * columns, 5.5), 3.1 * rows))
    for ax in axes.flat[len(curves) :]:
        ax.set_axis_off()
    for ax, (model, curve) in zip(axes.flat, curves.items(), strict=False):  # a last row may be part empty
        smooth = curve["loss"].rolling(max(len(curve) // 50, 1), center=True, min_periods=1).mean()
        ax.plot(curve["step"], curve["loss"], color=PALETTE[0], alpha=0.3, linewidth=0.8)
        ax.plot(curve["step"], smooth, color=PALETTE[0], label="training")
        measured = curve[curve["val_loss"].notna()]
        if len(measured):
            every = max(len(measured) // 10, 1)
            style = {"color": PALETTE[1], "linestyle": "--", "marker": "o", "markersize": 4, "markevery": every}
            ax.plot(measured["step"], measured["val_loss"], label="validation", **style)
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a loss seldom spans a decade
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set(xlabel="step", ylabel="loss")
        ax.set_title(_wrapped(model), fontsize=10)
        ax.legend()
    points = [curve[["step", "loss", "val_loss"]].assign(model=model) for model, curve in curves.items()]
    return figure, pd.concat(points, ignore_index=True)[["model", "step", "loss", "val_loss"]]


def match_rate_bars(rows: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Match rate of each model with its 95 % interval, and the paper's value where there is one.

    Args:
        rows: columns model, value, low, high, n and, if wanted, paper_value (NaN where none); rates 0 to 1.

    Returns:
        the figure, and the rows in the order shown.
    """
    points = rows.sort_values("model", key=lambda column: column.map(model_order), ignore_index=True)
    colors = model_colors(points["model"])
    paper = points["paper_value"].astype(float) if "paper_value" in points else pd.Series(np.nan, points.index)
    figure, axes = new_figure(size=(8, 1.4 + 0.5 * len(points)))
    ax = axes[0, 0]
    places = np.arange(len(points))
    ax.barh(places, points["value"], height=0.6, color=[colors[m] for m in points["model"]], alpha=0.6)
    ax.errorbar(points["value"], places, xerr=_spread(points), fmt="none", ecolor="#000000", capsize=4, label="95 % interval")
    if paper.notna().any():
        style = {"marker": "D", "s": 55, "facecolor": "white", "edgecolor": "#000000", "linewidth": 1.4, "zorder": 4}
        ax.scatter(paper, places, label=_PAPER, **style)
    for place, value, n in zip(places, points["value"], points["n"], strict=True):
        text = f"{value:.3f}  (n = {int(n)})"
        ax.text(1.02, place, text, va="center", transform=ax.get_yaxis_transform(), fontsize=9)
    ax.set_yticks(places, [_wrapped(m) for m in points["model"]])
    ax.invert_yaxis()
    top = np.nanmax([*points["value"], *points["high"], *paper])
    ax.set_xlim(0, 1 if top > 0.5 else max(1.15 * top, 0.02))
    ax.set_xlabel("match rate")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure, points


def rate_by_group(rows: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Match rate against the number of sites, one line per model, with 95 % intervals.

    Args:
        rows: columns model, nsites, value, low, high, n; rates 0 to 1.

    Returns:
        the figure, and the rows in the order shown.
    """
    points = rows.sort_values("nsites", kind="stable", ignore_index=True)
    points = points.sort_values("model", key=lambda c: c.map(model_order), kind="stable", ignore_index=True)
    colors = model_colors(points["model"])
    sizes = np.sort(points["nsites"].unique())
    figure, axes = new_figure(size=(float(np.clip(2.5 + 0.75 * len(sizes), 6.5, 13)), 4.4))
    ax = axes[0, 0]
    offsets = np.linspace(-0.1, 0.1, len(colors)) if len(colors) > 1 else [0.0]
    for i, (model, offset) in enumerate(zip(colors, offsets, strict=True)):
        part = points[points["model"] == model]
        place = np.searchsorted(sizes, part["nsites"]) + offset  # beside each other: intervals stay legible
        style = {"marker": MARKERS[i % len(MARKERS)], "linestyle": LINES[i % len(LINES)], "capsize": 3, "markersize": 5}
        ax.errorbar(place, part["value"], yerr=_spread(part), color=colors[model], label=model_label(model), lw=1.3, **style)
    counts = points.groupby("nsites")["n"].agg(["min", "max"]).loc[sizes].astype(int)
    totals = [f"{low}" if low == high else f"{low} to {high}" for low, high in counts.to_numpy()]
    ax.set_xticks(np.arange(len(sizes)), [f"{size}\nn = {total}" for size, total in zip(sizes, totals, strict=True)])
    ax.set_ylim(0, None)
    ax.set(xlabel="sites in the cell", ylabel="match rate")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure, points


def _spread(points: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars below and above each value, (2, n); rounding must not make one negative."""
    low, high = points["value"] - points["low"], points["high"] - points["value"]
    return np.clip(np.array([low, high], dtype=float), 0, None)


def _wrapped(model: str) -> str:
    """The label, broken after its comma."""
    return model_label(model).replace(", ", ",\n")
