"""One crystal as the two representations write it."""

import numpy as np
import pandas as pd
import seaborn as sns
from ase.data import chemical_symbols
from matplotlib.figure import Figure

from crystalgen.generative.data.format import NULL
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
    names = [chemical_symbols[z] if z else "" for z in encoded.atomic_numbers[0]]
    names[-4:] = ["pad", "a", "b", "c"]
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
