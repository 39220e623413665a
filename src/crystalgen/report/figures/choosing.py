"""What becomes of targets when one of several candidates must be chosen."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from crystalgen.report.style import GREY, PALETTE, legend_above, new_figure

_COLOURS = (PALETTE[2], PALETTE[4], PALETTE[3], GREY)


def outcomes_by_energy(losses: pd.DataFrame) -> Figure:
    """Draw what became of targets as stacked bars, one for each range of energy above the hull.

    Args:
        losses: of `experiments.correcting.losses`, shares in percent.
    """
    figure, axes = new_figure(size=(7, 3.2))
    ax, start = axes[0, 0], pd.Series(0.0, index=losses.index)
    names = losses.index + " (n = " + losses["targets"].astype(str) + ")"
    for kind, colour in zip(losses.columns.drop("targets"), _COLOURS, strict=True):
        ax.barh(names, losses[kind], left=start, color=colour, label=kind, height=0.7)
        start = start + losses[kind]
    ax.invert_yaxis()
    ax.set(xlim=(0, 100), xlabel="Share of targets", ylabel="Energy above the hull")
    ax.xaxis.set_major_formatter(PercentFormatter())
    legend_above(figure, ax, columns=4)
    return figure
