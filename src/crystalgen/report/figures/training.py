"""Training curves: loss against step, one panel per model."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from crystalgen.report.style import PALETTE, new_figure, wrapped_label

_KINDS = {"loss": ("training", PALETTE[0], "-"), "val_loss": ("validation", PALETTE[1], "--")}


def training_curves(curves: dict[str, pd.DataFrame]) -> tuple[Figure, pd.DataFrame]:
    """Training and validation loss: a thin line per training seed, a bold one for their mean.

    Args:
        curves: by model id, a table with columns seed, step, loss and val_loss (NaN where not measured).

    Returns:
        the figure, and points with columns model, seed, step, loss, val_loss.
    """
    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure, axes = new_figure(rows, columns, size=(max(3.3 * columns, 5.5), 0.6 + 2.6 * rows))
    for ax in axes.flat[len(curves) :]:
        ax.set_axis_off()
    for ax, (model, curve) in zip(axes.flat, curves.items(), strict=False):  # a last row may be part empty
        for column, (_, color, line) in _KINDS.items():
            _draw(ax, curve, column, {"color": color, "linestyle": line})
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a loss seldom spans a decade
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_title(wrapped_label(model), fontsize=9)
        ax.text(0.98, 0.96, _seeds(curve), transform=ax.transAxes, ha="right", va="top", fontsize=8)
        ax.set(xlabel="step", ylabel="loss")
    handles = [Line2D([], [], color=color, linestyle=line, label=label) for label, color, line in _KINDS.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    points = [curve[["seed", "step", "loss", "val_loss"]].assign(model=model) for model, curve in curves.items()]
    return figure, pd.concat(points, ignore_index=True)[["model", "seed", "step", "loss", "val_loss"]]


def _draw(ax: Axes, curve: pd.DataFrame, column: str, style: dict) -> None:
    measured = curve[curve[column].notna()]
    if len(measured["seed"].unique()) > 1:
        for _, one in measured.groupby("seed"):
            ax.plot(one["step"], one[column], alpha=0.4, linewidth=0.7, **style)
    mean = measured.groupby("step")[column].mean()
    ax.plot(mean.index, mean, linewidth=1.6, **style)


def _seeds(curve: pd.DataFrame) -> str:
    count = curve["seed"].nunique()
    return f"{count} seeds" if count > 1 else "1 seed"
