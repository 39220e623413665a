"""The library's convex hull, and energies above or below it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from crystalgen.data.library.hull import PhaseDiagrams, elemental_references


class EnergySourceError(ValueError):
    """Energies that do not belong on one hull."""


class Hull:
    """The hull of a library whose energies come from one source.

    Energies of another potential, or of DFT, have other references: a difference between the two is no energy
    above a hull. So every method that takes an energy also takes its source, and refuses another one.

    Args:
        library: crystals with formula, energy_per_atom, formation_energy_per_atom and energy_source; rows without
            a formation energy are left out.

    Raises:
        EnergySourceError: the library has energies of no source or of more than one.
    """

    def __init__(self, library: pd.DataFrame):
        rated = library[library["formation_energy_per_atom"].notna()]
        sources = sorted(rated["energy_source"].unique())
        if len(sources) != 1:
            raise EnergySourceError(f"a hull needs energies of one source; the library has {sources or 'none'}")
        self.energy_source = sources[0]
        self._references = elemental_references(rated)
        compositions = [Composition(formula) for formula in rated["formula"]]
        self._diagrams = PhaseDiagrams(compositions, rated["formation_energy_per_atom"].to_numpy())

    def formation_energies(self, energies: Sequence[float], atomic_numbers: Sequence[np.ndarray], energy_source: str) -> np.ndarray:
        """Formation energies against the library's lowest elemental crystals, eV/atom (n,).

        Args:
            energies: total energies, eV/atom (n,).
            atomic_numbers: of each crystal.
            energy_source: where the total energies come from.

        Raises:
            EnergySourceError: not from where the library's come.
        """
        self._check(energy_source)
        return np.array([e - self._references[z].mean() for e, z in zip(energies, atomic_numbers, strict=True)], dtype=float)

    def energy_at(self, formula: str) -> float:
        """Formation energy of the hull at a composition, eV/atom.

        Raises:
            ValueError: the library lacks one of its elements.
        """
        composition = Composition(formula)
        return float(self._diagrams.of(composition).get_hull_energy_per_atom(composition))

    def decomposition(self, formula: str) -> dict[str, float]:
        """The phases that the hull consists of at a composition: reduced formula -> share of the atoms."""
        composition = Composition(formula)
        phases = self._diagrams.of(composition).get_decomposition(composition)
        shares = {entry.composition.reduced_formula: float(share) for entry, share in phases.items()}
        return dict(sorted(shares.items()))

    def above(self, formulas: Sequence[str], formation_energies: Sequence[float], energy_source: str) -> np.ndarray:
        """Energies above the hull, eV/atom (n,); negative below it, NaN where the energy is.

        Raises:
            EnergySourceError: the energies are not from where the library's come.
        """
        self._check(energy_source)
        at = {formula: self.energy_at(formula) for formula in set(formulas)}
        return np.array([energy - at[formula] for formula, energy in zip(formulas, formation_energies, strict=True)], dtype=float)

    def _check(self, energy_source: str) -> None:
        if energy_source != self.energy_source:
            raise EnergySourceError(
                f"energies by {energy_source!r} on a hull of energies by {self.energy_source!r}: their references and errors differ, "
                "so that a difference between them is no energy above the hull; compute both the same way"
            )
