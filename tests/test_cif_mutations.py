"""CIFs changed by chance: each is read as what its own formula line says, or refused, and soon."""

import re
import time

import numpy as np
import pytest
from cif_case import ROCKSALT, cif
from conftest import perovskite, rocksalt, wurtzite
from pymatgen.core import Composition
from pymatgen.io.cif import CifWriter

from crystalgen.crystals.cif import read_cif

MUTATIONS = 300
CHARACTERS = list("0123456789.-+()'\"_#;?,/ \n\t{}[]:abcdehxyzABCHOFNT")
NUMBERS = ["0", "-1", "1e9", "999999999999", "1e999", ".", "?", "nan", "0.123456", "1/3", "(3)"]
WURTZITE = "x,y,z", "-y,x-y,z", "-x+y,-x,z", "-x,-y,z+1/2", "y,-x+y,z+1/2", "x-y,x,z+1/2"


def _texts() -> list[str]:
    structures = [rocksalt(5.64), perovskite(4.0, "Sr", "Ti", "O"), wurtzite(3.2, "Zn", "O")]
    return [
        *(str(CifWriter(s)) for s in structures),
        *(str(CifWriter(s, symprec=0.1)) for s in structures),
        cif(ROCKSALT, formula="Na Cl", units=4, volume=179.4, hm="P 1"),
        cif(["Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1"], operations=None, formula="Na Cl", hm="F m -3 m"),
        cif(["C1 C 0.125 0.125 0.125 1"], operations=None, formula="C", units=8, hm="F d -3 m"),
        cif(["Zn1 Zn 0.333 0.667 0 1", "S1 S 0.333 0.667 0.375 1"], (3.8, 3.8, 6.3, 90, 90, 120), WURTZITE, formula="Zn S"),
        cif(["Mg1 0 0 0", "OH1 0.3333 0.6667 0.22", "OH2 0.6667 0.3333 0.78", "H1 0.3333 0.6667 0.42", "H2 0.6667 0.3333 0.58"],
            (3.14, 3.14, 4.77, 90, 90, 120), columns=("label", "fract_x", "fract_y", "fract_z"), formula="H2 Mg O2"),
    ]  # fmt: skip


def _mutated(text: str, generator: np.random.Generator) -> str:
    """Return a text with one character, line or number changed, left out, doubled or moved."""
    lines = text.splitlines(keepends=True)
    place, row, other = (int(generator.integers(n)) for n in (len(text), len(lines), len(lines)))
    kind = generator.integers(7)
    if kind < 3:
        new = ["", str(generator.choice(CHARACTERS)), str(generator.choice(CHARACTERS)) + text[place]][kind]
        return text[:place] + new + text[place + 1 :]
    if kind == 3:
        del lines[row]
    elif kind == 4:
        lines.insert(row, lines[other])
    elif kind == 5:
        lines[row], lines[other] = lines[other], lines[row]
    else:
        number = generator.choice(np.array(list(re.finditer(r"\d+\.?\d*", text)), dtype=object))
        return text[: number.start()] + str(generator.choice(NUMBERS)) + text[number.end() :]
    return "".join(lines)


def _stated(text: str) -> Composition | None:
    match = re.search(r"^_chemical_formula_sum\s+(?:'([^'\n]*)'|\"([^\"\n]*)\"|(\S+))", text, re.MULTILINE)
    try:
        return Composition(next(filter(None, match.groups()))) if match else None
    except (ValueError, StopIteration):
        return None


@pytest.mark.parametrize("text", _texts())
def test_texts_to_mutate_are_sound(text):
    (parsed,) = read_cif(text)
    assert parsed.structure.composition.reduced_formula == _stated(text).reduced_formula


def test_no_mutation_crashes_hangs_or_contradicts_its_formula():
    generator = np.random.default_rng(0)
    texts = _texts()
    accepted = 0
    for trial in range(MUTATIONS):
        text = texts[trial % len(texts)]
        for _ in range(1 + trial % 3):
            text = _mutated(text, generator) or "data_"
        started = time.perf_counter()
        parsed = read_cif(text)
        assert time.perf_counter() - started < 5
        for one in parsed:
            assert (one.structure is None) == bool(one.reason)
            stated = _stated(text)
            if one.structure is not None and len(parsed) == 1 and stated is not None and stated.num_atoms:
                accepted += 1
                assert one.structure.composition.reduced_formula == stated.reduced_formula, text
    assert accepted > MUTATIONS / 5
