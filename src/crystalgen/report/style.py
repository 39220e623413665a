"""One look for every figure: palette, sizes, and a saver whose files are reproducible."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette without its yellow, which is faint on white, then the strong ones of Tol's muted palette
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PALETTE += ("#882255", "#332288", "#999933", "#44AA99", "#AA4499", "#000000")
GREY = "#767676"
PNG_DPI = 150
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

RC_PARAMS = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that every machine draws the same letters
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "lines.linewidth": 1.6,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "savefig.bbox": None,
    "pdf.fonttype": 42,
    "svg.hashsalt": "crystalgen",
}


def use_style() -> None:
    """Set matplotlib's rcParams to the project's (`new_figure` and `save_figure` do it themselves)."""
    mpl.rcParams.update(RC_PARAMS)


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7, 4), **kwargs) -> tuple[Figure, np.ndarray]:
    """Return a figure of `size` inches in the project's style and its axes, always an array (rows, columns)."""
    use_style()
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **kwargs)
    plt.close(figure)  # pyplot forgets it: a notebook shows it where a cell names it, and not once more because it is open
    return figure, axes


def palette(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name that occurs, by its order; a categorical keeps the colours of its categories while they suffice."""
    categorical, present = isinstance(getattr(names, "dtype", None), pd.CategoricalDtype), set(names)
    order = list(dict.fromkeys(names.dtype.categories if categorical else names))
    if len(order) > len(PALETTE):
        order = [name for name in order if name in present]
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(order) if name in present}


def counted(names: pd.Series) -> pd.Series:
    """Return the names with the number of their rows, `train (n = 80)`, as a categorical in the order of `palette`."""
    counts = names.value_counts()
    labels = {name: f"{name} (n = {counts[name]})" for name in palette(names)}
    return names.astype(object).map(labels).astype(pd.CategoricalDtype(list(labels.values())))


def legend_above(figure: Figure, ax: Axes, columns: int = 3) -> None:
    """Move a panel's legend above the figure."""
    handles, labels = ax.get_legend_handles_labels()
    if (own := ax.get_legend()) is not None:
        if not handles:  # of a histogram, which seaborn labels in its legend alone
            handles, labels = own.legend_handles, [text.get_text() for text in own.get_texts()]
        own.remove()
    found = dict(zip(labels, handles, strict=True))  # each label once
    if found:
        figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=columns)


def say_empty(ax: Axes, text: str) -> Figure:
    """Write in an empty panel why it is empty, so that a study without that data still has its figure; return the figure."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=GREY)
    return ax.figure


def save_figure(figure: Figure, folder: Path, name: str, pdf: bool = False) -> Path:
    """Write `name`.png and, on request, `name`.pdf; return the PNG's path.

    The same figure gives the same bytes on the same machine: no dates, no software versions.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    use_style()
    figure.savefig(folder / f"{name}.png", dpi=PNG_DPI, metadata={"Software": None})
    if pdf:
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    return folder / f"{name}.png"
