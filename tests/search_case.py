"""A search for new phases to test with: settings, a library, stand-ins for the potentials, crystals, candidates."""

import numpy as np
import pandas as pd
from conftest import generic
from pymatgen.core import Lattice, Structure

from crystalgen.config import Ladder, Search
from crystalgen.crystals import from_structures
from crystalgen.potentials import relaxation, single_point
from crystalgen.potentials.registry import ENERGY_SOURCE as SOURCE

LADDERS = {"fine": Ladder(), "coarse": Ladder(step=0.1), "from below": Ladder(start=-1.0)}


def search_settings(**changes) -> Search:
    return Search(**({"rows": ("flow",), "ladders": LADDERS, "relaxed": 2, "workers": 1} | changes))


def boride_library() -> pd.DataFrame:
    """A library of B, W, Ta and TaWB2 at -0.4 eV/atom."""
    structures = [Structure(Lattice.cubic(a), [e], [[0, 0, 0]]) for a, e in ((2.4, "B"), (2.7, "W"), (2.9, "Ta"))]
    structures.append(generic(3, ["Ta", "W", "B", "B"]))
    energies = [-6.0, -12.0, -11.0, -8.75 - 0.4]
    return from_structures(
        structures,
        "lib",
        energy_per_atom=energies,
        formation_energy_per_atom=[0.0, 0.0, 0.0, -0.4],
        energy_source=[SOURCE] * 4,
    )


def counted_potentials(monkeypatch) -> list[str]:
    """Stand-ins for the potentials: energies by volume, relaxations that shrink the cell; each call is noted."""
    calls: list[str] = []

    def energies(structures):
        calls.append("energy")
        return np.array([-9.0 + 1e-4 * (s.volume / len(s) - 10.0) ** 2 for s in structures])

    def relax(structure, fmax, max_steps, guard, calculator):
        calls.append("relaxation")
        smaller = structure.copy()
        smaller.scale_lattice(0.9 * structure.volume)
        guard(smaller.to_ase_atoms())
        return smaller, max_steps > 10, 7

    monkeypatch.setattr(single_point, "energies_per_atom", energies)
    monkeypatch.setattr(relaxation, "minimise", relax)
    return calls


def generated_crystals(count: int = 6) -> pd.DataFrame:
    """TaWB2 crystals of two experiments, the second one's first a copy of the first's; the last overlap."""
    structures = [generic(seed, ["Ta", "W", "B", "B"]) for seed in range(count)]
    structures[3] = structures[0].copy()
    near = generic(50, ["Ta", "W", "B", "B"])
    structures.append(Structure(near.lattice, near.species, [[0, 0, 0], [0, 0, 0.02], *near.frac_coords[2:]]))
    structures.append(Structure(Lattice.cubic(4), ["Ta", "W", "B", "B"], [[0, 0, 0], [0, 0, 0.2], [0.5, 0.5, 0.5], [0.5, 0.5, 0.8]]))
    ladders = ["fine"] * 3 + ["coarse"] * (len(structures) - 3)
    asked = {"asked_space_group": pd.array([1] * len(structures), dtype="Int16"), "asked_formation_energy_per_atom": -0.5}
    return from_structures(structures, "flow", composition="Ta1W1B2", row="flow", ladder=ladders, **asked)


def found_candidates() -> pd.DataFrame:
    """Three phases of Ta1W1B6, two of them below the hull, one of which both experiments found; and a baseline's."""
    structures = [generic(seed, ["Ta", "W", *["B"] * 6]) for seed in (0, 1, 2, 1, 3)]
    return from_structures(
        structures,
        "s",
        composition="Ta1W1B6",
        row=["flow", "flow", "flow", "flow", "template"],
        ladder=["fine", "fine", "fine", "from below", "none"],
        phase=[1, 2, 3, 2, 4],
        e_above_hull=[-0.0123, -0.002, 0.05, -0.001, 0.07],
        generated_e_above_hull=0.2,
        formation_energy_per_atom=-0.3,
        energy_source=SOURCE,
        asked_formation_energy_per_atom=-0.4,
        asked_space_group=1,
        generated_space_group=1,
        relaxation="converged",
        relaxation_steps=10,
        geometry="relaxed",
        known_id=[None, "lib-3", None, "lib-3", None],
        new=[True, False, True, False, True],
    )
