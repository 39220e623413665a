"""Figures of UniMat's samples: how noise becomes a crystal, and which properties come out (paper A)."""

import numpy as np
import pandas as pd
import seaborn as sns
from ase.data import chemical_symbols
from matplotlib.figure import Figure

from crystalgen.crystals.columns import axis_label
from crystalgen.generative.data.format import NULL, NULL_THRESHOLD
from crystalgen.metrics.distributions import densities, numbers_of_elements
from crystalgen.report.style import GREY, counted, legend_above, new_figure, palette


def denoising(states: np.ndarray, elements: np.ndarray, steps: list[int]) -> Figure:
    """Draw a crystal's table on its way from noise to data, one panel a moment (A Fig. 2).

    Args:
        states: coordinates (frames, 3, L, H, W) of one sample.
        elements: atomic numbers (H, W).
        steps: how many denoising steps each frame has behind it.
    """
    mean = states.mean(axis=1)  # (frames, L, H, W); NULL where there is no atom
    columns = min(len(states), 3)
    rows, (height, width) = -(-len(states) // columns), elements.shape
    panel = min(3.6 * height / width, 2.4)  # inches; a wide table is a low panel
    figure, axes = new_figure(rows, columns, size=(3.6 * columns + 1.2, (panel + 0.45) * rows))
    symbols = np.array(chemical_symbols, dtype=object)[elements]
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, frame, step in zip(axes.flat, mean, steps, strict=False):
        shown = frame.max(axis=0)  # the layer that is nearest to an atom
        named = np.where((shown >= NULL_THRESHOLD) | (step != steps[-1]), symbols, "")
        sns.heatmap(shown, mask=elements == 0, cmap="viridis", vmin=NULL, vmax=1, square=True, cbar=False, annot=named, fmt="",
                    annot_kws={"fontsize": 5.5 if width > 8 else 9}, ax=ax)  # fmt: skip
        ax.set_title(f"after {step} steps: {int((frame[:, elements > 0] >= NULL_THRESHOLD).sum())} atoms", fontsize=9)
    figure.colorbar(ax.collections[0], ax=axes, label="mean coordinate of the layer\nnearest to an atom; −1 is none", shrink=0.8)
    return figure


def unimat_slots(states: np.ndarray, elements: np.ndarray, titles: list[str]) -> Figure:
    """Draw UniMat's tables with every slot, a panel each: an element's square has a strip for each of its layers, the first on top.

    Args:
        states: coordinates (k, 3, L, H, W); a strip's colour is their mean.
        elements: atomic numbers (H, W).
        titles: of the panels.
    """
    mean, layers = states.mean(axis=1), states.shape[2]  # (k, L, H, W)
    strips = np.moveaxis(mean, 1, 2).reshape(len(mean), -1, mean.shape[3])
    figure, axes = new_figure(1, len(strips), size=(2.2 * len(strips) + 0.8, 2.3))
    for ax, shown, title in zip(axes[0], strips, titles, strict=True):
        sns.heatmap(shown, mask=np.repeat(elements == 0, layers, axis=0), cmap="viridis", vmin=NULL, vmax=1, cbar=False,
                    linewidths=0.5, xticklabels=False, yticklabels=False, ax=ax)  # fmt: skip
        for row, column in np.argwhere(elements):
            ax.text(column + 0.5, (row + 0.5) * layers, chemical_symbols[elements[row, column]], ha="center", va="center", fontsize=9,
                    bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "none"})  # fmt: skip
        ax.set_title(title, fontsize=9)
    figure.colorbar(axes[0, -1].collections[0], ax=axes, label="mean coordinate,\n−1 without an atom")
    return figure


def property_distributions(reference: pd.DataFrame, generated: dict[str, pd.DataFrame], known: str = "test crystals") -> Figure:
    """Draw density, number of atoms and number of elements of generated crystals over those of real ones.

    Args:
        reference: crystals to compare with.
        generated: crystals by label.
        known: what to call the real ones.
    """
    tables = {known: reference} | {name: table for name, table in generated.items() if len(table)}
    parts = [
        pd.DataFrame({"density": densities(table), "nsites": table["nsites"], "elements": numbers_of_elements(table), "crystals": name})
        for name, table in tables.items()
    ]
    data = pd.concat(parts, ignore_index=True).assign(crystals=lambda table: counted(table["crystals"]))
    colors = dict(zip(palette(data["crystals"]), [GREY, *palette([*tables][1:]).values()], strict=True))
    figure, axes = new_figure(1, 3, size=(11, 3.4))
    for ax, name in zip(axes[0], ("density", "nsites", "elements"), strict=True):
        style = {"stat": "proportion", "common_norm": False, "element": "step", "fill": False, "legend": ax is axes[0, 0]}
        bins = {"bins": 40} if name == "density" else {"discrete": True}
        sns.histplot(data, x=name, hue="crystals", palette=colors, ax=ax, **style, **bins)
        ax.set(xlabel=axis_label(name), ylabel="share of crystals")
    legend_above(figure, axes[0, 0])
    return figure
