"""Static pictures of crystals: the unit cell, its atoms and their periodic images, in plain 2-D matplotlib."""

import itertools

import numpy as np
import pandas as pd
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from crystalgen.report.style import new_figure

RADIUS_SCALE = 0.5  # of the covalent radius: bonds stay open, so that atoms behind are seen
BOUNDARY_TOLERANCE = 1e-2  # fractional
_TURN, _TILT = np.radians(24), np.radians(14)  # away from a lattice plane, so that no two corners coincide
_SEGMENTS = 24  # pieces per cell edge, each hidden or drawn by its own depth
_COLUMNS = 6  # crystals side by side before a gallery goes on below
_VERDICTS = {None: "", True: "match", False: "no match"}


def boundary_images(frac_coords: np.ndarray, tolerance: float = BOUNDARY_TOLERANCE) -> tuple[np.ndarray, np.ndarray]:
    """Return the atoms to draw in one closed cell: those on a face, edge or corner are repeated on the opposite one.

    Args:
        frac_coords: (n, 3), any real numbers; wrapped into the cell first.
        tolerance: how close to 0 or 1 counts as on the boundary, fractional.

    Returns:
        index (m,) of the atom that each drawn one copies, and fractional coordinates (m, 3).
    """
    wrapped = np.asarray(frac_coords, dtype=float) % 1.0
    wrapped[wrapped > 1 - tolerance] -= 1.0
    index, coords = [], []
    for i, position in enumerate(wrapped):
        steps = [(0, 1) if abs(x) < tolerance else (0,) for x in position]
        for shift in itertools.product(*steps):
            index.append(i)
            coords.append(position + shift)
    return np.array(index, dtype=int), np.array(coords, dtype=float).reshape(-1, 3)


def draw_crystal(ax: Axes, lattice: np.ndarray, atomic_numbers: np.ndarray, frac_coords: np.ndarray, title: str = "") -> None:
    """Draw one unit cell, seen from slightly beside its shortest vector, the longest one upwards.

    Args:
        ax: emptied of axes and set to equal aspect; its data unit is 1 Å.
        lattice: (3, 3), Å, rows are vectors.
        atomic_numbers: (n,) integers.
        frac_coords: (n, 3).
        title: above the picture.
    """
    numbers = np.asarray(atomic_numbers, dtype=int)
    view = view_rotation(np.asarray(lattice, dtype=float))
    cell = np.asarray(lattice, dtype=float) @ view
    index, coords = boundary_images(np.reshape(frac_coords, (-1, 3)))
    atoms = coords @ cell
    radii = RADIUS_SCALE * covalent_radii[numbers[index]]
    segments = _edge_segments(cell)
    middles = segments.mean(axis=1)
    buried = (np.linalg.norm(middles[:, None] - atoms, axis=2) < radii).any(axis=1)
    segments, middles = segments[~buried], middles[~buried]

    order = np.argsort(atoms[:, 2], kind="stable")  # the third axis points at the reader: far atoms first
    layer = np.searchsorted(atoms[order, 2], middles[:, 2])
    for rank in range(len(order) + 1):
        lines = segments[layer == rank][:, :, :2]
        ax.add_collection(LineCollection(lines, colors="#555555", linewidths=1.0, capstyle="round", zorder=2 * rank))
        if rank < len(order):
            atom = order[rank]
            _draw_atom(ax, atoms[atom, :2], radii[atom], numbers[index[atom]], 2 * rank + 1)
    drawn = np.vstack([segments.reshape(-1, 3)[:, :2], atoms[:, :2] - radii[:, None], atoms[:, :2] + radii[:, None]])
    low, high = drawn.min(axis=0) - 0.1, drawn.max(axis=0) + 0.1
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", title=title)
    ax.set_axis_off()


def element_legend(where: Axes | Figure, atomic_numbers: np.ndarray) -> None:
    """Draw a legend of the elements present: below a figure, or to the right of one picture."""
    numbers = np.unique(np.asarray(atomic_numbers, dtype=int))
    handles = [
        Line2D([], [], ls="", marker="o", ms=9, mfc=jmol_colors[z], mec="#333333", mew=0.6, label=chemical_symbols[z]) for z in numbers
    ]
    if isinstance(where, Figure):
        where.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 12), handletextpad=0.1)
    else:
        where.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)


def gallery(items: list[dict]) -> Figure:
    """Draw crystals above one another, such as a target above what was generated for it.

    Args:
        items: dicts of `title`, `crystals` (rows of the crystals table by name, the same names in every item, shown
            from top to bottom) and `matched` (bool, or None where no verdict is known), written above the last.
    """
    names = list(items[0]["crystals"])
    blocks = [items[start : start + _COLUMNS] for start in range(0, len(items), _COLUMNS)]
    columns = max(len(block) for block in blocks)
    figure, axes = new_figure(len(names) * len(blocks), columns, size=(2.1 * columns + 0.6, 2.6 * len(names) * len(blocks)))
    for ax in axes.flat:
        ax.set_axis_off()
    for block, lines in zip(blocks, axes.reshape(-1, len(names), columns), strict=True):
        for item, column in zip(block, lines.T, strict=False):  # the last block may be shorter
            titles = [item["title"], *[""] * (len(names) - 2), _VERDICTS[item["matched"]]]
            for ax, row, title in zip(column, item["crystals"].values(), titles, strict=True):
                draw_crystal(ax, row["lattice"], row["atomic_numbers"], row["frac_coords"], title)
        for ax, name in zip(lines[:, 0], names, strict=True):
            ax.text(-0.04, 0.5, name, rotation=90, ha="right", va="center", transform=ax.transAxes)
    element_legend(figure, np.concatenate([row["atomic_numbers"] for item in items for row in item["crystals"].values()]))
    return figure


def gallery_crystals(items: list[dict]) -> dict[str, pd.Series]:
    """Return the crystals of a gallery by name, `1. TaB2, target`, to be turned below it."""
    shown = [(f"{i}. {item['title']}, {name}", row) for i, item in enumerate(items, 1) for name, row in item["crystals"].items()]
    return dict(shown)


def crystal_strip(rows: list[pd.Series], titles: list[str]) -> Figure:
    """Draw crystals (rows of the crystals table) side by side, a title above each."""
    figure, axes = new_figure(1, len(rows), size=(max(2.1 * len(rows), 3.0), 2.9))
    for ax, row, title in zip(axes[0], rows, titles, strict=True):
        draw_crystal(ax, row["lattice"], row["atomic_numbers"], row["frac_coords"], title)
    element_legend(figure, np.concatenate([row["atomic_numbers"] for row in rows]))
    figure.draw_without_rendering()  # the layout settles with the second drawing; after one, titles above cubes are cut
    return figure


def view_rotation(lattice: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3), applied as `x @ view`, to the axes right, up and towards the reader."""
    lengths = np.linalg.norm(lattice, axis=1)
    up = 2 if lengths[2] > 0.9 * lengths.max() else int(lengths.argmax())  # near-equal cells look alike
    rest = [i for i in range(3) if i != up]
    depth = rest[0] if lengths[rest[0]] < 1.1 * lengths[rest[1]] else rest[1]
    y = lattice[up] / lengths[up]
    z = lattice[depth] - (lattice[depth] @ y) * y
    z /= np.linalg.norm(z)
    frame = np.column_stack([np.cross(y, z), y, z])
    turn = np.array([[np.cos(_TURN), 0, np.sin(_TURN)], [0, 1, 0], [-np.sin(_TURN), 0, np.cos(_TURN)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(_TILT), np.sin(_TILT)], [0, -np.sin(_TILT), np.cos(_TILT)]])
    return frame @ turn @ tilt


def _edge_segments(cell: np.ndarray) -> np.ndarray:
    """The 12 edges of the cell cut in pieces, (12 * _SEGMENTS, 2 ends, 3)."""
    steps = np.linspace(0, 1, _SEGMENTS + 1)[:, None]
    edges = []
    for axis in range(3):
        others = [cell[i] for i in range(3) if i != axis]
        for i, j in itertools.product((0, 1), repeat=2):
            points = i * others[0] + j * others[1] + steps * cell[axis]
            edges.append(np.stack([points[:-1], points[1:]], axis=1))
    return np.concatenate(edges)


def _draw_atom(ax: Axes, center: np.ndarray, radius: float, number: int, zorder: int) -> None:
    """A disc with a highlight and, because many elements share a hue, its symbol."""
    color = jmol_colors[number]
    ax.add_patch(Circle(center, radius, facecolor=color * 0.86, edgecolor="#222222", linewidth=0.6, zorder=zorder))
    for shrink, light in ((0.78, 0.25), (0.5, 0.5)):
        spot = center + radius * (1 - shrink) * 0.45 * np.array([-1, 1])
        face = color + (1 - color) * light * 0.6
        ax.add_patch(Circle(spot, radius * shrink, facecolor=face, edgecolor="none", zorder=zorder + 0.1))
    text = TextPath((0, 0), chemical_symbols[number], size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = text.get_extents()
    scale = min(1.3 * radius / box.width, 0.8 * radius / box.height)
    place = Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2).scale(scale).translate(*center)
    ink = "#000000" if color @ (0.299, 0.587, 0.114) > 0.4 else "#FFFFFF"
    ax.add_patch(PathPatch(place.transform_path(text), facecolor=ink, edgecolor="none", zorder=zorder + 0.2))
