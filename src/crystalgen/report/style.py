"""One look for every figure: palette, names of the models, and a saver whose files are reproducible."""

import json
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette; yellow last, because it is faint on white
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
GREY = "#767676"
PNG_DPI = 150
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")

# row of the tables (or model) -> (label, colour), in the order in which they are shown; baselines follow the models.
# Two colours are of Tol's muted palette: Okabe and Ito's has too few that stand out on white.
MODELS = {
    "matrix_generation_flow_uniform": ("Matrix U-Net, flow matching from U(0,1)", "#0072B2"),
    "matrix_generation_flow_normal": ("Matrix U-Net, flow matching from normal noise", "#56B4E9"),
    "matrix_generation_diffusion": ("Matrix U-Net, diffusion", "#D55E00"),
    "matrix_generation_ddpm": ("Matrix U-Net, diffusion (DDPM)", "#D55E00"),
    "matrix_generation_ddim": ("Matrix U-Net, diffusion (DDIM)", "#E69F00"),
    "matrix_modification_regression": ("Matrix U-Net, modification by regression", "#009E73"),
    "matrix_modification_diffusion": ("Matrix U-Net, modification by diffusion", "#882255"),
    "matrix_modification_flow": ("Matrix U-Net, modification by flow matching", "#999933"),
    "unimat": ("UniMat, diffusion", "#CC79A7"),
    "unimat_places": ("UniMat, places in use alone", "#0072B2"),
    "unimat_composition": ("UniMat, given the composition", "#D55E00"),
    "unimat_narrow": ("UniMat, half the width", "#56B4E9"),
    "unimat_wide": ("UniMat, twice the width", "#882255"),
    "unimat_channels": ("UniMat, cell as channels", "#999933"),
    "unimat_cartesian": ("UniMat, Cartesian coordinates", "#E69F00"),
    "unimat_noise": ("UniMat, noise predicted from plain inputs", "#D55E00"),
    "unimat_dense": ("UniMat, dense 3-D U-Net", "#000000"),
    "unimat_type": ("UniMat, given the elements", "#E69F00"),
    "unimat_composition_dense": ("UniMat, given the composition, dense", "#999999"),
    "unimat_energy": ("UniMat, given the energy", "#009E73"),
}
# and what a sentence calls it
BASELINES = {
    "template": ("Template substitution", GREY, "template substitution"),
    "template_energy": ("Template of nearest energy", "#44AA99", "the template of nearest energy"),
    "modification_input": ("Modification, return the input", "#AAAAAA", "returning the input"),
    "training_copies": ("Draw of training crystals", "#777777", "a draw of training crystals"),
    "template_composition": ("Template of nearest composition", "#44AA99", "the template of nearest composition"),
    "modification_template": ("Modification, template substitution", "#555555", "template substitution"),
    "random_search": ("Random search", "#000000", "random search"),
}
_KNOWN = {**MODELS, **BASELINES}

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
    """A figure of `size` inches in the project's style and its axes, always an array (rows, columns)."""
    use_style()
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **kwargs)
    plt.close(figure)  # pyplot forgets it: a notebook shows it where a cell names it, and not once more because it is open
    return figure, axes


def model_label(model: str) -> str:
    """What a reader calls the model; an unknown id is its own label."""
    return _KNOWN[model][0] if model in _KNOWN else model


def wrapped_label(model: str) -> str:
    """The label, broken after its comma."""
    return model_label(model).replace(", ", ",\n")


def baseline_phrase(row: str) -> str:
    """A baseline within a sentence; an unknown id stands for itself."""
    return BASELINES[row][2] if row in BASELINES else row


def model_colors(models: Iterable[str]) -> dict[str, str]:
    """A colour for each id: fixed for known models, the palette's unused colours in turn for others."""
    models = list(dict.fromkeys(models))
    taken = {_KNOWN[m][1] for m in models if m in _KNOWN}
    free = [color for color in PALETTE if color not in taken] or list(PALETTE)
    unknown = [m for m in models if m not in _KNOWN]
    cycle = {m: free[i % len(free)] for i, m in enumerate(unknown)}
    return {m: _KNOWN[m][1] if m in _KNOWN else cycle[m] for m in models}


def model_order(model: str) -> tuple[int, str]:
    """Sort key: known models as listed, then unknown ones by name, then the baselines."""
    if model in BASELINES:
        return len(MODELS) + 1 + list(BASELINES).index(model), model
    return (list(MODELS).index(model) if model in MODELS else len(MODELS)), model


def say_empty(ax: Axes, text: str) -> None:
    """Write in an empty panel why it is empty, so that a study without that data still has its figure."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=GREY)


def save_figure(figure: Figure, folder: Path, name: str, caption: str, alt: str, points: pd.DataFrame) -> Path:
    """Write `name`.png, .pdf, .csv (the points drawn) and .json (caption, alt text, files); return the PNG.

    The same figure gives the same bytes on the same machine: no dates, no software versions in the PNG.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [f"{name}.{suffix}" for suffix in ("png", "pdf", "csv")]
    use_style()
    figure.savefig(folder / files[0], dpi=PNG_DPI, metadata={"Software": None})
    figure.savefig(folder / files[1], metadata={"CreationDate": None})
    points.to_csv(folder / files[2], index=False, float_format="%.6g", lineterminator="\n")
    card = {"name": name, "caption": caption, "alt": alt, "files": files}
    (folder / f"{name}.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder / files[0]
