"""Formation energies and convex hulls of energies from one source, and what lies above or below them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

STABLE, METASTABLE = 0.0, 0.025  # eV/atom above the hull: below the first, and below the second (A eq. 5)


class EnergySourceError(ValueError):
    """Energies that do not belong on one hull."""


class Hull:
    """The hull of a library whose energies come from one source.

    Energies of another potential, or of DFT, have other references: a difference between the two is no energy
    above a hull. So every method that takes an energy also takes its source, and refuses another one.

    Args:
        library: crystals with formula, formation_energy_per_atom, energy_source and, for `formation_energies`, energy_per_atom;
            the library's, a benchmark set's or one's own. Rows without a formation energy are left out.

    Raises:
        EnergySourceError: the library has energies of no source or of more than one.
    """

    def __init__(self, library: pd.DataFrame):
        rated = library[library["formation_energy_per_atom"].notna()]
        sources = sorted(rated["energy_source"].unique())
        if len(sources) != 1:
            raise EnergySourceError(f"a hull needs energies of one source; the library has {sources or 'none'}")
        self.energy_source = sources[0]
        self._references = elemental_references(rated) if "energy_per_atom" in rated else np.full(120, np.nan)
        compositions = [Composition(formula) for formula in rated["formula"]]
        self._diagrams = PhaseDiagrams(compositions, rated["formation_energy_per_atom"].to_numpy())

    def formation_energies(self, energies: Sequence[float], atomic_numbers: Sequence[np.ndarray], energy_source: str) -> np.ndarray:
        """Return the formation energies against the library's lowest elemental crystals, eV/atom (n,).

        Args:
            energies: total energies, eV/atom (n,).
            atomic_numbers: of each crystal.
            energy_source: where the total energies come from.

        Raises:
            EnergySourceError: not from where the library's come.
        """
        self._check(energy_source)
        if np.isnan(self._references).all():
            raise EnergySourceError("the hull's crystals have no energy_per_atom, so that total energies have nothing to be compared with")
        return np.array([e - self._references[z].mean() for e, z in zip(energies, atomic_numbers, strict=True)], dtype=float)

    def covers(self, atomic_numbers: np.ndarray) -> bool:
        """Return whether total energies of crystals of these elements can be placed above the hull."""
        return not np.isnan(self._references[np.asarray(atomic_numbers, dtype=int)]).any()

    def energy_at(self, formula: str) -> float:
        """Return the formation energy of the hull at a composition, eV/atom.

        Raises:
            ValueError: the library lacks one of its elements.
        """
        composition = Composition(formula)
        return float(self._diagrams.of(composition).get_hull_energy_per_atom(composition))

    def decomposition(self, formula: str) -> dict[str, float]:
        """Return the phases that the hull consists of at a composition: reduced formula -> share of the atoms."""
        composition = Composition(formula)
        phases = self._diagrams.of(composition).get_decomposition(composition)
        shares = {entry.composition.reduced_formula: float(share) for entry, share in phases.items()}
        return dict(sorted(shares.items()))

    def diagram(self, formula: str) -> PhaseDiagram:
        """Return pymatgen's phase diagram of a formula's elements; its entries' energies are formation energies, eV.

        Raises:
            ValueError: the library lacks one of its elements.
        """
        return self._diagrams.of(Composition(formula))

    def above(self, formulas: Sequence[str], formation_energies: Sequence[float], energy_source: str) -> np.ndarray:
        """Return the energies above the hull, eV/atom (n,); negative below it, NaN where the energy is.

        Raises:
            EnergySourceError: the energies are not from where the library's come.
        """
        self._check(energy_source)
        at = {formula: self.energy_at(formula) for formula in set(formulas)}
        return np.array([energy - at[formula] for formula, energy in zip(formulas, formation_energies, strict=True)], dtype=float)

    def place(self, table: pd.DataFrame, energy_source: str) -> pd.DataFrame:
        """Return the table with the formation energies of its `energy_per_atom`, their source, and e_above_hull (eV/atom).

        NaN, and no source, where a crystal has no energy or an element that the hull lacks.
        """
        known = np.array([self.covers(z) for z in table["atomic_numbers"]], dtype=bool)
        inside = table[known & table["energy_per_atom"].notna().to_numpy()]
        formation = self.formation_energies(inside["energy_per_atom"], inside["atomic_numbers"], energy_source)
        above = self.above(list(inside["formula"]), formation, energy_source)
        placed = pd.DataFrame({"formation_energy_per_atom": formation, "e_above_hull": above}, index=inside.index, dtype=float)
        placed = placed.reindex(table.index)
        source = pd.Series(np.where(placed["formation_energy_per_atom"].notna(), energy_source, None), index=table.index, dtype=object)
        return table.assign(**placed, energy_source=source)

    def _check(self, energy_source: str) -> None:
        if energy_source != self.energy_source:
            raise EnergySourceError(
                f"energies by {energy_source!r} on a hull of energies by {self.energy_source!r}: their references and errors differ, "
                "so that a difference between them is no energy above the hull; compute both the same way"
            )


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
        """Return the diagram of the composition's elements, with all crystals made of them.

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
    """Return the lowest `energy_per_atom` of each element in the table, eV/atom (120,) by atomic number; NaN where there is none."""
    unary = table[table["atomic_numbers"].map(lambda z: len(set(z)) == 1)]
    lowest = unary.groupby(unary["atomic_numbers"].map(lambda z: int(z[0])))["energy_per_atom"].min()
    references = np.full(120, np.nan)
    references[lowest.index] = lowest.to_numpy()
    return references


def formation_energies(table: pd.DataFrame) -> np.ndarray:
    """Return formation energies, eV/atom, against the lowest `energy_per_atom` of each element in the same table."""
    references = elemental_references(table)
    return np.array([e - references[z].mean() for e, z in zip(table["energy_per_atom"], table["atomic_numbers"], strict=True)])


def energies_above_hull(table: pd.DataFrame) -> np.ndarray:
    """Return energies, eV/atom, above the hull of the table's own formation energies, one phase diagram per chemical system."""
    compositions = [Composition(f) for f in table["formula"]]
    energies = table["formation_energy_per_atom"].to_numpy()
    diagrams = PhaseDiagrams(compositions, energies)
    entries = (PDEntry(c, e * c.num_atoms) for c, e in zip(compositions, energies, strict=True))
    above = np.array([diagrams.of(e.composition).get_e_above_hull(e) for e in entries])
    return np.clip(above, 0.0, None)
