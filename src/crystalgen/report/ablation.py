"""How an ablation is shown: one table and one figure for any of them."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crystalgen.report.style import PALETTE, new_figure
from crystalgen.report.tables import format_interval


def ablation_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `experiments.ablation.run_ablation` for readers, strings."""
    return pd.DataFrame(
        {
            "Variant": rows["model"],
            "Match rate [95 %]": [format_interval(r.match_rate, r.low, r.high) for r in rows.itertuples()],
            "By seed": [", ".join(f"{value:.3f}" for value in seeds) for seeds in rows["by_seed"]],
            "n": rows["n"].astype(str),
            "Parameters (M)": [f"{value / 1e6:.2f}" for value in rows["parameters"]],
            "MFLOP a sample": [f"{value / 1e6:.1f}" for value in rows["flops"]],
            "Training TFLOP": [f"{value / 1e12:.1f}" for value in rows["training_flops"]],
            "Steps": rows["steps"].astype(str),
            "Seconds": [f"{value:.0f}" for value in rows["seconds"]],
        }
    )


def ablation_bars(rows: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Match rate of each variant with its 95 % interval, and a dot for each seed; returns the figure and the rows."""
    figure, axes = new_figure(size=(8, 1.4 + 0.55 * len(rows)))
    ax, places = axes[0, 0], np.arange(len(rows))
    ax.barh(places, rows["match_rate"], height=0.6, color=PALETTE[0], alpha=0.6)
    spread = np.clip([rows["match_rate"] - rows["low"], rows["high"] - rows["match_rate"]], 0, None)
    ax.errorbar(rows["match_rate"], places, xerr=spread, fmt="none", ecolor="#000000", capsize=4, label="95 % interval")
    seeds = [(value, place) for place, values in zip(places, rows["by_seed"], strict=True) for value in values]
    ax.scatter(*zip(*seeds, strict=True), facecolor="white", edgecolor="#000000", s=28, zorder=4, label="one seed")
    ax.set_yticks(places, rows["model"])
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.15 * rows["high"].max(), 0.02))
    ax.set_xlabel(f"match rate (validation, n = {rows['n'].iloc[0]})")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure, rows.assign(by_seed=rows["by_seed"].astype(str))
