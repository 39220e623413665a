"""Building the library: no crystal twice, energies against its own elements and hull, shards that resume."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, rocksalt, wurtzite
from pymatgen.core import Lattice, Structure

from crystalgen.crystals import from_columns, from_structures
from crystalgen.library import build

# Duplicates


def test_a_crystal_that_comes_twice_is_kept_once_and_polymorphs_are_kept():
    doubled = caesium_chloride(3.0, "Ti", "Ni")
    doubled.make_supercell([2, 1, 1])
    sheared = caesium_chloride(3.0, "Ti", "Ni")
    sheared.make_supercell([[1, 1, 0], [1, -1, 0], [0, 0, 1]])
    rocksalt_cell = rocksalt(4.8, "Ti", "Ni").get_primitive_structure()
    layered = Structure(
        Lattice.tetragonal(3.0, 6.0), ["Ti", "Ti", "Ni", "Ni"], [[0, 0, 0], [0.5, 0.5, 0.25], [0, 0, 0.5], [0.5, 0.5, 0.75]]
    )
    structures = [caesium_chloride(3.05, "Ti", "Ni"), caesium_chloride(3.0, "Ti", "Ni"), rocksalt_cell, doubled, sheared, layered]
    table = from_structures(structures, "s", energy_per_atom=[0.002, 0.0, 0.3, 0.001, 0.0, 0.1])
    kept = build.drop_duplicates(table, "energy_per_atom", workers=1)
    assert set(kept["id"]) == {"s-1", "s-2", "s-4", "s-5"}, "doubled and sheared are one crystal of one full formula"


def test_a_window_leaves_crystals_of_other_energies_alone():
    table = from_structures([caesium_chloride(3.0, "Ti", "Ni")] * 2, "s", energy_per_atom=[0.0, 0.015])
    assert len(build.drop_duplicates(table, "energy_per_atom", workers=1, window=0.01)) == 2
    assert build.drop_duplicates(table, "energy_per_atom", workers=1)["energy_per_atom"].tolist() == [0.0]


def test_dropping_duplicates_does_not_depend_on_the_order_of_rows(crystals):
    table = crystals.assign(energy_per_atom=np.linspace(0, 0.001, len(crystals)))
    twice = pd.concat([table, table.assign(id="copy of " + table["id"])], ignore_index=True)
    first = build.drop_duplicates(twice, "energy_per_atom", workers=1)
    second = build.drop_duplicates(twice.sample(frac=1, random_state=1), "energy_per_atom", workers=2)
    assert first["id"].tolist() == second["id"].tolist()
    assert len(first) <= len(table)


# Energies


@pytest.fixture
def titanium_nickel() -> pd.DataFrame:
    """Two Ti, one Ni, two TiNi, one Ti3Ni; on the hull are elements and the lower TiNi, 1 eV/atom below them."""
    cells = [([22], -8.0), ([22, 22], -7.9), ([28], -5.5), ([22, 28], -7.75), ([22, 28], -7.55), ([22, 22, 22, 28], -7.675)]
    numbers = [np.array(z) for z, _ in cells]
    coords = [np.linspace(0, 0.9, len(z))[:, None].repeat(3, axis=1) for z in numbers]
    return from_columns([np.eye(3) * 6] * 6, numbers, coords, "s", energy_per_atom=[e for _, e in cells])


def test_formation_energies_are_against_the_lowest_of_each_element(titanium_nickel):
    np.testing.assert_allclose(build.formation_energies(titanium_nickel), [0, 0.1, 0, -1.0, -0.8, -0.3], atol=1e-12)


def test_a_compound_of_an_element_that_is_missing_has_no_formation_energy(titanium_nickel):
    energies = build.formation_energies(titanium_nickel.drop(index=2).reset_index(drop=True))
    np.testing.assert_array_equal(np.isnan(energies), [False, False, True, True, True])


def test_energies_above_the_hull_of_a_known_hull(titanium_nickel):
    table = titanium_nickel.assign(formation_energy_per_atom=build.formation_energies(titanium_nickel))
    np.testing.assert_allclose(build.energies_above_hull(table), [0, 0.1, 0, 0, 0.2, 0.2], atol=1e-9)


def test_the_hull_of_a_ternary_system_knows_its_binaries(titanium_nickel):
    """TiNiAl at -0.5 lies above the mix of TiNi (-1) and Al: 2/3 of -1."""
    extra = from_columns([np.eye(3) * 6] * 2, [[13], [22, 28, 13]], [np.zeros((1, 3)), np.eye(3) * 0.5], "x")
    table = pd.concat([titanium_nickel.assign(formation_energy_per_atom=[0, 0.1, 0, -1, -0.8, -0.3]), extra], ignore_index=True)
    table.loc[6:, "formation_energy_per_atom"] = [0.0, -0.5]
    assert build.energies_above_hull(table)[7] == pytest.approx(2 / 3 - 0.5)


def test_implausible_crystals_are_dropped_before_they_bend_the_hull():
    structures = [
        Structure(Lattice.cubic(3.0), ["Ti"], [[0, 0, 0]]),
        Structure(Lattice.cubic(2.5), ["Ni"], [[0, 0, 0]]),
        caesium_chloride(3.0, "Ti", "Ni"),
        caesium_chloride(1.0, "Ti", "Ni"),
        wurtzite(4.0, "Ti", "Ni"),
    ]
    table = from_structures(structures, "s", energy_per_atom=[-8.0, -5.5, -7.0, -7.0, -90.0])
    assert build.drop_implausible(table)["id"].tolist() == ["s-0", "s-1", "s-2"]


def test_elements_are_relaxed_first_then_the_lowest(titanium_nickel, recipe):
    """TiNi at 0.2 eV/atom above the hull is neither near it nor the lowest of its formula; Ti3Ni is the latter."""
    settings = recipe.relaxation.model_copy(update={"lowest_of_each_formula": 1, "hull_window": 0.15})
    chosen = build.choose_for_relaxation(titanium_nickel, recipe.model_copy(update={"relaxation": settings}))
    assert chosen["id"].tolist() == ["s-0", "s-2", "s-1", "s-3", "s-5"]


# Shards


def _mark(table: pd.DataFrame, recipe) -> pd.DataFrame:
    """Adds a column; fails where a crystal is called `poison`."""
    if (table["id"] == "poison").any():
        raise RuntimeError("killed")
    return table.assign(marked=True)


def test_a_killed_build_goes_on_where_it_stopped(crystals, tmp_path, recipe):
    poisoned = crystals.copy()
    poisoned.loc[35, "id"] = "poison"
    with pytest.raises(RuntimeError, match="killed"):
        build._in_shards(poisoned, tmp_path, 10, 1, _mark, recipe)
    finished = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.parquet")}
    assert len(finished) == 3
    table = build._in_shards(crystals, tmp_path, 10, 1, _mark, recipe)
    assert table["id"].tolist() == crystals["id"].tolist()
    assert table["marked"].all()
    assert {p: p.stat().st_mtime_ns for p in finished} == finished, "finished shards are read, not redone"


def _drop_all(table: pd.DataFrame, recipe) -> pd.DataFrame:
    return table if "0:rocksalt TaW" in set(table["id"]) else table.head(0)


def test_a_shard_that_loses_all_its_crystals_does_not_end_the_build(crystals, tmp_path, recipe):
    """A shard without one volume minimum writes a table without rows."""
    table = build._in_shards(crystals, tmp_path, 30, 1, _drop_all, recipe)
    assert table["id"].tolist() == crystals["id"].tolist()[:30]
