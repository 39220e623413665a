"""MatterGen's matching: elements that may replace each other count as one, others never do."""

import numpy as np
import pytest
from conftest import rocksalt
from pymatgen.core import Element, Lattice, Structure

from crystalgen.crystals import from_structures
from crystalgen.matching.disordered import disordered_verdicts, replaceable_groups, share_sites
from crystalgen.matching.match import reduce_table
from crystalgen.matching.novelty import nearest_target

SITES = np.array([[x / 2, y, z] for x in (0, 1) for y, z in ((0, 0), (0.5, 0.5))] + [[x / 2 + 0.25, y, z] for x in (0, 1) for y, z in
                  ((0.5, 0), (0, 0.5))])  # fmt: skip


def arranged(one: str, other: str, order: str) -> Structure:
    """Two cubic cells of a face-centred lattice, with elements as the order has 0 and 1."""
    return Structure(Lattice.orthorhombic(7.2, 3.6, 3.6), [one if place == "0" else other for place in order], SITES)


def test_elements_of_like_radius_and_electronegativity_replace_each_other():
    groups = replaceable_groups([Element(symbol) for symbol in ("Fe", "Ni", "Co", "O", "Cs")])
    assert [{element.symbol for element in group} for group in groups] == [{"Fe", "Ni", "Co"}]
    assert replaceable_groups([Element("Na"), Element("Cl")]) == []
    shared = share_sites(arranged("Fe", "Ni", "00000011"))
    assert shared.composition.get_el_amt_dict() == pytest.approx({"Fe": 6, "Ni": 2})
    assert all(site.species.get_el_amt_dict() == pytest.approx({"Fe": 0.75, "Ni": 0.25}) for site in shared)


def test_permuted_exchangeable_elements_are_new_by_order_alone():
    known = from_structures([arranged("Fe", "Ni", "01010101"), rocksalt(5.64)], "known")
    alloys = from_structures([arranged("Fe", "Ni", order) for order in ("00110101", "00111001")], "sample")
    assert not nearest_target(reduce_table(alloys, 1), reduce_table(known, 1), workers=1)["matched"].any()
    found = disordered_verdicts(alloys, known, workers=1)
    assert found["novel"].tolist() == [False, False] and found["unique"].tolist() == [True, False]
    assert (found["reason"] == "").all()
    salts = from_structures([arranged("Na", "Cl", order) for order in ("00110101", "00111001")], "salt")
    assert disordered_verdicts(salts, known, workers=1)[["unique", "novel"]].all().all()
