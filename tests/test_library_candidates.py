"""Candidates for the library: superstructures, prototypes and their volumes, complete and distinct."""

import itertools

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalgen.crystals import to_structures


@pytest.fixture(scope="module")
def candidates():
    return pytest.importorskip("crystalgen.library.candidates", reason="icet is not installed (`pip install .[library]`)")


@pytest.mark.parametrize(
    ("lattice", "expected"),
    [
        # fcc: 2, 3 and 12 binary derivative structures of 2, 3 and 4 atoms (Hart and Forcade 2008, table IV), which count a
        # structure and its exchange of species once: 3 -> 3 + 3, 12 = 7 of AB3 and 5 of A2B2 -> 7 + 5 + 7.
        ("fcc", {(1, 1): 2, (1, 2): 3, (2, 1): 3, (1, 3): 7, (3, 1): 7, (2, 2): 5}),
        # bcc has as many at each of these sizes.
        ("bcc", {(1, 1): 2, (1, 2): 3, (2, 1): 3, (1, 3): 7, (3, 1): 7, (2, 2): 5}),
    ],
)
def test_superstructures_are_as_many_as_published(candidates, lattice, expected):
    found = candidates._superstructures(lattice, 4)[2]
    assert {counts: len(members) for counts, members in found.items()} == expected


def test_superstructures_of_a_composition_are_distinct(candidates):
    matcher = StructureMatcher()
    members = [structure for _, structure in candidates._superstructures("fcc", 4)[2][(2, 2)]]
    assert not any(matcher.fit(a, b) for a, b in itertools.combinations(members, 2))


@pytest.fixture(scope="module")
def prototypes(candidates):
    """AFLOW prototypes by label."""
    return {entry["tags"]["aflow"]: entry for entry in candidates.AFLOW_PROTOTYPE_LIBRARY}


@pytest.mark.parametrize(
    ("label", "orders"),
    [
        pytest.param("AB_cF8_225_a_b", 1, id="rocksalt"),
        pytest.param("AB_hP4_186_b_b", 1, id="wurtzite"),
        pytest.param("AB2_cF12_225_a_c", 2, id="fluorite"),
        pytest.param("AB3C_cP5_221_a_c_b", 6, id="perovskite"),
    ],
)
def test_prototypes_have_their_distinct_decorations(candidates, prototypes, label, orders):
    parent = candidates._reduced(prototypes[label]["snl"].structure)
    assert len(candidates._distinct_orders(parent)) == orders


@pytest.fixture(scope="module")
def tiny(candidates, prototypes, recipe):
    """Candidates of Ti and Ni from bcc, fcc, rocksalt and fluorite, and superstructures of up to three atoms."""
    labels = ("A_cI2_229_a", "A_cF4_225_a", "AB_cF8_225_a_b", "AB2_cF12_225_a_c", "AB3C_cP5_221_a_c_b")
    superstructures = recipe.superstructures.model_copy(update={"binary_sites": 3, "ternary_sites": 3, "rich_sites": 3})
    prototype_limits = recipe.prototypes.model_copy(update={"large_systems": []})
    settings = recipe.model_copy(
        update={
            "elements": ["Ti", "Ni"],
            "rich_systems": [],
            "ternary_systems": [],
            "superstructures": superstructures,
            "prototypes": prototype_limits,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "AFLOW_PROTOTYPE_LIBRARY", [prototypes[label] for label in labels])
        patch.setattr(candidates, "PARENT_LATTICES", {k: candidates.PARENT_LATTICES[k] for k in ("fcc", "bcc")})
        yield candidates.enumerate_candidates(settings)


def test_a_tiny_recipe_has_the_candidates_that_were_counted_by_hand(tiny):
    assert tiny.loc[tiny["family"] == "prototype", "prototype"].value_counts().to_dict() == {
        "A_cI2_229_a": 2,
        "A_cF4_225_a": 2,
        "AB_cF8_225_a_b": 1,
        "AB2_cF12_225_a_c": 2,
    }
    superstructures = tiny[tiny["family"] == "superstructure"]
    assert superstructures["formula"].value_counts().to_dict() == {"Ti1Ni1": 4, "Ti1Ni2": 6, "Ti2Ni1": 6}
    assert tiny["id"].is_unique


def test_candidates_have_the_volume_of_their_elements(tiny, candidates):
    """Ti 17.6 and Ni 10.9 Å^3 per atom, from their molar volumes."""
    for structure in to_structures(tiny):
        expected = 17.65 * structure.composition["Ti"] + 10.94 * structure.composition["Ni"]
        assert structure.volume == pytest.approx(expected, rel=0.01)
        assert structure.volume == pytest.approx(candidates.estimated_volume(structure))
