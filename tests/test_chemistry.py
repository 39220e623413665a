"""Constants of chemistry: elements, periodic table, space groups."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, generic, rocksalt, wurtzite
from pymatgen.core import Element

from crystalgen.chemistry import elements, periodic_table
from crystalgen.chemistry.spacegroups import MAX_OPERATIONS, find_space_groups, symmetry_operations
from crystalgen.crystals import from_columns, from_structures

# Elements


def test_every_element_has_22_finite_properties():
    table, imputed = elements.property_table()
    assert table.shape == imputed.shape == (103, 22)
    assert table.index.tolist() == list(range(1, 104))
    assert np.isfinite(table.to_numpy()).all()
    assert len(set(elements.PROPERTIES)) == 22


def test_properties_are_standardised_and_no_atom_is_zero():
    scaled = elements.standardised_properties()
    assert scaled.shape == (104, 22)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled[0], 0)
    np.testing.assert_allclose(scaled[1:].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[1:].std(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("symbol", "name", "value"),
    [
        ("Fe", "en_pauling", 1.83),
        ("C", "group_id", 14),
        ("W", "period", 6),
        ("W", "atomic_number", 74),
        ("Cl", "atomic_weight", 35.45),
        ("Na", "covalent_radius_cordero", 166),
        ("Ce", "group_id", 3),
        ("U", "group_id", 3),
    ],
)
def test_known_properties(symbol, name, value):
    table, imputed = elements.property_table()
    z = Element(symbol).Z
    assert table.loc[z, name] == pytest.approx(value, rel=0.005)
    assert not imputed.loc[z, name]


def test_helium_has_no_pauling_electronegativity_and_gets_its_groups_mean():
    table, imputed = elements.property_table()
    noble = [z for z in range(1, 104) if Element.from_Z(z).group == 18]
    measured = [z for z in noble if not imputed.loc[z, "en_pauling"]]
    assert imputed.loc[2, "en_pauling"]
    assert 0 < len(measured) < len(noble)
    assert table.loc[2, "en_pauling"] == pytest.approx(table.loc[measured, "en_pauling"].mean())


def test_measured_properties_are_most_of_all():
    assert elements.property_table()[1].to_numpy().mean() < 0.1


# Periodic table


def test_every_element_has_a_place_of_its_own():
    places = periodic_table.positions()
    assert places.shape == (104, 2)
    assert len({tuple(p) for p in places[1:]}) == 103
    assert (places[1:] >= 0).all()
    assert (places[1:] < [periodic_table.PERIODS, periodic_table.GROUPS]).all()
    assert (places[0] == -1).all()


@pytest.mark.parametrize(
    ("symbol", "row", "column"),
    [("H", 1, 1), ("He", 1, 18), ("Fe", 4, 8), ("Ta", 6, 5), ("La", 8, 3), ("Lu", 8, 17), ("Ac", 9, 3), ("U", 9, 6), ("Hf", 6, 4)],
)
def test_known_places(symbol, row, column):
    assert (periodic_table.positions()[Element(symbol).Z] + 1).tolist() == [row, column]


@pytest.mark.parametrize(
    ("symbols", "rows", "columns"),
    [(["C"], [2], [14]), (["Ta", "W", "B"], [2, 6], [5, 6, 13]), (["La", "U"], [8, 9], [3, 6]), (["Na", "Cl", "Na"], [3], [1, 17])],
)
def test_the_block_is_the_smallest_that_holds_the_elements(symbols, rows, columns):
    found = periodic_table.block([Element(s).Z for s in symbols])
    assert [(f + 1).tolist() for f in found] == [rows, columns]


# Space groups


def _operations(number: int) -> np.ndarray:
    padded = symmetry_operations(number)
    return padded[padded[:, 3, 3] == 1].astype(float)


@pytest.mark.parametrize(("number", "count"), [(1, 1), (2, 2), (14, 4), (194, 24), (221, 48), (225, 192), (227, 192), (229, 96)])
def test_the_number_of_operations(number, count):
    padded = symmetry_operations(number)
    assert padded.shape == (MAX_OPERATIONS, 4, 4)
    assert len(_operations(number)) == count
    assert (padded[count:] == 0).all()


@pytest.mark.parametrize("number", [2, 14, 62, 148, 167, 186, 194, 221, 225])
def test_operations_form_a_group(number):
    """Closed under products modulo lattice translations, with the identity, and every one an isometry of order below 7."""

    def key(matrices):
        rounded = np.concatenate([matrices[..., :3, :3].reshape(*matrices.shape[:-2], 9), matrices[..., :3, 3] % 1.0 * 24], axis=-1)
        rounded = np.round(rounded)
        rounded[..., 9:] %= 24
        return {tuple(row) for row in rounded.reshape(-1, 12).astype(int)}

    operations = _operations(number)
    products = np.einsum("aij,bjk->abik", operations, operations)
    assert len(key(operations)) == len(operations)
    assert key(products) == key(operations)
    np.testing.assert_allclose(np.abs(np.linalg.det(operations)), 1, atol=1e-6)
    assert any(np.array_equal(o, np.eye(4)) for o in operations)


def test_every_space_group_has_operations_of_its_own():
    """Enantiomorphs included: two groups that a network could not tell apart would be one condition."""
    assert len({symmetry_operations(n).tobytes() for n in range(1, 231)}) == 230


@pytest.mark.parametrize("number", [0, 231, -1])
def test_an_unknown_space_group_is_refused(number):
    with pytest.raises(ValueError, match=f"{number}.*1 to 230"):
        symmetry_operations(number)


@pytest.mark.parametrize(
    ("structure", "number"),
    [
        (rocksalt(5.6), 225),
        (rocksalt(5.6).get_primitive_structure(), 225),
        (caesium_chloride(4.1, "Cs", "Cl"), 221),
        (caesium_chloride(3.0, "W", "W"), 229),
        (wurtzite(3.8, "Zn", "S"), 186),
        (generic(1, ["Ta", "W", "B", "B"]), 1),
        (generic(90, ["Ni", "Al", "Al", "Ti"], left_handed=True), 1),
    ],
)
def test_known_space_groups(structure, number):
    found = find_space_groups(from_structures([structure], "s"), symprec=0.05)
    assert found["space_group"].tolist() == [number]
    assert found["symprec"].tolist() == [0.05]


def test_a_crystal_without_a_space_group_is_na_and_the_rest_is_found():
    on_one_place = np.zeros((2, 3))
    cell = np.eye(3) * 4
    table = from_columns([cell, cell], [[55, 55], [55, 17]], [on_one_place, [[0, 0, 0], [0.5, 0.5, 0.5]]], "s")
    found = find_space_groups(table)["space_group"]
    assert pd.isna(found[0])
    assert found[1] == 221
