"""The crystal that a request gives to have its elements exchanged: read, and refused before torch is imported."""

import math
from collections import Counter

import pandas as pd

from crystalgen.api.checks import MOST_ATOMS
from crystalgen.api.crystals import as_crystals, describe
from crystalgen.chemistry.spacegroups import primitive_cell
from crystalgen.crystals import from_columns
from crystalgen.utils.formulas import parse_composition


def read_seed(seed_structure, composition: str) -> pd.DataFrame:
    """Return one crystal as a table, in a primitive cell.

    Args:
        seed_structure: anything that `api.read_crystals` reads.
        composition: formula whose elements are to take the places of the crystal's.

    Raises:
        ValueError: it is not one crystal, its stoichiometry is another than the formula's, or its cell is too large.
    """
    table, named = as_crystals(seed_structure), f"seed structure {describe(seed_structure)}"
    if len(table) != 1:
        raise ValueError(f"{named}: {len(table)} crystals; expected one")
    given = table.iloc[0]
    wanted, amounts = _ratio(parse_composition(composition).values()), _ratio(Counter(given["atomic_numbers"].tolist()).values())
    if wanted != amounts:
        raise ValueError(f"{named}: {given['reduced_formula']} has elements as {_words(amounts)}; expected {_words(wanted)}, "
                         f"as {composition} has")  # fmt: skip
    lattice, coords, numbers = primitive_cell((given["lattice"], given["frac_coords"], given["atomic_numbers"]))
    if len(numbers) > MOST_ATOMS:
        raise ValueError(f"{named}: {len(numbers)} atoms in its primitive cell; expected at most {MOST_ATOMS}")
    return from_columns([lattice], [numbers], [coords], "seed")


def _ratio(counts) -> list[int]:
    return sorted(count // math.gcd(*counts) for count in counts)


def _words(amounts: list[int]) -> str:
    return ":".join(map(str, amounts))
