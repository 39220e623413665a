"""Candidates relaxed and rated on the scale of the shipped hull, and put in order by what sources and energies say together.

SevenNet's 7net-l3i5, whose energies the shipped hull is made of, moves the atoms too.
"""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd

from crystalgen.crystals import to_structures
from crystalgen.crystals.geometry import nearest_distances
from crystalgen.crystals.plausibility import without_implausible
from crystalgen.experiments.compounds.merging import distinct
from crystalgen.potentials.batched import relax_together
from crystalgen.potentials.registry import ENERGY, ENERGY_SOURCE
from crystalgen.potentials.single_point import rate, silence
from crystalgen.represent.canonical import wrap
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths
from crystalgen.utils.formulas import parse_composition

TEMPERATURE = 0.047  # eV/atom: how much higher a candidate may lie that sources find e times as likely; fitted with `merging.WEIGHTS`
DROP = 0.25  # eV/atom above the lowest, where a relaxation is given up
UNKNOWN = 0.15  # eV/atom above the lowest, where a candidate without an energy is taken to lie
_G_PER_CM3 = 1.66053907  # of 1 u / Å^3
NOT_RELAXED = "as proposed"
STOPPED = "Stopped"  # how a note begins where Ctrl-C cut an answer short


def relaxed(table: pd.DataFrame, hull: Hull | None, steps: int = 40, fmax: float = 0.1, seen: Callable[[int, int], None] | None = None,
            drop: float | None = DROP, symmetric: bool = False) -> pd.DataFrame:  # fmt: skip
    """Return candidates relaxed by 7net-l3i5: status, steps, max_force (eV/Å), new geometry, and the columns of `rated`.

    drop: see `DROP`, of candidates of one composition; None relaxes all. symmetric: whether space groups are kept.
    """
    with silence():
        found = relax_together(to_structures(table), fmax, steps, drop, potential=ENERGY, symmetric=symmetric, seen=seen)
    table = table.assign(
        lattice=[one.structure.lattice.matrix for one in found],
        frac_coords=[wrap(one.structure.frac_coords) for one in found],
        atomic_numbers=[np.array(one.structure.atomic_numbers, dtype=np.int16) for one in found],
        status=[one.status for one in found],
        steps=[one.steps for one in found],
        max_force=[one.max_force for one in found],
    )
    return _placed(table, np.array([one.energy for one in found], dtype=float), hull)


def rated(table: pd.DataFrame, hull: Hull | None, notes: list[str], seen: Callable[[int, int], None] | None = None) -> pd.DataFrame:
    """Return candidates as they are with energy_per_atom by 7net-l3i5, formation_energy_per_atom and e_above_hull (eV/atom).

    After Ctrl-C, those that were not reached are left without, the likelier ones first, and a note says so.
    """
    energies, structures = np.full(len(table), np.nan), to_structures(table)
    try:
        for place, structure in enumerate(structures):
            energies[place] = rate(structure)["energy_per_atom"] or np.nan
            if seen is not None:
                seen(place + 1, len(table))
    except KeyboardInterrupt:
        notes.append(f"{STOPPED} before all energies were computed.")
    return _placed(table, energies, hull)


def _placed(table: pd.DataFrame, energies: np.ndarray, hull: Hull | None) -> pd.DataFrame:
    table = table.assign(energy_per_atom=energies, energy_source=np.where(np.isfinite(energies), ENERGY_SOURCE, None))
    return without_implausible(hull.place(table, ENERGY_SOURCE) if hull else table.assign(e_above_hull=np.nan))


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates in order, with probability: of the sources and a Boltzmann factor of the energy, over the candidates.

    A candidate that relaxed to the same crystal as another is counted with the lower one: `copies`, and its sources join.
    """
    table = table.sort_values("energy_per_atom", kind="stable", na_position="last", ignore_index=True)
    classes, _ = distinct(table)
    firsts = np.unique(classes)
    members = [np.flatnonzero(classes == first) for first in firsts]
    kept = table.iloc[firsts].reset_index(drop=True)
    kept["prior"] = [np.logaddexp.reduce(table["prior"].to_numpy()[group]) for group in members]
    kept["copies"] = [len(group) - 1 for group in members]
    kept["sources"] = [", ".join(dict.fromkeys(", ".join(table["sources"].iloc[group]).split(", "))) for group in members]
    kept["probability"] = probabilities(kept["prior"].to_numpy(), kept["energy_per_atom"].to_numpy(float))
    return kept.sort_values("probability", ascending=False, kind="stable", ignore_index=True)


def probabilities(prior: np.ndarray, energies: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """Return the chance of each candidate to be the ground state, if one of them is, (n,).

    prior: natural logarithms. energies: eV/atom; one that is unknown counts as `UNKNOWN` above the lowest.
    """
    if not len(prior):
        return np.zeros(0)
    if np.isfinite(energies).any():
        lowest = np.nanmin(energies)
        prior = prior - np.nan_to_num(energies - lowest, nan=UNKNOWN) / temperature
    return np.exp(prior - np.logaddexp.reduce(prior))


def described(table: pd.DataFrame) -> pd.DataFrame:
    """Return crystals with density (g/cm^3) and shortest_bond (Å)."""
    from pymatgen.core import Element

    volumes = [abs(np.linalg.det(lattice)) for lattice in table["lattice"]]
    masses = [sum(float(Element.from_Z(int(z)).atomic_mass) for z in numbers) for numbers in table["atomic_numbers"]]
    bonds = [float(nearest_distances(*cell).min()) for cell in zip(table["lattice"], table["frac_coords"], strict=True)]
    density = [_G_PER_CM3 * mass / volume for mass, volume in zip(masses, volumes, strict=True)]
    return table.assign(density=density, shortest_bond=bonds)


def with_known(table: pd.DataFrame, energies: pd.DataFrame, within: float = 0.03) -> pd.DataFrame:
    """Return crystals with known_id: the Materials Project structure of the formula that has the space group and about the energy.

    The shipped table has no geometries, so that this is a hint: a polymorph of equal group within `within` eV/atom is taken for it.

    Args:
        table: of one reduced formula, with energies. energies: of `shipped_energies`.
    """
    if table.empty:
        return table.assign(known_id=None, novel=True)
    wanted = parse_composition(table["reduced_formula"].iloc[0])
    same = energies[[parse_composition(formula) == wanted for formula in energies["formula"]]]
    names: list[str | None] = []
    for group, energy in zip(table["space_group"], table["energy_per_atom"], strict=True):
        apart = (same.loc[same["space_group"] == group, "energy_per_atom"] - energy).abs()
        names.append(same.loc[apart.idxmin(), "id"] if len(apart) and apart.min() <= within else None)
    return table.assign(known_id=names, novel=[name is None for name in names])


def uncertainty(counts: dict[str, int]) -> float:
    """Return how far an energy above the shipped hull lies from density-functional theory's, root mean square, eV/atom.

    Measured on Materials Project structures of each element (`benchmarks/hull_errors.py`); the elements' squares are averaged by atoms.
    """
    errors = json.loads((paths.REFERENCE / "hull_errors.json").read_text())
    squares = [errors["elements"].get(symbol, errors["all"]) ** 2 for symbol in counts]
    return float(np.sqrt(np.average(squares, weights=list(counts.values()))))
