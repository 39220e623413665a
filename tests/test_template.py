"""Template substitution, the baseline every model faces."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, perovskite, rocksalt, wurtzite

from crystalgen.baselines.template import substitute_templates
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures, to_structures

CHOICES = ["random", "nearest_energy"]


def _table(structures, energies=None, source="training") -> pd.DataFrame:
    energies = np.zeros(len(structures)) if energies is None else np.asarray(energies, dtype=float)
    sources = np.where(np.isnan(energies), None, "made up")
    return find_space_groups(from_structures(structures, source, formation_energy_per_atom=energies, energy_source=sources))


@pytest.fixture
def training():
    return _table(
        [
            rocksalt(5.6, "Na", "Cl").get_primitive_structure(),
            caesium_chloride(4.1, "Cs", "Cl"),
            perovskite(4.0, "Ba", "Ti", "O"),
            wurtzite(3.8, "Zn", "S"),
            caesium_chloride(3.0, "Ni", "Al"),
        ],
        [-2.0, -1.5, -3.0, -0.8, -0.6],
    )


@pytest.mark.parametrize("choice", CHOICES)
def test_a_template_has_the_targets_counts_and_space_group(training, choice):
    targets = _table([caesium_chloride(3.3, "Ti", "Ni"), rocksalt(4.2, "Mg", "O").get_primitive_structure()], [-0.4, -3.0], "targets")
    made = substitute_templates(targets, training, choice)
    assert made["target_id"].tolist() == targets["id"].tolist()
    chosen = training.set_index("id").loc[made["template_id"]]
    assert chosen["space_group"].tolist() == targets["space_group"].tolist() == [221, 225]
    assert made["formula"].tolist() == targets["formula"].tolist()
    assert find_space_groups(made)["space_group"].tolist() == [221, 225]


def test_without_its_space_group_any_template_of_its_counts_is_taken(training):
    target = _table([rocksalt(4.2, "Mg", "O").get_primitive_structure()]).assign(space_group=pd.array([139], dtype="Int16"))
    drawn = {substitute_templates(target, training, seed=s)["template_id"].iloc[0] for s in range(30)}
    assert drawn == {"training-0", "training-1", "training-4"}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_target_without_a_template_gets_no_row(training, choice):
    structures = [perovskite(4, "Sr", "Ti", "O"), rocksalt(5, "Mg", "O"), caesium_chloride(3, "Ti", "Ni")]
    structures[1].remove_sites([0])
    targets = _table(structures, source="targets")
    made = substitute_templates(targets, training, choice)
    assert made["target_id"].tolist() == ["targets-0", "targets-2"]
    assert len(substitute_templates(targets.iloc[[1]], training, choice)) == 0


def test_species_are_swapped_by_count(training):
    made = substitute_templates(_table([perovskite(4, "W", "Ta", "B")]), training)
    before, after = to_structures(training.iloc[[2]])[0], to_structures(made)[0]
    np.testing.assert_allclose(after.frac_coords, before.frac_coords)
    assert [z for z, old in zip(after.atomic_numbers, before.atomic_numbers, strict=True) if old == 8] == [5, 5, 5]
    # Ta (1.50) is less electronegative than W (2.36), as Ba (0.89) is than Ti (1.54).
    assert dict(zip(before.symbol_set, before.symbol_set, strict=True)).keys() == {"Ba", "Ti", "O"}
    assert {a.symbol: b.symbol for a, b in zip(before.species, after.species, strict=True)} == {"Ba": "Ta", "Ti": "W", "O": "B"}


def test_species_of_equal_count_are_swapped_in_order_of_electronegativity():
    training = _table([wurtzite(3.8, "S", "Zn")])
    made = substitute_templates(_table([wurtzite(4, "Ga", "N")]), training)
    before, after = to_structures(training)[0], to_structures(made)[0]
    assert {a.symbol: b.symbol for a, b in zip(before.species, after.species, strict=True)} == {"S": "N", "Zn": "Ga"}


def test_the_volume_is_the_templates_times_the_ratio_of_atomic_volumes():
    """Training volumes are sums of atomic ones, so that those are known: Cs 30, Cl 20, Na 12, Br 25 Å^3."""
    volumes = {"Cs": 30.0, "Cl": 20.0, "Na": 12.0, "Br": 25.0}
    training = _table([caesium_chloride((volumes[a] + volumes[b]) ** (1 / 3), a, b) for a, b in (("Cs", "Cl"), ("Na", "Cl"), ("Cs", "Br"))])
    targets = _table([caesium_chloride(9.0, "Na", "Br")])
    for seed in range(5):
        (made,) = to_structures(substitute_templates(targets, training, seed=seed))
        assert made.volume == pytest.approx(37.0, rel=1e-6)


def test_an_element_that_training_lacks_has_the_mean_atomic_volume():
    training = _table([caesium_chloride(4.0, "Cs", "Cl")] * 3)
    (made,) = to_structures(substitute_templates(_table([caesium_chloride(9, "Ta", "W")]), training))
    assert made.volume == pytest.approx(64.0)


@pytest.fixture
def polymorphs():
    return _table([caesium_chloride(4.0 + 0.1 * i, "Cs", "Cl") for i in range(5)], [-1.0, -0.5, 0.0, 0.5, 1.0])


@pytest.mark.parametrize(("energy", "expected"), [(-3.0, 0), (-0.74, 1), (0.1, 2), (0.6, 3), (9.0, 4)])
def test_nearest_energy_takes_the_nearest(polymorphs, energy, expected):
    target = _table([caesium_chloride(4, "Na", "Cl")], [energy])
    assert substitute_templates(target, polymorphs, "nearest_energy")["template_id"].tolist() == [f"training-{expected}"]


def test_nearest_energy_passes_over_crystals_without_an_energy(polymorphs):
    polymorphs.loc[[0, 3], ["formation_energy_per_atom", "energy_source"]] = [np.nan, None]
    target = _table([caesium_chloride(4, "Na", "Cl")], [0.9])
    assert substitute_templates(target, polymorphs, "nearest_energy")["template_id"].tolist() == ["training-4"]


def test_nearest_energy_does_not_hear_the_seed_and_random_does(polymorphs):
    targets = _table([caesium_chloride(4, "Na", "Cl")] * 12, np.linspace(-1, 1, 12))

    def chosen(choice, seed):
        return substitute_templates(targets, polymorphs, choice, seed)["template_id"].tolist()

    assert chosen("nearest_energy", 0) == chosen("nearest_energy", 1)
    assert chosen("random", 0) == chosen("random", 0)
    assert chosen("random", 0) != chosen("random", 1)
    assert len(set(chosen("random", 0))) > 2


@pytest.mark.parametrize("choice", CHOICES)
def test_templates_are_training_crystals_alone(crystals, choice):
    split = np.resize(["train", "val", "test"], len(crystals))
    table = crystals.assign(split=split, formation_energy_per_atom=0.1, energy_source="made up")
    training, targets = table[table["split"] == "train"], table[table["split"] == "test"]
    made = substitute_templates(targets, training, choice)
    assert len(made) > 10
    assert set(made["template_id"]) <= set(training["id"])
    assert made["formula"].tolist() == targets.set_index("id").loc[made["target_id"], "formula"].tolist()


def test_the_nearest_composition_is_copied_whatever_its_space_group():
    """SrTiO3's nearest relative is BaTiO3 and not LaAlO3; asked for again, the next one comes."""
    training = _table([perovskite(3.8, "La", "Al", "O"), perovskite(4.0, "Ba", "Ti", "O"), rocksalt(4.2, "Mg", "O")])
    target = _table([perovskite(3.9, "Sr", "Ti", "O")]).assign(space_group=1)
    targets = pd.concat([target.assign(id=str(i)) for i in range(3)], ignore_index=True)
    made = substitute_templates(targets, training, "nearest_composition")
    formulas = training.set_index("id").loc[made["template_id"], "reduced_formula"].tolist()
    assert formulas == ["BaTiO3", "LaAlO3", "BaTiO3"]
    assert made["reduced_formula"].tolist() == ["SrTiO3"] * 3
