"""Energies learnt from crystals, and the choice among candidates by them."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, rocksalt

from crystalgen.crystals import from_columns
from crystalgen.experiments.energy_choice import choose
from crystalgen.generative.settings import MatrixModel
from crystalgen.stability.learned_energy import LearnedEnergies


def turned(structure, size: float, shift: float) -> tuple:
    """The same crystal in another cell of its lattice, at another origin, and larger."""
    other = structure.copy()
    other.translate_sites(range(len(other)), [shift, 0.3, -shift])
    other.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    return other.lattice.matrix * size, np.array(other.atomic_numbers), other.frac_coords


@pytest.fixture(scope="module")
def polymorphs() -> pd.DataFrame:
    """Pairs of elements as rock salt and as caesium chloride, the latter higher by 0.4 eV/atom for all, in many sizes."""
    rows, energies = [], []
    for i, (metal, other) in enumerate((m, o) for m in ("Li", "Na", "K", "Mg", "Ca") for o in ("F", "Cl", "O", "S")):
        salt, chloride = rocksalt(5.0, metal, other).get_primitive_structure(), caesium_chloride(3.1, metal, other)
        for structure, energy in ((salt, -2.0), (chloride, -1.6)):
            rows.append(turned(structure, 1 + 0.01 * i, 0.05 * i))
            energies.append(energy - 0.1 * (other in ("F", "O")))
    table = from_columns(*map(list, zip(*rows, strict=True)), "made", energy_source="made")
    return table.assign(formation_energy_per_atom=energies)


def test_a_crystal_has_one_energy_in_whatever_cell_and_size(polymorphs):
    learnt = LearnedEnergies(polymorphs)
    one, other = (turned(rocksalt(5.0, "Ca", "S"), size, shift) for size, shift in ((1.0, 0.0), (1.2, 0.17)))
    found = learnt.predict(from_columns(*map(list, zip(one, other, strict=True)), "made"))
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_arrangements_are_told_apart_in_a_compound_that_was_not_shown(polymorphs):
    held = polymorphs["formula"].str.match("Ca.*S|S.*Ca")
    found = LearnedEnergies(polymorphs[~held]).predict(polymorphs[held])
    assert held.sum() == 2
    assert found[1] - found[0] > 0.1, "caesium chloride lies 0.4 eV/atom above rock salt"


def test_unknown_elements_and_no_crystals_are_no_error(polymorphs):
    learnt = LearnedEnergies(polymorphs[~polymorphs["formula"].str.contains("K")])
    assert np.isfinite(learnt.predict(polymorphs)).all()
    assert len(learnt.predict(polymorphs.head(0))) == 0


def test_the_choice_is_near_the_energy_and_among_the_frequent_ones():
    energies = np.array([-1.0, -1.01, -0.5, -0.52, -0.72, -1.0, -0.5])
    target = np.array([0, 0, 0, 0, 0, 1, 1])
    seed = np.zeros(7, int)
    assert choose(energies, np.full(7, -1.02), target, seed, 0.1).tolist() == [1, 5]
    assert choose(energies, np.full(7, -0.6), target, seed, 0.1)[0] in (2, 3), "the lone candidate is a little nearer"
    assert choose(energies[5:], np.full(2, -0.5), np.array([1, 1]), np.array([1, 2]), 0.1).tolist() == [0, 1], "seeds are apart"


@pytest.mark.parametrize("changes", [{"per_target": 2}, {"withhold": ["formation_energy_per_atom"]}])
def test_candidates_need_an_energy_and_one_answer(changes):
    sampling = {"sampler": "unmask", "steps": 2, "temperature": 1.0, "candidates": 4}
    model = {"net": "rows_small", "objective": {"name": "masked"}, "training": {"steps": 1, "condition_dropout": 0.5}}
    MatrixModel(**model, sampling={"a": sampling})
    with pytest.raises(ValueError, match="candidates are for one sample a target that is told the energy"):
        MatrixModel(**model, sampling={"a": sampling | changes})
