"""Formation energies and convex hulls of one potential's energies."""

import numpy as np
import pandas as pd
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition


class PhaseDiagrams:
    """One phase diagram per chemical system, made when first asked for.

    Args:
        compositions: of n crystals.
        energies: their formation energies, eV/atom (n,).
    """

    def __init__(self, compositions: list[Composition], energies: np.ndarray):
        self._entries: dict[frozenset, list[PDEntry]] = {}
        self._diagrams: dict[frozenset, PhaseDiagram] = {}
        for composition, energy in zip(compositions, energies, strict=True):
            system = frozenset(composition.chemical_system_set)
            self._entries.setdefault(system, []).append(PDEntry(composition, energy * composition.num_atoms))

    def of(self, composition: Composition) -> PhaseDiagram:
        """The diagram of the composition's elements, with all crystals made of them.

        Raises:
            ValueError: an element has no crystal of its own among the crystals.
        """
        system = frozenset(composition.chemical_system_set)
        if missing := sorted(element for element in system if frozenset([element]) not in self._entries):
            raise ValueError(f"{composition.reduced_formula}: no crystal of the element {', '.join(missing)} to draw a hull from")
        if system not in self._diagrams:
            self._diagrams[system] = PhaseDiagram([e for other, some in self._entries.items() if other <= system for e in some])
        return self._diagrams[system]


def elemental_references(table: pd.DataFrame) -> np.ndarray:
    """The lowest `energy_per_atom` of each element in the table, eV/atom (120,) by atomic number; NaN where there is none."""
    unary = table[table["atomic_numbers"].map(lambda z: len(set(z)) == 1)]
    lowest = unary.groupby(unary["atomic_numbers"].map(lambda z: int(z[0])))["energy_per_atom"].min()
    references = np.full(120, np.nan)
    references[lowest.index] = lowest.to_numpy()
    return references


def formation_energies(table: pd.DataFrame) -> np.ndarray:
    """eV/atom against the lowest `energy_per_atom` of each element in the same table."""
    references = elemental_references(table)
    return np.array([e - references[z].mean() for e, z in zip(table["energy_per_atom"], table["atomic_numbers"], strict=True)])


def energies_above_hull(table: pd.DataFrame) -> np.ndarray:
    """eV/atom above the hull of the table's own formation energies, one phase diagram per chemical system."""
    compositions = [Composition(f) for f in table["formula"]]
    energies = table["formation_energy_per_atom"].to_numpy()
    diagrams = PhaseDiagrams(compositions, energies)
    entries = (PDEntry(c, e * c.num_atoms) for c, e in zip(compositions, energies, strict=True))
    above = np.array([diagrams.of(e.composition).get_e_above_hull(e) for e in entries])
    return np.clip(above, 0.0, None)
