"""Figures of a generator's crystals beside a reference."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crystalgen.chemistry.spacegroups import space_group_symbol
from crystalgen.report.style import GREY, PALETTE, new_figure

_MOST = 20


def space_group_bars(shares: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Shares of space groups side by side.

    Args:
        shares: space_group, generated, reference (see `metrics.symmetry.histogram`).

    Returns:
        the figure, and the points drawn: those that are commonest on either side.
    """
    largest = shares[["generated", "reference"]].max(axis=1)
    points = shares.loc[largest.sort_values(ascending=False, kind="stable").index[:_MOST]].sort_values("space_group", ignore_index=True)
    figure, axes = new_figure(size=(9, 3.6))
    ax, places = axes[0, 0], np.arange(len(points))
    ax.bar(places - 0.2, points["reference"], 0.4, color=GREY, label="reference")
    ax.bar(places + 0.2, points["generated"], 0.4, color=PALETTE[0], label="generated")
    symbols = [f"{space_group_symbol(number)} ({number})" for number in points["space_group"]]
    ax.set_xticks(places, symbols, rotation=45, ha="right")
    ax.set_ylabel("share of crystals")
    ax.legend()
    return figure, points
