"""Distribution of fractional coordinates, training data beside generated crystals (B Fig. 3)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from crystalgen.report.style import model_colors, model_label, new_figure

BINS = 48  # centred on multiples of 1/48, so that 0, 1/4, 1/3, 1/2 ... lie in the middle of one and not between two
_GIVEN = "#BBBBBB"


def coordinate_distribution(given: pd.DataFrame, generated: dict[str, pd.DataFrame]) -> tuple[Figure, pd.DataFrame]:
    """Densities of x, y and z, wrapped into the cell; a row of panels per model, the given crystals filled behind each.

    Args:
        given: crystals table, the training data.
        generated: crystals tables by row of the tables.

    Returns:
        the figure, and points with columns crystals (`training data` or the row), axis, center, count, density.
    """
    figure, axes = new_figure(len(generated), 3, size=(9.5, 0.9 + 1.9 * len(generated)), sharex=True, sharey=True)
    behind, colors = _points("training data", given), model_colors(generated)
    parts = [behind]
    for line, (name, table) in zip(axes, generated.items(), strict=True):
        points = _points(name, table)
        parts.append(points)
        for ax, axis in zip(line, "xyz", strict=True):
            for part, style in (
                (behind, {"fill": True, "color": _GIVEN}),
                (points, {"color": colors[name], "linewidth": 1.5, "baseline": None}),
            ):
                part = part[part["axis"] == axis]
                ax.stairs(part["density"], [*(part["center"] - 0.5 / BINS), 1 - 0.5 / BINS], **style)
        line[0].set_ylabel("density")
        line[1].set_title(f"{model_label(name)} (n = {_atoms(points)} atoms)", fontsize=10)
    for ax, axis in zip(axes[-1], "xyz", strict=True):
        ax.set(xlabel=f"fractional coordinate {axis}", xlim=(-0.5 / BINS, 1 - 0.5 / BINS), xticks=np.arange(4) / 4)
    handles = [
        Patch(color=_GIVEN, label=f"training data (n = {_atoms(behind)} atoms)"),
        Line2D([], [], color="#000000", label="generated (the panel's colour)"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure, pd.concat(parts, ignore_index=True)


def _points(name: str, table: pd.DataFrame) -> pd.DataFrame:
    coords = np.vstack([np.reshape(x, (-1, 3)) for x in table["frac_coords"]])
    bins = np.rint(coords * BINS).astype(int) % BINS
    parts = []
    for k, axis in enumerate("xyz"):
        count = np.bincount(bins[:, k], minlength=BINS)
        density = count / count.sum() * BINS
        parts.append(pd.DataFrame({"crystals": name, "axis": axis, "center": np.arange(BINS) / BINS, "count": count, "density": density}))
    return pd.concat(parts, ignore_index=True)


def _atoms(points: pd.DataFrame) -> int:
    return points.loc[points["axis"] == "x", "count"].sum()
