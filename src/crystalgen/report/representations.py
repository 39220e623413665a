"""One crystal as the two representations write it."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pymatgen.core import Element

from crystalgen.generative.data.format import NULL
from crystalgen.report import pictures, style
from crystalgen.represent import matrix, unimat


def draw(crystal: pd.DataFrame, table: unimat.Table, rows: int) -> tuple[Figure, pd.DataFrame]:
    """The crystal, its matrix and the first layer of its UniMat table (x component).

    Args:
        crystal: a crystals table of one row.
        table: the block of the periodic table in use.
        rows: rows of the matrix.

    Returns the figure and its points: representation, row, column, value.
    """
    figure, axes = style.new_figure(1, 3, size=(11, 4.2), width_ratios=(1.2, 0.8, 1.4))
    picture, left, right = np.ravel(axes)
    row = crystal.iloc[0]
    pictures.draw_crystal(picture, row["lattice"], row["atomic_numbers"], row["frac_coords"], row["formula"])
    encoded = matrix.encode(crystal, rows)
    values = encoded.x[0]
    left.imshow(values, aspect="auto", cmap="viridis")
    labels = [Element.from_Z(int(z)).symbol if z else "" for z in encoded.atomic_numbers[0]]
    labels[-4:] = ["pad", "a", "b", "c"]
    left.set(title=f"matrix, {rows} × 3", xlabel="x, y, z (fractional; Å below)")
    left.set_xticks(range(3), ["x", "y", "z"])
    left.set_yticks(range(rows), labels)
    for (i, j), value in np.ndenumerate(values):
        left.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color="white" if value < values.max() / 2 else "black")
    layer = unimat.dense(unimat.encode(crystal, table), table)[0, 0, 0]
    shown = np.where(table.elements > 0, layer, np.nan)
    right.imshow(shown, cmap="viridis", vmin=-1, vmax=1)
    for (i, j), z in np.ndenumerate(table.elements):
        if z:
            value = "null" if layer[i, j] == NULL else f"x = {layer[i, j]:.2f}"
            right.text(j, i, f"{Element.from_Z(int(z)).symbol}\n{value}", ha="center", va="center", fontsize=8,
                       color="white" if layer[i, j] < 0.2 else "black")  # fmt: skip
    right.set(title=f"UniMat, (L, H, W) = {table.shape}", xlabel="group in use", ylabel="period in use", xticks=[], yticks=[])
    points = pd.concat([_points("matrix", values), _points("unimat, layer 0, x", layer)], ignore_index=True)
    return figure, points


def _points(name: str, values: np.ndarray) -> pd.DataFrame:
    i, j = np.indices(values.shape)
    return pd.DataFrame({"representation": name, "row": i.ravel(), "column": j.ravel(), "value": values.ravel()})
