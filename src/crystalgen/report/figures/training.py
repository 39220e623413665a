"""Training curves: loss against step, one panel per model."""

from textwrap import fill

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from crystalgen.report.style import GREY, PALETTE, legend_above, new_figure


def training_curves(curves: dict[str, pd.DataFrame], baselines: dict[str, float] | None = None) -> Figure:
    """Draw training and validation loss: a line for the mean over training seeds, a band from the lowest to the highest seed.

    Args:
        curves: by the model's label, a table with columns seed, step, loss and val_loss (NaN where not measured).
        baselines: by the same labels, validation losses of no model, drawn as dotted lines.
    """
    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure, axes = new_figure(rows, columns, size=(max(3.3 * columns, 5.5), 0.6 + 2.6 * rows))
    for ax in axes.flat[len(curves) :]:
        ax.set_axis_off()
    for ax, (label, curve) in zip(axes.flat, curves.items(), strict=False):  # a last row may be part empty
        named = curve.rename(columns={"loss": "training", "val_loss": "validation"})
        long = named.melt(["seed", "step"], ["training", "validation"], "loss", "value").dropna()
        style = {"palette": PALETTE[:2], "style": "loss", "errorbar": ("pi", 100), "legend": ax is axes[0, 0]}
        sns.lineplot(long, x="step", y="value", hue="loss", hue_order=("training", "validation"), ax=ax, **style)
        if baselines and label in baselines:
            ax.axhline(baselines[label], color=GREY, linestyle=":")
        ax.set(yscale="log", ylabel="loss")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a loss seldom spans a decade
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_title(fill(label, 32), fontsize=9)
        count = curve["seed"].nunique()
        ax.text(0.98, 0.96, f"{count} seeds" if count > 1 else "1 seed", transform=ax.transAxes, ha="right", va="top", fontsize=8)
    legend_above(figure, axes[0, 0])
    return figure
