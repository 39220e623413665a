"""Formation energies of crystals as they are, by the library's potential against the shipped elements."""

import numpy as np
import pandas as pd

from crystalgen.crystals import to_structures
from crystalgen.potentials.shipped import shipped_energies
from crystalgen.potentials.single_point import rate
from crystalgen.stability.hull import elemental_references
from crystalgen.utils.elements import SYMBOLS


def formation_energies_as_they_are(table: pd.DataFrame) -> np.ndarray:
    """Compute formation energies of crystals, unrelaxed, against the shipped elements, eV/atom (n,); NaN where there is no energy."""
    elements = np.unique(np.concatenate(table["atomic_numbers"].to_numpy()))
    references = elemental_references(pd.concat([shipped_energies([SYMBOLS[z - 1]]) for z in elements]))
    per_atom = [rate(structure)["energy_per_atom"] for structure in to_structures(table)]
    energies = [np.nan if e is None else e - references[z].mean() for e, z in zip(per_atom, table["atomic_numbers"], strict=True)]
    return np.array(energies)
