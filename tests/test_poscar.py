"""POSCARs as people have them: read as VASP reads them, or refused with a reason; elements are never invented."""

import random
import re

import numpy as np
import pytest
from conftest import caesium_chloride, generic, rocksalt

from crystalgen.crystals.reading import read_text

CUBE = "1.0 0.0 0.0\n0.0 1.0 0.0\n0.0 0.0 1.0\n"
SITES = "0.0 0.0 0.0\n0.5 0.5 0.5\n"


def poscar(comment="title", scale="4.0", vectors=CUBE, symbols="Cs Cl\n", counts="1 1\n", mode="Direct\n", sites=SITES) -> str:
    return f"{comment}\n{scale}\n{vectors}{symbols}{counts}{mode}{sites}"


def read(text: str):
    (found,) = read_text(text, "poscar")
    assert (found.structure is None) == (found.reason is not None)
    return found


SAME = {
    "plain": poscar(),
    "negative scale": poscar(scale="-64.0"),
    "negative scale, Cartesian": poscar(scale="-64.0", mode="Cartesian\n"),
    "Cartesian": poscar(mode="cartesian\n"),
    "Cartesian, k": poscar(mode="K\n"),
    "unscaled, Cartesian": poscar(scale="1.0", vectors=CUBE.replace("1.0", "4.0"), mode="C\n", sites="0 0 0\n2 2 2\n"),
    "negative scale of other vectors": poscar(scale="-64", vectors=CUBE.replace("1.0", "0.2"), mode="C\n", sites="0 0 0\n0.1 0.1 0.1\n"),
    "selective": poscar(mode="Selective dynamics\nDirect\n", sites="0 0 0 T T F\n0.5 0.5 0.5 F F F\n"),
    "flags without the line": poscar(sites="0 0 0 T T F\n0.5 0.5 0.5 F F F\n"),
    "labelled": poscar(sites="0 0 0 Cs\n0.5 0.5 0.5 Cl\n"),
    "labelled and selective": poscar(mode="S\nDirect\n", sites="0 0 0 T T F Cs+\n0.5 0.5 0.5 F F F Cl-\n"),
    "potentials": poscar(symbols="Cs_sv Cl_h\n"),
    "potentials with digests": poscar(symbols="Cs_sv/f474ac0d Cl/79d9987ad87\n"),
    "charges": poscar(symbols="Cs+ Cl1-\n"),
    "comments": poscar(scale="4.0 ! a", symbols="Cs Cl ! two\n", counts="1 1 # one each\n"),
    "Fortran": poscar(scale="0.4D+01", sites="0.0 0.0 0.0\n0.5d0 0.5d0 5.0E-1\n"),
    "no space before a minus": poscar(sites="0.0 0.0 0.0\n0.5-0.5-0.5\n"),
    "velocities": poscar(sites=SITES + "\n0.1 0.2 0.3\n0.1 0.2 0.3\n"),
    "a lattice that moves": poscar(sites=SITES + "Lattice velocities and vectors\n1\n0 0 0\n0 0 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n"),
    "Windows": poscar().replace("\n", "\r\n"),
    "no comment": poscar(comment=""),
    "no element of a count of 0": poscar(symbols="H Cs Cl\n", counts="0 1 1\n"),
    "wrapped": poscar(symbols="Cs\nCl\n", counts="1\n1\n"),
    "VASP 4, labelled": poscar(symbols="", sites="0 0 0 Cs\n0.5 0.5 0.5 Cl\n"),
}


@pytest.mark.parametrize("kind", SAME)
def test_every_way_to_write_it_is_the_same_crystal(kind):
    found = read(SAME[kind])
    assert found.reason is None and not found.notes
    assert found.structure.formula == "Cs1 Cl1"
    np.testing.assert_allclose(found.structure.lattice.parameters, [4, 4, 4, 90, 90, 90])
    assert found.structure.get_distance(0, 1) == pytest.approx(2 * 3**0.5)


NOTED = {
    "upper case": (poscar(symbols="CS CL\n"), "Cs1 Cl1", "CS read as Cs"),
    "elements in the comment": (poscar(comment="Cs Cl", symbols=""), "Cs1 Cl1", "elements from the comment line"),
    "formula in the comment": (poscar(comment="Cs1 Cl1", symbols=""), "Cs1 Cl1", "elements from the comment line"),
    "deuterium": (poscar(symbols="Li D\n"), "Li1 H1", "deuterium or tritium read as hydrogen"),
}


@pytest.mark.parametrize("kind", NOTED)
def test_what_took_a_change_is_noted(kind):
    text, formula, note = NOTED[kind]
    found = read(text)
    assert found.structure.formula == formula and note in found.notes


REFUSED = {
    "no symbols": (poscar(symbols=""), "elements are named nowhere"),
    "no symbols, a comment of words": (poscar(comment="Cs Cl, relaxed", symbols=""), "elements are named nowhere"),
    "no symbols, a comment of fewer elements": (poscar(comment="Cs", symbols=""), "elements are named nowhere"),
    "no symbols, a comment of other counts": (poscar(comment="Cs2 Cl1", symbols=""), "elements are named nowhere"),
    "no symbols, flags": (poscar(symbols="", sites="0 0 0 T T T\n0.5 0.5 0.5 F F F\n"), "elements are named nowhere"),
    "no symbols, selective": (poscar(symbols="", mode="S\nD\n", sites="0 0 0 T T T\n0.5 0.5 0.5 F F F\n"), "elements are named nowhere"),
    "three scales": (poscar(scale="3.0 3.0 4.0"), "three scale factors"),
    "no scale": (poscar(scale="a"), "expected one scale factor"),
    "scale 0": (poscar(scale="0.0"), "expected one scale factor"),
    "a plane": (poscar(vectors="1 0 0\n0 1 0\n1 1 0\n"), "lie in a plane"),
    "NaN": (poscar(sites="0 0 0\nnan 0 0\n"), "line 10: expected three numbers"),
    "stars": (poscar(sites="0 0 0\n***** 0 0\n"), "line 10: expected three numbers"),
    "no element": (poscar(symbols="Cs Qq\n"), "unknown element 'Qq'"),
    "pseudo-hydrogen": (poscar(symbols="Cs H.5\n"), "unknown element 'H.5'"),
    "fewer counts": (poscar(counts="1\n"), "2 symbols and 1 counts"),
    "more counts": (poscar(symbols="Cs\n"), "1 symbols and 2 counts"),
    "no counts": (poscar(counts="", mode="Direct\n"), "symbols and 0 counts|expected"),
    "half an atom": (poscar(counts="1 0.5\n"), "expected the number of atoms of each element"),
    "more atoms than lines": (poscar(counts="1 2\n"), "3 atoms by the counts and 2 lines"),
    "a count beyond any memory": (poscar(counts="1 99999999\n"), "100000000 atoms by the counts and 2 lines"),
    "fewer atoms than lines": (poscar(sites=SITES + "0.1 0.1 0.1\n"), "further coordinates in line 11"),
    "no mode": (poscar(mode=""), "expected Direct or Cartesian"),
    "another element beside an atom": (poscar(sites="0 0 0 Cl\n0.5 0.5 0.5 Cs\n"), "Cl beside its coordinates, Cs by the line of symbols"),
    "cut": (poscar()[:40], "lines; expected"),
    "empty": ("", "an empty file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_none_has_its_own_reason(kind):
    text, reason = REFUSED[kind]
    found = read(text)
    assert found.structure is None
    assert re.search(reason, found.reason), found.reason


def _mutated(text: str, dice: random.Random) -> str:
    """One of: a character, a line or a number that is changed, doubled, moved or lost."""
    lines = text.split("\n")
    place = dice.randrange(len(lines))
    kind = dice.randrange(6)
    if kind == 0:
        at = dice.randrange(len(text))
        return text[:at] + dice.choice("0123456789.-+eDTFCs \n\0é*/_") + text[at + 1 :]
    if kind == 1:
        del lines[place]
    elif kind == 2:
        lines.insert(place, lines[dice.randrange(len(lines))])
    elif kind == 3:
        words = lines[place].split() or [""]
        words[dice.randrange(len(words))] = dice.choice(
            ["nan", "inf", "-1", "0", "1e400", "99999999999", "1_0", "½", "-", "Xx", "T", "1,5"]
        )
        lines[place] = " ".join(words)
    elif kind == 4:
        return text[: dice.randrange(len(text))]
    else:
        other = dice.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    return "\n".join(lines)


def test_mutated_ones_end_as_a_crystal_of_their_symbols_or_a_reason():
    dice = random.Random(0)
    structures = [rocksalt(5.6), caesium_chloride(4.1, "Cs", "Cl"), generic(4, ["Ta", "W", "B"])]
    texts = [structure.to(fmt="poscar") for structure in structures] + [SAME["selective"], SAME["negative scale, Cartesian"]]
    for _ in range(400):
        text = _mutated(dice.choice(texts), dice)
        found = read(text)
        if found.structure is not None:
            named = " ".join(text.split("\n")[:7] + [line[-3:] for line in text.split("\n")[7:]])
            assert all(str(element) in named for element in found.structure.composition), text
            assert np.isfinite(found.structure.frac_coords).all() and 0.1 < found.structure.volume < np.inf
