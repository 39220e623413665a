"""Crystals to structures and files, and back."""

import numpy as np
import pytest
from conftest import generic
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalgen.crystals import (
    CrystalTableError,
    from_structures,
    structure_from_file,
    structure_from_text,
    to_structures,
    write_structure_files,
)
from crystalgen.represent.canonical import canonicalise


def test_structures_come_back_as_they_were(crystals):
    structures = to_structures(crystals)
    back = from_structures(structures, "test", crystals["id"].tolist())
    for column in ("lattice", "atomic_numbers", "frac_coords"):
        for a, b in zip(crystals[column], back[column], strict=True):
            np.testing.assert_array_equal(a, b)
    assert back["formula"].tolist() == crystals["formula"].tolist()
    assert [s.composition.reduced_formula for s in structures] == crystals["reduced_formula"].tolist()


@pytest.mark.parametrize(("format", "digits"), [("cif", 6), ("poscar", 10), ("extxyz", 7)])
def test_structure_files_give_the_crystals_back(crystals, tmp_path, format, digits):
    paths = write_structure_files(crystals, tmp_path, format)
    assert len(set(paths)) == len(crystals)
    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.05, primitive_cell=False, scale=False)
    for path, before in zip(paths, to_structures(crystals), strict=True):
        after = structure_from_file(path)
        assert after.formula == before.formula
        assert matcher.fit(before, after)
        tolerance = 10.0**-digits
        sign = np.sign(np.linalg.det(before.lattice.matrix))  # a left-handed basis is written right-handed, all vectors turned round
        for z, x in zip(before.atomic_numbers, sign * before.frac_coords, strict=True):  # a CIF orders sites by element
            difference = after.frac_coords[np.array(after.atomic_numbers) == z] - x
            assert np.abs(difference - np.round(difference)).max(axis=1).min() < tolerance
        np.testing.assert_allclose(after.lattice.parameters, before.lattice.parameters, atol=20 * tolerance)


@pytest.mark.parametrize("format", ["cif", "poscar", "extxyz"])
def test_a_left_handed_cell_keeps_its_handedness_in_a_file(tmp_path, format):
    """The crystal has no symmetry: with its coordinates on a mirrored basis it would be its mirror image."""
    left = from_structures([generic(3, ["Ta", "W", "B", "Ti", "Ni"], left_handed=True)], "left")
    assert np.linalg.det(left["lattice"].iloc[0]) < 0
    (path,) = write_structure_files(left, tmp_path, format)
    back = from_structures([structure_from_file(path)], "back")
    before, after = canonicalise(left).iloc[0], canonicalise(back).iloc[0]
    np.testing.assert_allclose(after["lattice"], before["lattice"], atol=1e-4)
    np.testing.assert_allclose(after["frac_coords"], before["frac_coords"], atol=1e-4)


def test_each_crystal_gets_a_file_of_its_own(crystals, tmp_path):
    table = crystals.head(3).assign(id=["set/1", "set_1", "1"])
    paths = write_structure_files(table, tmp_path)
    assert len(set(paths)) == 3
    assert [structure_from_file(p).formula for p in paths] == [s.formula for s in to_structures(table)]


def test_a_crystal_with_partial_occupancies_is_named():
    alloy = Structure(Lattice.cubic(3), [{"Ta": 0.5, "W": 0.5}], [[0, 0, 0]])
    with pytest.raises(CrystalTableError, match="'x-0'.*partial occupancies"):
        from_structures([alloy], "x")


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("cif", "no crystal at all"),
        ("cif", "data_x\n_cell_length_a 3\n"),
        ("poscar", "title\n1.0\n3 0 0\n0 3 0\n"),
        ("extxyz", "1\nno lattice\nFe 0 0 0\n"),
        ("extxyz", '2\nLattice="3 0 0 0 3 0 0 0 3" pbc="T T T"\nFe 0 0 0\n'),
        ("extxyz", '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3\nXx 0 0 0\n'),
    ],
)
def test_a_text_that_is_no_crystal_is_one_clear_error(format, text):
    with pytest.raises(CrystalTableError, match=f"some place: not a readable {format} crystal") as error:
        structure_from_text(text, format, "some place")
    assert "\n" not in str(error.value)
