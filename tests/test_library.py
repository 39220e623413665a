"""The library that is committed: large, of one potential, consistent, no crystal twice."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from conftest import LIBRARY
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalgen.crystals import to_structures
from crystalgen.crystals.plausibility import implausible
from crystalgen.library import build


def test_the_library_is_large_and_of_one_potential(library):
    record = json.loads((LIBRARY.parent / "record.json").read_text())
    assert len(library) == record["counts"]["crystals"] > 19_000
    assert set(library["energy_source"]) == {"7net-l3i5"}
    assert library["formation_energy_per_atom"].notna().all()
    assert library["space_group"].notna().mean() > 0.99


def test_the_librarys_energies_are_consistent(library):
    elements = library[library["atomic_numbers"].map(lambda z: len(set(z.tolist())) == 1)]
    assert elements.groupby("reduced_formula")["formation_energy_per_atom"].min().abs().max() < 1e-9
    assert (library["e_above_hull"] >= 0).all()
    above = library["e_above_hull"] - library.groupby("formula")["e_above_hull"].transform("min")
    relative = library["formation_energy_per_atom"] - library.groupby("formula")["formation_energy_per_atom"].transform("min")
    np.testing.assert_allclose(above, relative, atol=1e-6)
    np.testing.assert_allclose(build.formation_energies(library), library["formation_energy_per_atom"], atol=1e-9)


def _matching_pairs(library: pd.DataFrame, seed: int) -> list[tuple]:
    """Pairs of ten formulas' crystals that StructureMatcher takes for one: formula, ids, difference of energy."""
    sizes = library["formula"].value_counts()
    formulas = sizes[sizes.between(5, 25)].sort_index().sample(10, random_state=seed).index
    matcher, same = StructureMatcher(), []
    for formula in formulas:
        members = library[library["formula"] == formula].sort_values("formation_energy_per_atom")
        rows = zip(members["id"], members["formation_energy_per_atom"], to_structures(members), strict=True)
        for (one, low, a), (other, high, b) in itertools.combinations(rows, 2):
            if matcher.fit(b, a):
                same.append((formula, one, other, high - low))
    return same


@pytest.mark.parametrize("seed", range(3))
def test_no_two_crystals_of_a_formula_and_an_energy_match(library, recipe, seed):
    assert [pair for pair in _matching_pairs(library, seed) if pair[3] <= recipe.duplicate_energy] == []


@pytest.mark.parametrize("seed", range(3))
def test_no_two_crystals_of_a_formula_match(library, seed):
    """What one matcher cannot tell apart is one target with two answers, whatever their energies."""
    assert _matching_pairs(library, seed) == []


def test_the_library_is_that_of_the_recipe(library, recipe):
    numbers = set(np.concatenate(library["atomic_numbers"].to_numpy()).tolist())
    symbols = {str(s.species[0]) for s in to_structures(library[library["nsites"] == 1])}
    assert symbols <= set(recipe.elements)
    assert len(numbers) == len(recipe.elements)
    assert (implausible(library) == "").all()
