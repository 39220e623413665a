"""The figure of a search: how far above the hull each model's candidates lie."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crystalgen.report.style import GREY, MARKERS, model_colors, model_label, model_order, new_figure, say_empty

_GOLDEN = 0.618034  # steps of it fill a strip evenly, without a random number
_LINEAR = 25.0  # meV/atom around the hull drawn linearly, logarithmic beyond
_LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}


def candidate_strips(candidates: pd.DataFrame, rows: Sequence[str] = ()) -> tuple[Figure, pd.DataFrame]:
    """Energies above the hull of relaxed candidates, a panel per composition and a strip per model.

    Filled marks are phases new to the library, open ones are known; a bar is the median.

    Args:
        candidates: columns composition, row, e_above_hull (eV/atom), new.
        rows: models to show even if none of their crystals came so far.

    Returns:
        the figure, and points with columns composition, model, e_above_hull, new.
    """
    points = candidates.rename(columns={"row": "model"})[["composition", "model", "e_above_hull", "new"]]
    points = points.sort_values(["composition", "e_above_hull"], kind="stable")
    points = points.sort_values("model", key=lambda column: column.map(model_order), kind="stable", ignore_index=True)
    models, compositions = sorted({*rows, *points["model"]}, key=model_order), sorted(points["composition"].unique())
    size = (2.6 + 2.4 * max(len(compositions), 1), 2.0 + 0.62 * max(len(models), 2))
    figure, axes = new_figure(1, max(len(compositions), 1), size=size, sharex=True, sharey=True)
    if points.empty:
        say_empty(axes[0, 0], "no candidate was relaxed")
        return figure, points
    for ax, composition in zip(axes[0], compositions, strict=True):
        _strips(ax, points[points["composition"] == composition], models)
        ax.set_title(composition)
    axes[0, 0].set_yticks(range(len(models)), [model_label(m).replace(", ", ",\n") for m in models])
    axes[0, 0].invert_yaxis()
    figure.supxlabel("energy above the library's hull, meV/atom (filled: new to the library)", fontsize=10)
    return figure, points


def _strips(ax: Axes, points: pd.DataFrame, models: list[str]) -> None:
    colors = model_colors(models)
    ax.axvline(0, color=GREY, linewidth=0.9, linestyle="--")
    for place, model in enumerate(models):
        own = points[points["model"] == model]
        energies, new = own["e_above_hull"].to_numpy() * 1000, own["new"].to_numpy(dtype=bool)
        heights = place + 0.5 * ((np.arange(len(own)) * _GOLDEN) % 1.0 - 0.5)
        face = [colors[model] if filled else "none" for filled in new]
        ax.scatter(energies, heights, s=16, marker=MARKERS[place % len(MARKERS)], facecolors=face, edgecolors=colors[model], linewidths=0.9)
        if len(own):
            ax.plot([np.median(energies)] * 2, [place - 0.36, place + 0.36], color="#000000", linewidth=1.4)
        ax.text(0.02, place - 0.3, f"n = {len(own)}", va="bottom", fontsize=8, transform=ax.get_yaxis_transform(), bbox=_LABEL)
    ax.set_xscale("symlog", linthresh=_LINEAR)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
