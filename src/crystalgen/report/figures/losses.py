"""Figure of the periodic losses: two cells that look different and are one crystal (B Fig. 4)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalgen.crystals import from_columns, to_structures
from crystalgen.generative.losses import LOSSES
from crystalgen.report.pictures import BOUNDARY_TOLERANCE, draw_crystal, element_legend, site_points
from crystalgen.report.style import new_figure
from crystalgen.represent import matrix

SHOWN = {"l1": "L1", "pbc_cases": "PBC, cases", "pbc_images": "PBC, 27 images"}
_EDGE = 5.13  # Å, of cubic LiCl: atoms small enough to stand apart, on a vertex, faces, edges and inside
_NUMBERS = np.repeat([3, 17], 4)
_COORDS = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) / 2


def pbc_example() -> tuple[Figure, pd.DataFrame]:
    """Rock-salt LiCl twice, with the atoms on the boundary at 0 and at 1, and three losses between the two.

    The losses are means over the 24 coordinates, in units of the cell; the lattices are equal.

    Returns:
        the figure, and the atoms with columns crystal (`target`, `prediction`), element, x, y, z (fractional),
        the cell (Å), l1, pbc_cases, pbc_images (of the pair) and same_crystal (StructureMatcher's verdict).
    """
    opposite = np.where(_COORDS == 0, 1.0, _COORDS)
    pair = from_columns([np.eye(3) * _EDGE] * 2, [_NUMBERS] * 2, [_COORDS, opposite], "example", id=["target", "prediction"])
    points = site_points([row for _, row in pair.iterrows()], pair["id"].to_list())
    points = points.assign(**_losses(pair), same_crystal=StructureMatcher().fit(*to_structures(pair)))

    figure, axes = new_figure(1, 2, size=(7, 4.4))
    for ax, written, (_, row) in zip(axes[0], (0, 1), pair.iterrows(), strict=True):
        title = f"{row['id']}, boundary atoms at {written}"
        draw_crystal(ax, row["lattice"], row["atomic_numbers"], _without_images(row["frac_coords"]), title)
    _same_window(axes[0])
    figure.get_layout_engine().set(h_pad=0.1)
    figure.suptitle("   ".join(f"{label}: {points[name].iloc[0]:.3f}" for name, label in SHOWN.items()))
    element_legend(figure, _NUMBERS)
    return figure, points


def _losses(pair: pd.DataFrame) -> dict[str, float]:
    """Each loss of the second crystal as a prediction of the first; atoms only."""
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
