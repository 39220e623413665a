"""Figure of the periodic losses: two cells that look different and are one crystal (B Fig. 4)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crystalgen.crystals import from_columns
from crystalgen.generative.losses import LOSSES
from crystalgen.report.structures import BOUNDARY_TOLERANCE, draw_crystal, element_legend
from crystalgen.report.style import new_figure
from crystalgen.represent import matrix

SHOWN = {"l1": "L1", "pbc_cases": "PBC, cases", "pbc_images": "PBC, 27 images"}
_EDGE = 5.13  # Å, of cubic LiCl: atoms small enough to stand apart, on a vertex, faces, edges and inside
_NUMBERS = np.repeat([3, 17], 4)
_COORDS = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) / 2


def pbc_example() -> Figure:
    """Draw rock-salt LiCl twice, with the atoms on the boundary at 0 and at 1, and write three losses between the two above."""
    pair = two_descriptions()
    figure, axes = new_figure(1, 2, size=(7, 4.4))
    for ax, written, (_, row) in zip(axes[0], (0, 1), pair.iterrows(), strict=True):
        title = f"{row['id']}, boundary atoms at {written}"
        draw_crystal(ax, row["lattice"], row["atomic_numbers"], _without_images(row["frac_coords"]), title)
    _same_window(axes[0])
    figure.get_layout_engine().set(h_pad=0.1)
    figure.suptitle("   ".join(f"{SHOWN[name]}: {loss:.3f}" for name, loss in losses_between(pair).items()))
    element_legend(figure, _NUMBERS)
    return figure


def two_descriptions() -> pd.DataFrame:
    """Return one crystal as a target, its boundary atoms at 0, and as a prediction, at 1."""
    opposite = np.where(_COORDS == 0, 1.0, _COORDS)
    return from_columns([np.eye(3) * _EDGE] * 2, [_NUMBERS] * 2, [_COORDS, opposite], "example", id=["target", "prediction"])


def losses_between(pair: pd.DataFrame) -> dict[str, float]:
    """Return each loss of the second crystal as a prediction of the first, a mean over the coordinates in units of the cell."""
    encoded = matrix.encode(pair)
    target, prediction = torch.from_numpy(encoded.x).split(1)
    weight = torch.from_numpy(encoded.atomic_numbers[:1, :, None] > 0).float()
    return {name: float(LOSSES[name](prediction, target, weight)) for name in SHOWN}


def _without_images(frac_coords: np.ndarray) -> np.ndarray:
    """Coordinates just off the boundary (by 0.06 Å here), so that 0 and 1 stay apart and no image is drawn beside them."""
    return 0.5 + (frac_coords - 0.5) * (1 - 2.2 * BOUNDARY_TOLERANCE)


def _same_window(axes: Iterable[Axes]) -> None:
    """Equal cells at equal size and height."""
    boxes = np.array([ax.dataLim.extents for ax in axes])
    low, high = boxes[:, :2].min(axis=0) - 0.1, boxes[:, 2:].max(axis=0) + 0.1
    for ax in axes:
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
