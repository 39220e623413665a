"""Energies of the Materials Project's structures by the library's potential, as they ship, and hulls of them without a network."""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.represent.canonical import counted_numbers
from crystalgen.stability.hull import Hull, formation_energies
from crystalgen.utils import paths
from crystalgen.utils.formulas import ATOMIC_NUMBERS, parse_composition

SINGLE_POINTS = paths.SHIPPED / "materials_project" / "single_points.parquet"


def shipped_energies(elements: Iterable[str], path: Path = SINGLE_POINTS) -> pd.DataFrame:
    """Return single points of the structures that are made of some elements, in order of energy.

    Args:
        elements: symbols.
        path: of the shipped table.

    Returns:
        id (Materials Project), formula (reduced), space_group, nsites, energy_per_atom (eV), atomic_numbers (of one formula unit).

    Raises:
        ValueError: one is no element.
    """
    wanted = set(elements)
    if unknown := sorted(wanted - set(ATOMIC_NUMBERS)):
        raise ValueError(f"{', '.join(map(repr, unknown))}: expected symbols of elements")
    table = pd.read_parquet(path).astype({"formula": object})
    numbers, written = {}, re.compile(f"(?:[0-9()]|{'|'.join(sorted(wanted, key=len, reverse=True))})*")
    for formula in filter(written.fullmatch, table["formula"].unique()):  # a tenth of the time of reading all
        counts = parse_composition(formula)
        if counts.keys() <= wanted:
            numbers[formula] = counted_numbers(counts)
    table = table[table["formula"].isin(numbers.keys())].sort_values("energy_per_atom", ignore_index=True)
    return table.assign(atomic_numbers=table["formula"].map(numbers))


def shipped_hull(elements: Iterable[str], path: Path = SINGLE_POINTS) -> Hull:
    """Return the hull of a chemical system by the shipped single points; references are the elements' own lowest.

    Geometries are those of density-functional theory, not relaxed by the potential.

    Raises:
        ValueError: an element has no crystal of its own in the table; naming it.
    """
    table = shipped_energies(elements, path)
    alone = set(table.loc[table["atomic_numbers"].map(lambda numbers: len(set(numbers)) == 1), "formula"])
    if missing := sorted(set(elements) - {symbol for formula in alone for symbol in parse_composition(formula)}):
        raise ValueError(f"{', '.join(missing)}: the shipped table has no crystal of the element alone to draw a hull from")
    return Hull(table.assign(formation_energy_per_atom=formation_energies(table), energy_source=ENERGY_SOURCE))
