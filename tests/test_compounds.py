"""A compound asked for by its formula: sources, merging, relaxing together, ranking, and what is kept."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from ase.units import GPa
from conftest import caesium_chloride, rocksalt
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

import crystalgen as cg
from crystalgen.api.checks import MOST_ATOMS, UNKNOWN
from crystalgen.api.seed import read_seed
from crystalgen.baselines.distilled.prototypes import SOURCE as PROTOTYPES
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures, to_structures
from crystalgen.experiments.compounds import answer, known_groups, merging, ranking, sources
from crystalgen.experiments.compounds.answer import Question
from crystalgen.potentials import batched
from crystalgen.potentials.registry import calculator
from crystalgen.potentials.relaxation import CONVERGED, Guard, minimise
from crystalgen.utils import paths
from crystalgen.utils.formulas import parse_composition


def candidates(structures, source=PROTOTYPES, **columns) -> pd.DataFrame:
    table = from_structures(structures, source)
    defaults = {"units": 1, "weight": np.zeros(len(table)), "share": 1 / len(table), "origin": "here"}
    return table.assign(**(defaults | columns))


def moved(structure, seed=0):
    structure = structure.copy()
    structure.perturb(0.05 + 0.02 * seed)
    return structure


def test_cells_are_whole_formula_units_within_the_limit():
    cells = sources.cells_of(parse_composition("Ca(OH)2"))
    assert {units: len(numbers) for units, numbers in cells.items()} == {1: 5, 2: 10, 3: 15, 4: 20, 6: 30, 8: 40}
    assert sorted(cells[2].tolist()) == [1] * 4 + [8] * 4 + [20] * 2
    assert Question("Ta2W2B12").formula() == {"Ta": 1, "W": 1, "B": 6}
    assert sources.cells_of({"C": 59}, (2,)) == {}


def test_elements_that_are_refused_at_once_are_those_that_no_prototype_has():
    assert sources.known_elements() == frozenset(range(1, 104)) - UNKNOWN and len(sources.known_elements()) == 88
    assert MOST_ATOMS == sources.MAX_ATOMS


def test_prototypes_answer_any_stoichiometry_that_is_common():
    table = sources.prototype_candidates(sources.cells_of(parse_composition("NaCl")))
    best = table.sort_values("share").iloc[-1]
    assert best["units"] == 1 and table["share"].sum() == pytest.approx(1)
    assert any(structure.get_space_group_info()[1] == 225 for structure in to_structures(table.sort_values("share").tail(3)))


def test_what_is_looked_up_is_a_known_crystal_with_its_elements_exchanged():
    primitive = [rocksalt(6.6, "K", "Br").get_primitive_structure(), caesium_chloride(4.1, "Cs", "Cl")]
    known = from_structures(primitive, "known").assign(space_group=pd.array([225, 221], dtype="Int16"))
    table = sources.retrieved_candidates(sources.cells_of(parse_composition("NaCl")), known)
    assert set(table["origin"]) == {"as known-0", "as known-1"} and set(table["formula"]) == {"Na1Cl1"}
    assert table.groupby("source")["share"].sum().to_dict() == {"retrieval": pytest.approx(1), "corrector": pytest.approx(1)}
    places, _ = merging.distinct(table)
    assert len(set(places)) == 2, "corrected crystals are those that were looked up, but for small shifts"


def test_one_crystal_of_two_sources_is_one_row_and_overlapping_atoms_go_out():
    salt, other = rocksalt(5.6).get_primitive_structure(), caesium_chloride(3.4, "Na", "Cl")
    crowded = caesium_chloride(3.4, "Na", "Cl")
    crowded.translate_sites([1], [-0.49, -0.49, -0.49])
    drawn = candidates([moved(salt), crowded, moved(salt)], sources.GENERATOR)
    merged, removed = merging.merge(pd.concat([candidates([salt, other], share=[0.9, 0.1]), drawn], ignore_index=True), 5, {})
    assert len(merged) == 2 and merged["sources"].tolist() == ["prototypes, generator", "prototypes"]
    assert merged["share_generator"].tolist() == [pytest.approx(1 + merging.SIZE_FLOOR), 0.0], "of the sound ones"
    assert sum(removed.values()) == 3 and removed["the same crystal as another candidate"] == 2
    assert merging.merge(candidates([crowded]), 5, {})[0].empty
    kept, removed = merging.merge(candidates([salt, other], share=[0.9, 0.1]), 1, {})
    assert len(kept) == 1 and removed["less likely than those that are kept"] == 1


def test_a_candidate_that_repeats_itself_is_relaxed_in_its_primitive_cell():
    table = candidates([rocksalt(5.6)], units=4)
    merged, _ = merging.merge(table, 1, {(225, 1): 1.0})
    assert merged["formula"].tolist() == ["Na1Cl1"] and merged[["nsites", "units"]].to_numpy().tolist() == [[2, 1]]
    assert merged["share_groups"].tolist() == [1.0], "votes are of primitive cells"
    assert to_structures(merged)[0].volume == pytest.approx(5.6**3 / 4)


def test_cells_beyond_a_source_are_as_likely_as_the_prototypes_say():
    salt, large = rocksalt(5.6).get_primitive_structure(), caesium_chloride(3.4, "Na", "Cl") * (3, 2, 2)
    large.perturb(0.4)
    table = pd.concat([candidates([salt, large], share=[0.3, 0.7]), candidates([salt], sources.GENERATOR)], ignore_index=True)
    table["units"] = [1, 12, 1]
    found = merging.with_evidence(table, np.array([0, 1, 0]))
    assert found["share_generator"].tolist() == pytest.approx([0.3 + merging.SIZE_FLOOR, 0.7]), "not 1 and 0"
    assert found["share_retrieval"].tolist() == [0, 0]


def test_known_compounds_vote_for_their_space_groups_the_more_the_more_alike_they_are():
    distances = sources.element_distances()
    salt = known_groups.group_votes({"Na": 1, "Cl": 1}, distances, itself=False)
    assert sum(salt.values()) == pytest.approx(1) and max(salt, key=salt.get) == (225, 1), "rock salt, by KBr and its like"
    nitride, own = (known_groups.group_votes({"Li": 3, "N": 1}, distances, itself) for itself in (False, True))
    assert own[194, 2] > 0.8 and nitride.get((194, 2), 0) < 0.1, "the formula itself votes too; no other is like it"
    alloy = known_groups.group_votes({"Ti": 1, "Ni": 1}, distances, itself=False)
    assert max(alloy, key=alloy.get) == (221, 1), "caesium chloride"
    assert known_groups.group_votes({"Na": 1, "Cl": 43}, distances) == {}, "nothing has this stoichiometry"


def test_of_candidates_that_sources_find_equal_the_one_of_the_voted_group_comes_first():
    salt, other = rocksalt(5.6).get_primitive_structure(), caesium_chloride(3.4, "Na", "Cl")
    table = candidates([other, salt], share=[0.5, 0.5])
    for votes, first in ({(225, 1): 0.9, (221, 1): 0.1}, 225), ({(225, 2): 0.9, (221, 1): 0.1}, 221):
        merged, _ = merging.merge(table, 2, votes)
        assert merged["space_group"].iloc[0] == first and merged["share_groups"].max() == votes.get((first, 1))
    none, _ = merging.merge(table, 2, {})
    assert none["prior"].iloc[0] == pytest.approx(none["prior"].iloc[1]) and none["share_groups"].isna().all()


def test_a_seed_has_its_elements_exchanged_by_the_most_similar_and_is_kept(tmp_path):
    rocksalt(6.6, "K", "Br").to(str(tmp_path / "KBr.cif"))
    seed = read_seed(tmp_path / "KBr.cif", "NaCl")
    assert seed["nsites"].tolist() == [2], "in its primitive cell"
    table = sources.seed_candidates(parse_composition("NaCl"), seed)
    (made,) = to_structures(table)
    assert table["origin"].tolist() == ["KBr with Na for K, Cl for Br"] and made.composition.reduced_formula == "NaCl"
    assert made.get_space_group_info()[1] == 225 and 0.5 < made.volume / seed_volume(seed) < 0.9
    other = caesium_chloride(3.4, "Na", "Cl")
    merged, _ = merging.merge(pd.concat([candidates([other], share=[1.0]), table], ignore_index=True), 1, {})
    assert merged["sources"].tolist() == ["seed"], "kept before others, as likely as the likeliest"
    same, removed = merging.merge(pd.concat([candidates([made], share=[1.0]), table], ignore_index=True), 5, {})
    assert same["sources"].tolist() == ["seed, prototypes"] and removed["the same crystal as another candidate"] == 1


def seed_volume(seed: pd.DataFrame) -> float:
    return abs(np.linalg.det(seed["lattice"].iloc[0]))


def test_a_seed_of_another_stoichiometry_or_size_is_refused():
    with pytest.raises(ValueError, match="NaCl has elements as 1:1; expected 1:2, as TiB2 has"):
        read_seed(rocksalt(5.6), "TiB2")
    large = caesium_chloride(3.4, "Na", "Cl") * (4, 3, 3)
    large.perturb(0.2)
    with pytest.raises(ValueError, match="72 atoms in its primitive cell; expected at most 60"):
        read_seed(large, "KBr")
    assert len(read_seed(rocksalt(5.6) * (2, 1, 1), "KBr")["atomic_numbers"].iloc[0]) == 2


def test_together_or_alone_a_crystal_relaxes_to_the_same():
    structures = [moved(caesium_chloride(3.6, "Na", "Cl")), moved(rocksalt(5.4).get_primitive_structure())]
    together = batched.relax_together(structures, fmax=0.05, max_steps=30)
    for structure, found in zip(structures, together, strict=True):
        guard = Guard(structure.volume)
        alone, converged, steps = minimise(structure, 0.05, 30, guard, calculator("chgnet"))
        assert (found.status == CONVERGED) == converged and found.steps == steps
        assert found.structure.volume == pytest.approx(alone.volume, rel=1e-4)
        assert found.max_force == pytest.approx(guard.max_force, abs=1e-3)


def test_a_batch_has_the_energies_and_forces_of_its_crystals():
    runs = [batched._Run(moved(structure)) for structure in (caesium_chloride(3.6, "Na", "Cl"), rocksalt(5.4))]
    batched._evaluate(runs, "chgnet")
    for run in runs:
        single = calculator("chgnet")
        single.calculate(AseAtomsAdaptor.get_atoms(run.given))
        assert run.atoms.get_potential_energy() == pytest.approx(single.results["energy"], abs=1e-4)
        np.testing.assert_allclose(run.atoms.get_forces(), single.results["forces"], atol=1e-4)
        np.testing.assert_allclose(run.atoms.get_stress(voigt=False), single.results["stress"], atol=1e-5)


def test_a_crystal_that_is_none_fails_and_the_others_go_on():
    crowded = caesium_chloride(3.4, "Na", "Cl")
    crowded.translate_sites([1], [-0.49, -0.49, -0.49])
    first, second = batched.relax_together([crowded, rocksalt(5.6).get_primitive_structure()], max_steps=5)
    assert first.status.startswith("failed: atoms closer") and np.isnan(first.energy)
    assert not second.status.startswith("failed") and second.energy < -3
    crowded.translate_sites([1], -crowded.frac_coords[1])
    first, second = batched.relax_together([crowded, rocksalt(5.6).get_primitive_structure()], max_steps=5, symmetric=True)
    assert first.status.startswith("failed") and not second.status.startswith("failed"), "also where spglib finds no symmetry"


def test_a_relaxation_keeps_the_space_group_against_any_forces(monkeypatch):
    rng = np.random.default_rng(0)

    def together(cells):
        return [(0.0, rng.normal(0, 1, (len(atoms), 3)), rng.normal(0, 0.05, (3, 3))) for atoms in cells]

    monkeypatch.setattr(batched, "find_potential", lambda name: SimpleNamespace(together=lambda: together))
    rutile = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
    for symmetric in (True, False):
        (found,) = batched.relax_together([rutile], max_steps=3, symmetric=symmetric)
        assert found.steps > 0 and abs(found.structure.volume - rutile.volume) > 1e-3, "it moved"
        assert (find_space_groups(from_structures([found.structure], "x"), 1e-4)["space_group"].iloc[0] == 136) == symmetric


def test_a_crystal_at_rest_under_pressure_presses_back():
    (free,), (pressed,) = (batched.relax_together([moved(rocksalt(5.5).get_primitive_structure())], 0.01, 80, pressure=p) for p in (0, 10))
    assert free.status == pressed.status == CONVERGED and pressed.structure.volume < 0.85 * free.structure.volume
    single = calculator("chgnet")
    single.calculate(AseAtomsAdaptor.get_atoms(pressed.structure))
    np.testing.assert_allclose(single.results["stress"] / GPa, -10 * np.eye(3), atol=0.3)


def test_interrupted_relaxations_are_kept_as_they_are():
    def stop(step: int, going: int) -> None:
        raise KeyboardInterrupt

    (found,) = batched.relax_together([moved(caesium_chloride(3.9, "Na", "Cl"))], fmax=1e-4, seen=stop)
    assert found.status == batched.INTERRUPTED and np.isfinite(found.energy) and found.steps == 0


def test_sources_and_energies_decide_together():
    even = ranking.probabilities(np.log([0.5, 0.5]), np.array([0.0, ranking.TEMPERATURE]))
    assert even[0] / even[1] == pytest.approx(np.e) and even.sum() == pytest.approx(1)
    assert ranking.probabilities(np.log([0.5, 0.5]), np.array([-1.0, np.nan]))[0] > 0.9
    assert ranking.probabilities(np.log([0.2, 0.8]), np.array([np.nan, np.nan])).tolist() == pytest.approx([0.2, 0.8])
    assert len(ranking.probabilities(np.zeros(0), np.zeros(0))) == 0


def test_a_known_structure_has_the_space_group_and_about_the_energy():
    table = from_structures([rocksalt(5.6), caesium_chloride(3.4, "Na", "Cl"), rocksalt(5.7)], "x").assign(
        space_group=pd.array([225, 221, 225], dtype="Int16"), energy_per_atom=[-3.40, -3.3, -3.2]
    )
    energies = pd.DataFrame({"id": ["mp-1", "mp-2"], "formula": "NaCl", "space_group": [225, 62], "energy_per_atom": [-3.41, -3.3]})
    found = ranking.with_known(table, energies)
    assert found["known_id"].tolist() == ["mp-1", None, None] and found["novel"].tolist() == [False, True, True]


def test_a_formula_is_answered_kept_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "INTERIM", tmp_path / "interim")
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    crystals = cg.generate("Na Cl", n=3, steps=10, out=tmp_path / "out")
    best = crystals.iloc[0]
    assert best["space_group"] == 225 and best["known_id"] and not best["novel"] and abs(best["e_above_hull"]) < 0.05
    assert best["structure"].composition.reduced_formula == "NaCl" and best["uncertainty"] > 0
    assert crystals.attrs["decomposition"] == {"NaCl": pytest.approx(1.0)} and crystals.attrs["looked_up"] is False
    assert crystals["probability"].sum() == pytest.approx(1) and crystals["probability"].is_monotonic_decreasing
    for name in ("table.csv", "crystals.parquet", "crystals.extxyz", "index.html", "asked.json"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    assert len(cg.read_crystals(tmp_path / "out" / "crystals.extxyz")) == len(list((tmp_path / "out" / "cifs").iterdir())) == len(crystals)
    monkeypatch.setattr(answer, "proposed", lambda *given: pytest.fail("asked again"))
    again = cg.generate("Na Cl", n=3, steps=10)
    assert again["energy_per_atom"].tolist() == crystals["energy_per_atom"].tolist() and again.attrs == json.loads(
        json.dumps(crystals.attrs)
    )


def test_a_stop_ranks_what_is_there(monkeypatch):
    def stopped(*given, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(answer, "generated_candidates", stopped)
    found = answer.answer(Question("NaCl", 2, relax=False))
    assert found.stopped and len(found.crystals) and found.crystals["status"].eq(ranking.NOT_RELAXED).all()
