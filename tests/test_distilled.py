"""Distilled prototypes: alignment of cells, exact symmetry, known answers, the file, and MP-20 where its rows are at hand."""

import json

import numpy as np
import pandas as pd
import pytest
import spglib
from conftest import SHARED_DATA, caesium_chloride, rocksalt, wurtzite
from pymatgen.core import Composition, Lattice, Structure
from safetensors import safe_open

from crystalgen.baselines.distilled.classes import find_classes
from crystalgen.baselines.distilled.prototypes import distil
from crystalgen.baselines.distilled.store import load_prototypes, save_prototypes, shipped_prototypes
from crystalgen.baselines.distilled.symmetry import Symmetry, hencky_strain
from crystalgen.baselines.retrieval.fit_vectors import fit_vectors
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures, validate
from crystalgen.matching.align import align
from crystalgen.matching.match import CSP, match_pairs
from crystalgen.matching.matcher import compare
from crystalgen.matching.reduction import ReducedCell, reduce_cell
from crystalgen.utils import paths

WURTZITES = [("Zn", "S", 3.82), ("Cd", "Se", 4.30), ("Zn", "O", 3.25), ("Ga", "N", 3.19), ("Al", "N", 3.11), ("In", "N", 3.54)]
ROCKSALTS = [("Na", "F", 4.6), ("K", "Cl", 6.3), ("Li", "F", 4.0), ("Mg", "O", 4.2), ("Ca", "O", 4.8)]
CAESIUM_CHLORIDES = [("Ni", "Al", 2.9), ("Co", "Al", 2.9), ("Ni", "Ti", 3.0), ("Fe", "Ti", 3.0)]


def _rutile(one: str, other: str, a: float, ratio: float, x: float) -> Structure:
    return Structure.from_spacegroup(136, Lattice.tetragonal(a, a * ratio), [one, other], [[0, 0, 0], [x, x, 0]])


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    structures = [wurtzite(a, one, other) for one, other, a in WURTZITES]
    structures += [rocksalt(a, one, other).get_primitive_structure() for one, other, a in ROCKSALTS]
    structures += [caesium_chloride(a, one, other) for one, other, a in CAESIUM_CHLORIDES]
    for element, x in (("Ti", 0.300), ("Sn", 0.305), ("Ge", 0.310), ("Pb", 0.315)):
        structures.append(_rutile(element, "O", 4.6, 0.64 + (x - 0.3), x))
    rng = np.random.default_rng(0)
    turned = []
    for structure in structures:  # other origins and orders of sites: alignment has to undo them
        structure = structure.copy()
        structure.translate_sites(range(len(structure)), rng.random(3))
        turned.append(Structure.from_sites([structure[i] for i in rng.permutation(len(structure))]))
    return find_space_groups(from_structures(turned, "training"), 0.01)


@pytest.fixture(scope="module")
def distilled(training):
    templates = Templates(training, workers=1)
    classes = find_classes(templates, workers=1)
    return distil(templates, fit_vectors(templates, epochs=2), classes), classes


def _asked(*structures) -> pd.DataFrame:
    return find_space_groups(from_structures(structures, "asked"))


def _group(crystal: pd.Series, symprec: float = 1e-4) -> int:
    return spglib.get_symmetry_dataset((crystal["lattice"], crystal["frac_coords"], crystal["atomic_numbers"]), symprec=symprec).number


def test_alignment_undoes_origin_order_basis_and_strain():
    rng = np.random.default_rng(1)
    target = reduce_cell(Lattice.from_parameters(4, 5, 6, 80, 95, 105).matrix, np.array([8, 8, 22, 26, 8]), rng.random((5, 3)))
    turn = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1]])
    order, strain = rng.permutation(5), np.eye(3) + rng.normal(0, 0.01, (3, 3))
    coords = (target.coords + rng.normal(0, 0.004, (5, 3)) + [0.3, 0.1, 0.9]) @ np.linalg.inv(turn)
    sample = reduce_cell(turn @ target.lattice @ strain, target.numbers[order], coords[order])
    found = align(sample, target, CSP)
    matched, rms = compare(sample, target, CSP)
    assert matched
    assert found.rms == pytest.approx(rms, abs=1e-9)
    assert np.abs((found.coords - target.coords) @ target.lattice).max() < 0.1
    assert np.abs((found.coords - target.coords).mean(axis=0)).max() < 1e-9
    assert np.abs(hencky_strain(target.lattice, found.lattice)).max() < 0.06
    again, apart = compare(ReducedCell(found.lattice, target.numbers, found.coords), sample, CSP)
    assert again
    assert apart < 1e-6  # the crystal itself is the same


def test_crystals_of_unlike_symmetry_are_not_aligned():
    cell = reduce_cell(*_arrays(caesium_chloride(3, "Ni", "Al")))
    assert align(cell, reduce_cell(*_arrays(rocksalt(4, "Ni", "Al").get_primitive_structure())), CSP) is None


def test_projection_keeps_what_is_symmetric_and_removes_the_rest():
    cell = reduce_cell(*_arrays(_rutile("Ti", "O", 4.6, 0.64, 0.305)))
    symmetry = Symmetry.of(cell, 136)
    rng = np.random.default_rng(0)
    kept = symmetry.displacements(rng.normal(0, 0.1, cell.coords.shape))
    assert np.allclose(symmetry.displacements(kept), kept, atol=1e-12)
    assert np.linalg.norm(kept) > 1e-3  # rutile's one free coordinate
    assert (
        np.linalg.matrix_rank(np.array([symmetry.displacements(rng.normal(size=cell.coords.shape)).ravel() for _ in range(5)]), 1e-8) == 1
    )
    strain = symmetry.strain(np.diag([0.02, -0.01, 0.03]))
    assert np.allclose(symmetry.strain(strain), strain, atol=1e-12)
    moved = ReducedCell(symmetry.lattice @ (np.eye(3) + strain), cell.numbers, symmetry.coords + kept @ np.linalg.inv(symmetry.lattice))
    assert spglib.get_symmetry_dataset((moved.lattice, moved.coords, moved.numbers), symprec=1e-6).number == 136


def test_classes_are_the_structure_types(distilled):
    assert sorted((c.space_group, len(c.members)) for c in distilled[1]) == [(136, 4), (186, 6), (221, 4), (225, 5)]


def test_answers_have_the_space_group_exactly_and_the_right_structure(distilled):
    asked = _asked(wurtzite(3.2, "Zn", "Se"), caesium_chloride(2.9, "Fe", "Al"), _rutile("Ge", "O", 4.4, 0.65, 0.306))
    found = validate(distilled[0].answer(asked, count=1), "answers")
    assert found["target_id"].tolist() == asked["id"].tolist()
    assert [_group(row) for _, row in found.iterrows()] == [186, 221, 136]
    assert found["space_group"].tolist() == [186, 221, 136]
    verdicts = match_pairs(found, asked, workers=1)
    assert verdicts["matched"].all()
    assert (verdicts["rms"] < 0.03).all()


def test_the_shape_follows_the_elements(distilled):
    """Rutile's ratio of axes and free coordinate rise along Ti, Sn, Ge, Pb here; what is made of them follows."""
    asked = _asked(*(_rutile(element, "O", 4.6, 0.65, 0.3) for element in ("Ti", "Pb")))
    found = distilled[0].answer(asked, count=1)
    ratios = [sorted(np.linalg.norm(lattice, axis=1)) for lattice in found["lattice"]]
    titanium, lead = (least / most for least, _, most in ratios)
    assert titanium < lead - 0.005
    assert (titanium, lead) == (pytest.approx(0.64, abs=0.006), pytest.approx(0.655, abs=0.006))


def test_further_candidates_are_distinct_and_as_symmetric(distilled):
    found = distilled[0].answer(_asked(_rutile("Ti", "O", 4.6, 0.65, 0.3)), count=5)
    assert found["rank"].tolist() == list(range(len(found)))
    assert len(found) == 3  # the members differ in one way alone, which is changed up and down
    assert {_group(row) for _, row in found.iterrows()} == {136}
    assert len({round(np.linalg.norm(lattice, axis=1).max(), 4) for lattice in found["lattice"]}) == 3


def test_space_group_given(distilled):
    asked = _asked(caesium_chloride(3, "Zn", "O")).assign(space_group=221)
    assert distilled[0].answer(asked, within_space_group=True)["space_group"].tolist() == [221]
    free = distilled[0].answer(_asked(rocksalt(4, "Ca", "Cl").get_primitive_structure()))
    assert free["space_group"].tolist() == [225]


def test_the_file_gives_the_same_answers(distilled, tmp_path):
    save_prototypes(distilled[0], tmp_path / "p.safetensors", {"source": "test"})
    asked = _asked(wurtzite(3.2, "Zn", "Se"), _rutile("Ge", "O", 4.4, 0.65, 0.306))
    one, other = distilled[0].answer(asked, 4), load_prototypes(tmp_path / "p.safetensors").answer(asked, 4)
    assert one["id"].tolist() == other["id"].tolist()
    assert np.allclose(np.stack(one["lattice"]), np.stack(other["lattice"]), atol=5e-3)
    assert all(_group(row, 1e-3) in (186, 136) for _, row in other.iterrows())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not this", (8).to_bytes(8, "little") + b"{}      "])
def test_another_file_is_named(tmp_path, content):
    (tmp_path / "p.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"p\.safetensors: no file of distilled prototypes"):
        load_prototypes(tmp_path / "p.safetensors")


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([84, 8], "holds Po"),
        ([22, 8, 8], "with 2 formula units in place of 1"),
        ([11] * 100 + [17] * 100, "the largest has 6 atoms"),
        ([11, 17, 17, 17, 8, 8, 8, 8], "the most similar that have"),
    ],
)
def test_what_has_no_answer_is_told_why_and_what_else_to_try(distilled, numbers, expected):
    assert expected in distilled[0].problem(np.array(numbers))
    assert distilled[0].candidates(np.array(numbers)) == []


def test_what_has_an_answer_has_no_problem(distilled):
    assert distilled[0].problem(np.array([11, 9])) is None


@pytest.mark.parametrize(
    ("formula", "units", "group"),
    [("NaCl", 1, 225), ("SrTiO3", 1, 221), ("GaN", 2, 186), ("TiB2", 1, 191), ("LiCoO2", 1, 166), ("MgAl2O4", 2, 227), ("CaCO3", 2, 167)],
)
def test_what_ships_answers_with_known_structure_types(shipped, formula, units, group):
    numbers = np.repeat([element.Z for element in Composition(formula)], [int(n) * units for n in Composition(formula).values()])
    found = validate(shipped.answer(pd.DataFrame({"id": [formula], "atomic_numbers": [numbers]}), 3), "answers")
    assert found["space_group"].iloc[0] == group
    assert [_group(row, 0.01) for _, row in found.iterrows()] == found["space_group"].tolist()
    assert (found["formula"] == found["formula"].iloc[0]).all() and found["nsites"].iloc[0] == len(numbers)


def test_what_ships_is_small_and_says_what_it_is_of(shipped):
    file = paths.REFERENCE / "prototypes.safetensors"
    assert file.stat().st_size < 6e6
    with safe_open(file, "numpy") as content:
        facts = json.loads(content.metadata()["facts"])
    assert facts["structures"] == "Materials Project, CC BY 4.0" and facts["without the judged formulas of"] == "mp_20.parquet"
    assert len(shipped.elements) == 88 and max(sum(group) for group in shipped.groups) == 60


@pytest.fixture(scope="module")
def shipped():
    return shipped_prototypes()


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED_DATA / "mp_20.parquet").is_file(), reason="mp_20.parquet is not at hand")
def test_mp_20_is_answered_without_its_rows():
    from crystalgen.datasets.tables import read_benchmark

    table = read_benchmark(SHARED_DATA / "mp_20.parquet")
    training = table[table["split"] == "train"].reset_index(drop=True)
    targets = table[table["split"] == "val"].sample(500, random_state=1).reset_index(drop=True)
    templates = Templates(training)
    found = distil(templates, fit_vectors(templates), find_classes(templates)).answer(targets)
    places = targets.set_index("id").loc[found["target_id"]].reset_index()
    assert match_pairs(found, places, CSP)["matched"].sum() / len(targets) > 0.64


def _arrays(structure: Structure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return structure.lattice.matrix, np.array(structure.atomic_numbers), structure.frac_coords
