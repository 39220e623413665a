"""Extended XYZ as people have it: every frame, species as other formats have them, and a reason for what is no crystal."""

import io

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal as ase_crystal

from crystalgen.crystals.reading import read_text

HEAD = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3'
SITES = "Cs 0 0 0\nCl 2 2 2\n"


def frame(head=f'{HEAD} pbc="T T T"', sites=SITES, count=2) -> str:
    return f"{count}\n{head}\n{sites}"


def read(text):
    found = read_text(text, "extxyz")
    assert all((one.structure is None) == (one.reason is not None) for one in found)
    return found


SAME = {
    "plain": frame(),
    "no pbc": frame(HEAD),
    "pbc as one": frame(f"{HEAD} pbc=T"),
    "pbc as a list": frame(f"{HEAD} pbc=[True, True, True]"),
    "no Properties": frame('Lattice="4 0 0 0 4 0 0 0 4"'),
    "Lattice in braces": frame("Lattice={4 0 0 0 4 0 0 0 4} Properties=species:S:1:pos:R:3"),
    "Lattice as rows": frame("Lattice=[[4, 0, 0], [0, 4, 0], [0, 0, 4]] Properties=species:S:1:pos:R:3"),
    "a stress of six numbers": frame(f'stress="1 2 3 4 5 6" {HEAD}'),
    "another text that names one": frame(f'old="Lattice=x pbc=F" {HEAD}'),
    "further columns": frame('Lattice="4 0 0 0 4 0 0 0 4" Properties=tag:I:1:pos:R:3:species:S:1:forces:R:3',
                             "1 0 0 0 Cs 1 2 3\n2 2 2 2 Cl 1 2 3\n"),
    "atomic numbers": frame('Lattice="4 0 0 0 4 0 0 0 4" Properties=Z:I:1:pos:R:3', "55 0 0 0\n17 2 2 2\n"),
    "charges": frame(sites="Cs+ 0 0 0\nCl1- 2 2 2\n"),
    "vectors at the end": frame("no cell", SITES + "VEC1 4 0 0\nVEC2 0 4 0\nVEC3 0 0 4\n"),
    "mark": "\ufeff" + frame(),
    "blank lines": "\n\n" + frame() + "\n\n",
    "full occupancies": frame(f"{HEAD} occupancy=\"_JSON {{\\\"0\\\": {{\\\"Cs\\\": 1.0}}}}\""),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAME)
def test_every_way_to_write_it_is_the_same_crystal(kind):
    (found,) = read(SAME[kind])
    assert found.reason is None and found.name == ""
    assert found.structure.formula == "Cs1 Cl1"
    np.testing.assert_allclose(found.structure.lattice.parameters, [4, 4, 4, 90, 90, 90])
    assert found.structure.get_distance(0, 1) == pytest.approx(2 * 3**0.5)


def test_vectors_are_rows():
    (found,) = read(frame('Lattice="4 0 0 1 4 0 2 3 5" Properties=species:S:1:pos:R:3'))
    np.testing.assert_allclose(found.structure.lattice.matrix, [[4, 0, 0], [1, 4, 0], [2, 3, 5]])
    theirs = ase.io.read(io.StringIO(frame('Lattice="4 0 0 1 4 0 2 3 5" Properties=species:S:1:pos:R:3')), format="extxyz")
    np.testing.assert_allclose(found.structure.frac_coords, theirs.get_scaled_positions(wrap=False))


REFUSED = {
    "no cell": (frame("plain"), "no cell: expected an entry Lattice="),
    "no periodic direction": (frame(f'{HEAD} pbc="F F F"'), "periodic in no direction, expected three"),
    "a wire": (frame(f'{HEAD} pbc="F F T"'), "periodic in one direction, expected three"),
    "a slab": (frame(f'{HEAD} pbc="T T F"'), "periodic in two directions, expected three"),
    "three lengths": (frame('Lattice="4 4 4"'), "Lattice has 3 numbers, expected 9"),
    "a lattice of words": (frame('Lattice="a b c d e f g h i"'), "expected a number, got 'a'"),
    "no volume": (frame('Lattice="4 0 0 0 4 0 0 4 0"'), "volume is not above"),
    "no element": (frame(sites="Cs 0 0 0\nXx 2 2 2\n"), "unknown element 'Xx'"),
    "a vacancy": (frame(sites="Cs 0 0 0\nX 2 2 2\n"), "unknown element 'X'"),
    "an unknown number": (frame('Lattice="4 0 0 0 4 0 0 0 4" Properties=Z:I:1:pos:R:3', "0 0 0 0\n999 2 2 2\n"), ""),
    "NaN": (frame(sites="Cs 0 0 0\nCl nan 2 2\n"), "expected a number, got 'nan'"),
    "too few atoms": (frame(count=3), "3 atoms by its first line and 2 lines"),
    "too few columns": (frame(sites="Cs 0 0 0\nCl 2 2\n"), "atom 2: 3 columns, expected 4"),
    "no positions": (frame('Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:scaled:R:3'), "expected species and pos:R:3"),
    "partial occupancies": (frame(f'{HEAD} occupancy="_JSON {{0: {{Cs: 0.5, Rb: 0.5}}}}"'), "partial occupancies"),
    "no atoms": ("0\n" + HEAD + "\n", "0 atoms"),
    "no count": ("two\n" + HEAD + "\n" + SITES, "expected the number of atoms, got 'two'"),
    "empty": ("", "an empty file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_none_has_its_own_reason(kind):
    text, reason = REFUSED[kind]
    found = read(text)[0]
    assert found.structure is None and reason in found.reason


def test_deuterium_is_hydrogen_and_noted():
    (found,) = read(frame(sites="Li 0 0 0\nD 2 2 2\n"))
    assert found.structure.formula == "Li1 H1" and found.notes == ("deuterium or tritium read as hydrogen",)


def test_every_frame_is_read_and_named_and_a_broken_one_does_not_end_the_others():
    found = read(frame() + frame("plain") + "\n" + frame(sites="Na 0 0 0\nCl 2 2 2\n"))
    assert [one.name for one in found] == ["0", "1", "2"]
    assert [one.structure.formula if one.structure else None for one in found] == ["Cs1 Cl1", None, "Na1 Cl1"]


@pytest.mark.parametrize("tail", ["no number\n" + SITES, "-5\n", "1e9\n", "999999999\n", "9" * 4000 + "\n"])
def test_after_a_line_that_is_no_count_nothing_is_read(tail):
    found = read(frame() + tail)
    assert [one.structure is not None for one in found] == [True, False]


def test_what_ase_writes_is_read_with_its_results():
    atoms = ase_crystal(("Na", "Cl"), [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[5.6, 5.6, 5.6, 90, 90, 90])
    atoms.new_array("forces", np.ones((8, 3)))
    atoms.info |= {"energy": -1.0, "comment": "a = b, 'c'"}
    stream = io.StringIO()
    ase.io.write(stream, [atoms, Atoms("Cu", cell=np.eye(3) * 3, pbc=True)], format="extxyz")
    found = read(stream.getvalue())
    assert [one.structure.formula for one in found] == ["Na4 Cl4", "Cu1"]
    assert found[0].structure.get_space_group_info()[1] == 225
