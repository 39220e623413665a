"""Crystals to turn: the closed cell with its periodic images, for the viewers of a page (3Dmol.js) and of a notebook (NGL)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors

from crystalgen.report.structures import RADIUS_SCALE, boundary_images


def closed_cell(lattice: np.ndarray, numbers: np.ndarray, frac_coords: np.ndarray, repeats: tuple = (1, 1, 1)) -> tuple:
    """Return the atoms of `repeats` cells, those on a face, edge or corner on the opposite one too.

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
    """Return the cell's 12 edges, (12, 2 ends, 3), Å."""
    corners = np.indices((2, 2, 2)).reshape(3, -1).T
    pairs = [(a, b) for a in corners for b in corners if (b - a).min() == 0 and (b - a).sum() == 1]
    return np.array(pairs) @ lattice


def element_color(number: int) -> str:
    """Return Jmol's colour as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in jmol_colors[number])


def viewer_data(crystals: Mapping[str, pd.Series]) -> dict:
    """Return what `templates/turn.js` draws, ready for JSON: crystals with cell and atoms in Å, and a style for each element.

    Args:
        crystals: rows of the crystals table by name.
    """
    shown = [_closed(" ".join(name.split()), row) for name, row in crystals.items()]
    numbers = sorted({int(z) for row in crystals.values() for z in row["atomic_numbers"]}, key=lambda z: chemical_symbols[z])
    styles = {
        chemical_symbols[z]: {"color": element_color(z), "radius": round(float(RADIUS_SCALE * covalent_radii[z]), 3)} for z in numbers
    }
    return {"crystals": shown, "styles": styles}


def _closed(name: str, row: pd.Series) -> dict:
    numbers, coords = closed_cell(row["lattice"], row["atomic_numbers"], row["frac_coords"])
    atoms = [[chemical_symbols[number], *map(float, place)] for number, place in zip(numbers, coords.round(3), strict=True)]
    return {"name": name, "cell": np.stack(row["lattice"]).astype(float).round(4).tolist(), "atoms": atoms}
