"""Crystals to turn: the closed cell with its periodic images, for the viewers of a page (3Dmol.js) and of a notebook (NGL)."""

import numpy as np
import pandas as pd
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors

from crystalgen.report.pictures import RADIUS_SCALE, boundary_images

CELL_COLUMNS = [f"{axis}_{component}" for axis in "abc" for component in "xyz"]  # as `pictures.site_points` names them


def closed_cell(lattice: np.ndarray, numbers: np.ndarray, frac_coords: np.ndarray, repeats: tuple = (1, 1, 1)) -> tuple:
    """Atoms of `repeats` cells, those on a face, edge or corner drawn on the opposite one too.

    Args:
        lattice: (3, 3), Å, rows are vectors.
        numbers: (n,) atomic numbers.
        frac_coords: (n, 3).
        repeats: cells along a, b and c.

    Returns:
        atomic numbers (m,) and Cartesian coordinates (m, 3), Å.
    """
    lattice, coords, repeats = np.asarray(lattice, float), np.reshape(np.asarray(frac_coords, float), (-1, 3)), np.asarray(repeats)
    shifts = np.indices(repeats).reshape(3, -1).T
    inside = ((coords % 1.0)[None] + shifts[:, None]).reshape(-1, 3) / repeats
    index, drawn = boundary_images(inside)
    return np.tile(np.asarray(numbers, int), len(shifts))[index], (drawn * repeats) @ lattice


def cell_edges(lattice: np.ndarray) -> np.ndarray:
    """The cell's 12 edges, (12, 2 ends, 3), Å."""
    corners = np.indices((2, 2, 2)).reshape(3, -1).T
    pairs = [(a, b) for a in corners for b in corners if (b - a).min() == 0 and (b - a).sum() == 1]
    return np.array(pairs) @ lattice


def element_color(number: int) -> str:
    """Jmol's colour as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in jmol_colors[number])


def crystals_of_points(points: pd.DataFrame) -> list[dict]:
    """The crystals of a table that `pictures.site_points` or `gallery_points` wrote, in its order.

    Returns:
        dicts of name, cell (3, 3) in Å, atoms as [symbol, x, y, z] in Å; ready for JSON. None at all where the table is of something else.
    """
    if not {"crystal", "element", "x", "y", "z", *CELL_COLUMNS} <= set(points.columns):
        return []
    by = [column for column in ("item", "shown", "crystal") if column in points]
    return [_crystal(_name(rows.iloc[0], by), rows) for _, rows in points.groupby(by, sort=False)]


def element_styles(crystals: list[dict]) -> dict:
    """Colour and radius (Å) by symbol, of the elements in these crystals."""
    symbols = sorted({atom[0] for crystal in crystals for atom in crystal["atoms"]})
    radii = {symbol: round(float(RADIUS_SCALE * covalent_radii[atomic_numbers[symbol]]), 3) for symbol in symbols}
    return {symbol: {"color": element_color(atomic_numbers[symbol]), "radius": radius} for symbol, radius in radii.items()}


def _name(row: pd.Series, by: list[str]) -> str:
    number = f"{row['item']}. " if "item" in by else ""
    return number + str(row["crystal"]).replace("\n", ", ") + (f", {row['shown']}" if "shown" in by else "")


def _crystal(name: str, rows: pd.DataFrame) -> dict:
    lattice = rows[CELL_COLUMNS].iloc[0].to_numpy(float).reshape(3, 3)
    numbers, coords = closed_cell(lattice, [atomic_numbers[symbol] for symbol in rows["element"]], rows[["x", "y", "z"]].to_numpy(float))
    atoms = [[chemical_symbols[number], *map(float, place)] for number, place in zip(numbers, coords.round(3), strict=True)]
    return {"name": name, "cell": lattice.round(4).tolist(), "atoms": atoms}
