"""Distribution of fractional coordinates, training data beside generated crystals (B Fig. 3)."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from crystalgen.report.style import new_figure, palette

BINS = 48  # centred on multiples of 1/48, so that 0, 1/4, 1/3, 1/2 ... lie in the middle of one and not between two
_TRAINING = "#BBBBBB"
_EDGES = (np.arange(BINS + 1) - 0.5) / BINS


def coordinate_distribution(training: pd.DataFrame, generated: dict[str, pd.DataFrame]) -> Figure:
    """Draw densities of x, y and z, wrapped into the cell; a line of panels per model, the training data filled behind each.

    Args:
        training: crystals table.
        generated: crystals tables by label.
    """
    figure, axes = new_figure(len(generated), 3, size=(9.5, 0.9 + 1.9 * len(generated)), sharex=True, sharey=True)
    behind, colors = wrapped_coordinates(training), palette(generated)
    for line, (label, table) in zip(axes, generated.items(), strict=True):
        coords = wrapped_coordinates(table)
        for k, (ax, axis) in enumerate(zip(line, "xyz", strict=True)):
            style = {"bins": _EDGES, "stat": "density", "element": "step", "ax": ax}
            sns.histplot(x=behind[:, k], color=_TRAINING, alpha=1, linewidth=0, label=f"training data (n = {len(behind)} atoms)", **style)
            sns.histplot(x=coords[:, k], color=colors[label], fill=False, label="generated (the panel's colour)", **style)
            ax.set(xlabel=f"fractional coordinate {axis}", xlim=(_EDGES[0], _EDGES[-1]), xticks=np.arange(4) / 4, ylabel="density")
        line[1].set_title(f"{label} (n = {len(coords)} atoms)", fontsize=10)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def wrapped_coordinates(table: pd.DataFrame) -> np.ndarray:
    """Return the fractional coordinates of all atoms, (n, 3), from just below 0 to just below 1: both sides of a face are one."""
    coords = np.vstack([np.reshape(x, (-1, 3)) for x in table["frac_coords"]])
    return (coords - _EDGES[0]) % 1.0 + _EDGES[0]
