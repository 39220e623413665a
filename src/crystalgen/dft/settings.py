"""What calculations whose energies compare have in common, as numbers and names that do not depend on the crystal."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.utils.cache import digest

_STEPS = 4  # bins of the density of k-points per factor of two: 4x4x4 and 5x5x5 points of one cell never share one


def settings_id(settings: dict) -> str:
    """Return what stands for settings; rows of unlike ones never share it."""
    return digest(json.dumps(settings, sort_keys=True))[:12]


def ids_by_potentials(table: pd.DataFrame) -> pd.Series:
    """Return the ids of a table's rows; those that share one though an element of theirs has several potentials get ids of their own.

    Args:
        table: settings_id and potentials (JSON list of names that begin with the element or with a family and the element), None of
            runs without a result.
    """
    ids = table["settings_id"].copy()
    for shared, part in table[table["potentials"].notna()].groupby("settings_id"):
        own = {place: {_element(title): title for title in json.loads(titles)} for place, titles in part["potentials"].items()}
        kinds: dict[str, set[str]] = {}
        for titles in own.values():
            for element, title in titles.items():
                kinds.setdefault(element, set()).add(title)
        for place, titles in own.items():
            if doubtful := {element: title for element, title in titles.items() if len(kinds[element]) > 1}:
                ids[place] = settings_id({"settings_id": shared, "potentials": doubtful})
    return ids


def _element(title: str) -> str:
    """Of "PAW_PBE Fe_pv 02Aug2007" or "Ta.PBE 11af46c5"."""
    words = title.split()
    name = words[1] if len(words) > 1 and words[0].startswith(("PAW", "US")) else words[0]
    return re.match(r"[A-Za-z]+", name)[0].capitalize() if re.match(r"[A-Za-z]+", name) else name


def k_density(points: float, lattice: np.ndarray) -> float:
    """Return the density of a mesh of k-points along a line, in points per 1/Å, at the middle of its bin.

    It is the cube root of points per volume of the reciprocal cell (with 2π), so that a supercell with its smaller mesh has the same.

    Args:
        points: of the whole mesh, before symmetry.
        lattice: (3, 3), Å.
    """
    density = (points * abs(np.linalg.det(lattice)) / (2 * math.pi) ** 3) ** (1 / 3)
    return round(2 ** (round(_STEPS * math.log2(density) + 1e-9) / _STEPS), 2)


def mesh_size(weights: Iterable[float]) -> float:
    """Return how many points a whole mesh has, by the weights of those that symmetry leaves: the rarest stands for one."""
    weights = np.asarray([weight for weight in weights if weight > 1e-9], dtype=float)
    return float(weights.sum() / weights.min())


def families(potentials: Iterable[tuple[str, str]]) -> list[str]:
    """Return the families of pseudopotentials by their files' names without the element, the same for all crystals of one library.

    Args:
        potentials: file and checksum of each; a name that says no more than the element is told apart by the checksum.
    """
    found = set()
    for file, key in potentials:
        name = re.sub(r"\.(gz|upf)$", "", re.sub(r"\.gz$", "", Path(file).name), flags=re.IGNORECASE)
        family = re.sub(r"^[A-Z]?[a-z]{0,2}(?=[._\-\d]|$)", "", name, count=1).strip("._-")
        release = re.search(r"gpaw-setups-[\w.]+", file)
        found.add(" ".join(filter(None, [release[0] if release else "", family.lower() or f"{name} {key[:8]}"])))
    return sorted(found)
