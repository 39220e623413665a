"""Choose what is asked of the models in a search: compositions x space groups x ladders of energies (B §7.1)."""

import numpy as np
import pandas as pd

from crystalgen.config import Ladder, Search
from crystalgen.represent.canonical import composition_numbers
from crystalgen.stability.hull import Hull


def search_conditions(settings: Search, crystals: pd.DataFrame, hull: Hull) -> pd.DataFrame:
    """Return the conditions of one model, a row each, for `generate.generate_for_conditions`.

    B's counts: 19 space groups and 21 energies make 399 conditions per composition and ladder, and 7182 crystals for
    three compositions, three ladders and two models.

    Args:
        settings: compositions, ladders and the number of space groups.
        crystals: the study's; only its training crystals say which space groups there are.
        hull: where each ladder starts from.

    Returns:
        composition, ladder, atomic_numbers (in canonical order), space_group, formation_energy_per_atom (eV).
    """
    groups = training_space_groups(crystals, settings.space_groups)
    rows = [
        (composition, name, numbers, group, energy)
        for composition, numbers in ((c, composition_numbers(c)) for c in settings.compositions)
        for name, ladder in settings.ladders.items()
        for group in groups
        for energy in ladder_energies(ladder, hull.energy_at(composition))
    ]
    return pd.DataFrame(rows, columns=["composition", "ladder", "atomic_numbers", "space_group", "formation_energy_per_atom"])


def ladder_energies(ladder: Ladder, hull_energy: float) -> np.ndarray:
    """Return formation energies to ask for, eV/atom (count,), from `start` beside the hull downwards."""
    return hull_energy + ladder.start - ladder.step * np.arange(ladder.count)


def training_space_groups(crystals: pd.DataFrame, count: int | None = None) -> list[int]:
    """Return the space groups of the training crystals, ascending; with a count, the most frequent ones."""
    frequencies = crystals.loc[crystals["split"] == "train", "space_group"].dropna().astype(int).value_counts()
    ranked = sorted(frequencies.items(), key=lambda item: (-item[1], item[0]))
    return sorted(group for group, _ in ranked[:count])
