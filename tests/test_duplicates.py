"""Duplicates: other descriptions of one crystal are one group, other crystals and other energies stay."""

import numpy as np
from conftest import caesium_chloride, rocksalt, wurtzite
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystalgen.crystals import from_structures, to_structures
from crystalgen.matching import novelty
from crystalgen.matching.match import reduce_table


def group_duplicates(structures: list[Structure], energies: np.ndarray, window: float = novelty.ENERGY_WINDOW) -> np.ndarray:
    return novelty.group_duplicates(reduce_table(from_structures(structures, "s"), workers=1), energies, window)


def _copies(structure: Structure, seed: int) -> list[Structure]:
    """Other descriptions of the same crystal: a supercell, another cell, permuted sites, a shifted origin, a breath larger."""
    generator = np.random.default_rng(seed)
    doubled, sheared, larger = structure.copy(), structure.copy(), structure.copy()
    doubled.make_supercell([1, 2, 1])
    sheared.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    larger.scale_lattice(1.08 * structure.volume)
    order = generator.permutation(len(structure))
    permuted = Structure.from_sites([structure[i] for i in order])
    shifted = Structure(structure.lattice, structure.species, structure.frac_coords + generator.random(3))
    return [doubled, sheared, larger, permuted, shifted]


def test_copies_are_one_crystal_and_others_stay():
    originals = [caesium_chloride(3.0, "Ti", "Ni"), rocksalt(4.8, "Ti", "Ni").get_primitive_structure(), wurtzite(4.0, "Ti", "Ni")]
    structures = [s for seed, original in enumerate(originals) for s in (original, *_copies(original, seed))]
    energies = np.repeat([-1.0, -0.98, -0.96], 6) + np.tile(np.linspace(0, 0.01, 6), 3)
    np.testing.assert_array_equal(group_duplicates(structures, energies), np.repeat([0, 6, 12], 6))


def test_alike_at_another_energy_is_another_start():
    structures = [caesium_chloride(3.0, "Ti", "Ni")] * 3
    assert group_duplicates(structures, np.array([0.25, 0.0, 0.05])).tolist() == [0, 1, 1]
    assert group_duplicates(structures, np.array([0.25, 0.0, 0.05]), np.inf).tolist() == [1, 1, 1]
    assert group_duplicates(structures, np.array([np.nan, 0.0, np.nan])).tolist() == [0, 1, 2], "without an energy there is no verdict"


def test_the_short_cuts_lose_nothing(library):
    """As comparing each with each: on rattled and strained copies of one formula's polymorphs."""
    structures = []
    for parent in to_structures(library[library["formula"] == "Ta1B5W2"].head(12)):
        for strain in ([0, 0, 0], [0.14, -0.06, 0.0], [-0.08, 0.0, 0.15]):
            structures.append(parent.copy().apply_strain(strain).perturb(0.1))
    energies, matcher, lowest = np.linspace(0, 0.05, len(structures)), StructureMatcher(), []
    expected = []
    for i, structure in enumerate(structures):
        expected.append(next((j for j in lowest if matcher.fit(structure, structures[j])), i))
        lowest += [i] if expected[-1] == i else []
    assert len(lowest) < len(structures) - 6, "copies are found at all"
    assert set(group_duplicates(structures, energies)) == set(lowest), "the same crystals start a group"
