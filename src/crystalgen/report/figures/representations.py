"""Crystals as the two representations write them."""

import numpy as np
import pandas as pd
import seaborn as sns
from ase.data import chemical_symbols
from matplotlib.figure import Figure

from crystalgen.generative.data.format import EXTRA_ROWS, LATTICE_ROWS, NULL
from crystalgen.report.structures import draw_crystal
from crystalgen.report.style import new_figure
from crystalgen.represent import matrix, unimat


def representations(crystal: pd.DataFrame, table: unimat.Table, rows: int) -> Figure:
    """Draw a crystal, its matrix, and the first layer of its UniMat table (x component).

    Args:
        crystal: a crystals table of one row.
        table: the block of the periodic table in use.
        rows: of the matrix.
    """
    figure, axes = new_figure(1, 3, size=(11, 4.2), width_ratios=(1.2, 0.8, 1.4))
    picture, left, right = axes[0]
    row, encoded = crystal.iloc[0], matrix.encode(crystal, rows)
    draw_crystal(picture, row["lattice"], row["atomic_numbers"], row["frac_coords"], row["formula"])
    names = _row_names(encoded.atomic_numbers[0])
    style = {"cmap": "viridis", "cbar": False, "annot_kws": {"fontsize": 7}}
    sns.heatmap(encoded.x[0], annot=True, fmt=".2f", xticklabels=list("xyz"), yticklabels=names, ax=left, **style)
    left.tick_params(axis="y", rotation=0)
    left.set(title=f"matrix, {rows} × 3", xlabel="x, y, z (fractional; Å below)")
    layer = unimat.dense(unimat.encode(crystal, table), table)[0, 0, 0]
    texts = np.where(layer == NULL, "null", np.char.mod("x = %.2f", layer)).astype(object)
    symbols = np.array(chemical_symbols, dtype=object)[table.elements] + "\n" + texts
    sns.heatmap(layer, mask=table.elements == 0, vmin=NULL, vmax=1, annot=symbols, fmt="",
                xticklabels=False, yticklabels=False, square=True, ax=right, **style)  # fmt: skip
    right.set(title=f"UniMat, (L, H, W) = {table.shape}", xlabel="group in use", ylabel="period in use")
    return figure


def matrices(x: np.ndarray, crystals: pd.DataFrame, titles: list[str]) -> Figure:
    """Draw matrices side by side, and below each the crystal that it decodes to.

    Args:
        x: as a network sees them, coordinates and lattice scaled to about 0 to 1, (k, rows, 3); padding is left out.
        crystals: k rows of the crystals table, of one composition in one order.
        titles: above each.
    """
    rows, numbers = x.shape[1], np.zeros(x.shape[1], dtype=int)
    numbers[: crystals["nsites"].iloc[0]] = crystals["atomic_numbers"].iloc[0]
    shown, names = np.flatnonzero(numbers), _row_names(numbers)
    shown = [*shown, *range(rows - LATTICE_ROWS, rows)]
    figure, axes = new_figure(2, len(x), size=(2.1 * len(x) + 0.6, 0.32 * len(shown) + 2.8), height_ratios=(0.32 * len(shown), 2.2))
    for (above, below), values, (_, row), title in zip(axes.T, x, crystals.iterrows(), titles, strict=True):
        sns.heatmap(values[shown], vmin=0, vmax=1, cmap="viridis", cbar=False, annot=True, fmt=".2f", annot_kws={"fontsize": 8},
                    xticklabels=list("xyz"), yticklabels=[names[i] for i in shown], ax=above)  # fmt: skip
        above.tick_params(axis="y", rotation=0)
        above.set_title(title, fontsize=9)
        draw_crystal(below, row["lattice"], row["atomic_numbers"], row["frac_coords"])
    return figure


def _row_names(atomic_numbers: np.ndarray) -> list[str]:
    """Name the rows of a matrix."""
    return [*(chemical_symbols[z] if z else "" for z in atomic_numbers[:-EXTRA_ROWS]), "pad", "a", "b", "c"]
