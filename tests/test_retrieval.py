"""Retrieval of training crystals by composition: known answers in small tables, and MP-20 where its rows are at hand."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, perovskite, rocksalt, wurtzite
from pymatgen.core import Lattice, Structure

from crystalgen.baselines.retrieval.element_vectors import (
    FittedVectors,
    fill_unseen,
    mendeleev_distances,
    mendeleev_numbers,
    mined_distances,
    mined_vectors,
)
from crystalgen.baselines.retrieval.fit_vectors import _FLOOR, _gradients, _slope, fit_vectors
from crystalgen.baselines.retrieval.neighbours import request_distances
from crystalgen.baselines.retrieval.retrieve import candidate_cells, candidate_crystals, find_candidates, retrieve, unanswered
from crystalgen.baselines.retrieval.templates import Templates, atomic_volumes
from crystalgen.baselines.stoichiometry import ordered_species, permutations_of
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures, validate
from crystalgen.datasets.tables import read_benchmark
from crystalgen.matching.match import CSP, match_cells, reduce_table

ROCKSALTS = [("Na", "F", 4.6), ("Na", "Br", 6.0), ("K", "F", 5.3), ("K", "Cl", 6.3), ("Li", "F", 4.0), ("Li", "Cl", 5.1)]
CAESIUM_CHLORIDES = [("Ni", "Al", 2.9), ("Co", "Al", 2.9), ("Ni", "Ti", 3.0), ("Fe", "Ti", 3.0)]
WURTZITES = [("Zn", "S", 3.8), ("Cd", "Se", 4.3)]


def _table(structures, **columns) -> pd.DataFrame:
    return find_space_groups(from_structures(structures, "training", **columns))


def _primitive_rocksalt(a: float, one: str, other: str) -> Structure:
    return Structure(Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]), [one, other], [[0, 0, 0], [0.5, 0.5, 0.5]])


def _asked(*structures) -> pd.DataFrame:
    return find_space_groups(from_structures(structures, "asked"))


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    structures = [_primitive_rocksalt(a, one, other) for one, other, a in ROCKSALTS]
    structures += [caesium_chloride(a, one, other) for one, other, a in CAESIUM_CHLORIDES]
    structures += [wurtzite(a, one, other) for one, other, a in WURTZITES]
    structures += [perovskite(4.0, "Ba", "Ti", "O"), perovskite(3.9, "Sr", "Ti", "O"), perovskite(4.1, "K", "Ta", "O")]
    return _table(structures, e_above_hull=np.where(np.arange(len(structures)) == 3, 0.3, 0.0))


@pytest.fixture(scope="module")
def templates(training) -> Templates:
    return Templates(training, workers=1)


def test_common_salt_is_rock_salt(templates):
    asked = _asked(_primitive_rocksalt(5.6, "Na", "Cl"), caesium_chloride(2.9, "Fe", "Al"))
    found = retrieve(templates, asked, mendeleev_distances())
    validate(found)
    assert found["target_id"].tolist() == asked["id"].tolist()
    assert found["space_group"].tolist() == [225, 221]
    verdicts = match_cells(reduce_table(found, 1), reduce_table(asked, 1), np.array([[0, 0], [1, 1]]), CSP, 1)
    assert verdicts["matched"].all()
    assert verdicts["rms"].max() < 1e-6


def test_a_wrong_neighbour_is_outvoted():
    """The nearest composition is of another prototype, three near ones agree."""
    numbers = mendeleev_numbers()
    far = np.abs(numbers[:, None] - numbers[None, :])[None] * 0.1
    structures = [caesium_chloride(3.5, "Na", "Cl")] + [_primitive_rocksalt(5.5, one, "Cl") for one in ("K", "Rb", "Li")]
    templates = Templates(_table(structures), workers=1)
    asked = _asked(_primitive_rocksalt(5.6, "Na", "Br"))
    assert retrieve(templates, asked, far, vote=False)["space_group"].tolist() == [221]
    voted = retrieve(templates, asked, far)
    assert voted["space_group"].tolist() == [225]
    assert 0.5 < voted["votes"].iloc[0] < 1


def test_permutations_are_those_of_equal_counts():
    assert permutations_of([1, 2, 2]).tolist() == [[0, 1, 2], [0, 2, 1]]
    assert len(permutations_of([1, 1, 3, 3, 3])) == 12
    assert permutations_of([1, 1, 1, 1])[0].tolist() == [0, 1, 2, 3]
    species, counts = ordered_species(np.array([8, 8, 22, 56, 8]))
    assert species.tolist() == [22, 56, 8]
    assert counts == (1, 1, 3)


def test_distances_are_means_over_atoms_under_each_permutation(templates):
    """Written out once for A1 B1 C3 against the group's definition."""
    group = templates.groups[1, 1, 3]
    table = np.random.default_rng(0).random((4, 120, 120))
    table += table.transpose(0, 2, 1)
    species = np.array([[20, 40, 16]])
    found = request_distances(group, species, table)
    for t, (a, b, c) in enumerate(group.species):
        same = 0.2 * table[1, 20, a] + 0.2 * table[1, 40, b] + 0.6 * table[3, 16, c]
        swapped = 0.2 * table[1, 40, a] + 0.2 * table[1, 20, b] + 0.6 * table[3, 16, c]
        assert found[0, t] == pytest.approx([same, swapped])


def test_species_take_the_place_of_their_like(templates):
    """Calcium stands where barium does, hafnium where titanium does, although both have one atom."""
    asked = _asked(perovskite(4.0, "Ca", "Hf", "O"))
    found = retrieve(templates, asked, mendeleev_distances())
    verdict = match_cells(reduce_table(found, 1), reduce_table(asked, 1), np.array([[0, 0]]), CSP, 1)
    assert verdict["matched"].all()
    exchanged = _asked(perovskite(4.0, "Hf", "Ca", "O"))
    assert not match_cells(reduce_table(found, 1), reduce_table(exchanged, 1), np.array([[0, 0]]), CSP, 1)["matched"].any()


def test_equal_prototypes_are_one_arrangement_under_their_symmetry(templates):
    group = templates.groups[1, 1]
    rocksalts, others = group.arrangements[:6], group.arrangements[6:]
    assert len(np.unique(rocksalts)) == 1  # exchanging sodium and chlorine gives rock salt again
    assert len(np.unique(others)) == 1
    assert rocksalts[0, 0] != others[0, 0]
    perovskites = templates.groups[1, 1, 3].arrangements
    assert perovskites.shape == (3, 2)
    assert (perovskites[:, 0] != perovskites[:, 1]).all()
    assert len(np.unique(perovskites)) == 2


def test_roles_do_not_depend_on_the_order_of_atomic_numbers():
    """In BaTiO3 the smaller atomic number is the octahedron's centre, in NaTaO3 the larger one."""
    templates = Templates(_table([perovskite(4.0, "Ba", "Ti", "O"), perovskite(3.9, "Na", "Ta", "O")]), workers=1)
    first, second = templates.groups[1, 1, 3].arrangements
    assert first.tolist() == second[::-1].tolist()


def test_answers_are_distinct_before_they_repeat(templates):
    asked = _asked(_primitive_rocksalt(5.6, "Na", "Cl"))
    found = find_candidates(templates, asked, mendeleev_distances(), 6)
    assert len(found) == 6
    assert found["rank"].tolist() == list(range(6))
    assert not found.duplicated(["template"]).any()
    distinct = find_candidates(templates, asked, mendeleev_distances(), 6, repeats=False)
    assert len(distinct) == 2
    assert not distinct["arrangement"].duplicated().any()
    assert distinct["votes"].sum() == pytest.approx(1)


def test_without_votes_at_most_three_of_a_space_group(templates):
    asked = _asked(_primitive_rocksalt(5.6, "Na", "Cl"))
    found = retrieve(templates, asked, mendeleev_distances(), 20, vote=False)
    assert found["space_group"].value_counts().to_dict() == {225: 3, 221: 3}
    assert found["distance"].is_monotonic_increasing


@pytest.mark.parametrize("vote", [True, False])
def test_what_is_left_out_is_no_template(templates, training, vote):
    exclude = [[name] for name in training["id"]]
    found = retrieve(templates, training, mendeleev_distances(), 20, vote=vote, exclude=exclude)
    assert (found["template_id"] != found["target_id"]).all()
    everything = [list(training["id"])] * len(training)
    assert find_candidates(templates, training, mendeleev_distances(), vote=vote, exclude=everything).empty


def test_a_space_group_is_kept_to_where_there_is_one(templates):
    asked = _asked(caesium_chloride(3.5, "Na", "Cl"), wurtzite(3.8, "Na", "Cl"), _primitive_rocksalt(5.6, "Na", "Cl"))
    found = retrieve(templates, asked, mendeleev_distances(), within_space_group=True)
    assert found["space_group"].tolist() == [221, 186, 225]
    nowhere = asked.assign(space_group=pd.array([1, 1, 1], dtype="Int16"))
    assert len(retrieve(templates, nowhere, mendeleev_distances(), within_space_group=True)) == 3


def test_templates_above_the_hull_can_be_left_out(templates, training):
    asked = _asked(_primitive_rocksalt(6.2, "K", "Cl"))
    assert retrieve(templates, asked, mendeleev_distances())["template_id"].tolist() == [training["id"].iloc[3]]
    lower = retrieve(templates, asked, mendeleev_distances(), max_e_above_hull=0.1)
    assert lower["template_id"].tolist() == [training["id"].iloc[1]]


def test_volumes_follow_the_elements():
    """Cells whose volumes are sums of atomic volumes give these back, and answers get the sum for their elements."""
    volumes = {"Na": 20.0, "K": 40.0, "F": 12.0, "Cl": 25.0}
    pairs = [("Na", "F"), ("K", "F"), ("K", "Cl")]
    salts = [_primitive_rocksalt(np.cbrt(4 * (volumes[a] + volumes[b])), a, b) for a, b in pairs]
    training = _table([*salts, Structure(Lattice.cubic(np.cbrt(20.0)), ["Na"], [[0, 0, 0]])])
    fitted = atomic_volumes(training)
    assert fitted[[11, 19, 9, 17]] == pytest.approx([20.0, 40.0, 12.0, 25.0])
    assert fitted[26] == pytest.approx((32 + 52 + 65 + 20) / 7)  # no crystal has iron
    found = retrieve(Templates(training, workers=1), _asked(_primitive_rocksalt(5.0, "Na", "Cl")), mendeleev_distances())
    assert abs(np.linalg.det(found["lattice"].iloc[0])) == pytest.approx(45.0)


def test_cells_for_the_matcher_are_the_crystals_own(templates, training):
    candidates = find_candidates(templates, training, mendeleev_distances(), 5)
    cells = candidate_cells(templates, training, candidates)
    reduced = reduce_table(candidate_crystals(templates, training, candidates), 1)
    assert [cell.kinds for cell in cells] == [cell.kinds for cell in reduced]
    verdicts = match_cells(cells, reduced, np.stack([np.arange(len(cells))] * 2, axis=1), CSP, 1)
    assert verdicts["matched"].all()
    assert verdicts["rms"].max() < 1e-6


def test_an_unknown_stoichiometry_is_named(templates):
    asked = _asked(rocksalt(5.6, "Na", "Cl"), _primitive_rocksalt(5.6, "Na", "Cl"))
    assert retrieve(templates, asked, mendeleev_distances())["target_id"].tolist() == ["asked-1"]
    missing = unanswered(templates, asked)
    assert missing["id"].tolist() == ["asked-0"]
    assert missing["reason"].iloc[0] == "no training crystal has 4:4 atoms in its primitive cell"


def test_the_same_question_has_the_same_answer(training):
    asked = _asked(_primitive_rocksalt(5.6, "Na", "Cl"), perovskite(4.0, "Ca", "Hf", "O"))
    answers = []
    for _ in range(2):
        templates = Templates(training, workers=1)
        answers.append(retrieve(templates, asked, fit_vectors(templates, epochs=3, dims=4).distances(), 5))
    pd.testing.assert_frame_equal(*answers)


def test_mined_vectors_put_like_beside_like(templates):
    vectors = mined_vectors(templates, dims=6)
    assert np.linalg.norm(vectors[[11, 19, 28, 8]], axis=1) == pytest.approx(1)
    distances = mined_distances(vectors)[0]
    assert distances[11, 19] < distances[11, 28]  # Na is like K, not like Ni
    assert distances[56, 38] < distances[56, 8]  # Ba is like Sr, not like O
    assert np.diag(distances)[1:104] == pytest.approx(0, abs=1e-9)


def test_an_unseen_element_is_like_its_neighbour():
    vectors = np.zeros((120, 2))
    vectors[[11, 28]] = [[1, 0], [0, 1]]
    filled = fill_unseen(vectors, np.array([11, 28]))
    assert filled[19].tolist() == [1, 0]  # K stands beside Na
    assert filled[46].tolist() == [0, 1]  # Pd beside Ni


def test_the_fit_follows_the_slope_of_its_loss(templates):
    """Against differences of the loss, -log(votes of a crystal's own arrangement, itself left out), in single numbers."""
    rng = np.random.default_rng(0)
    parameters = [rng.normal(size=(120, 3)), rng.normal(size=(4, 3)) * 0.1]

    def loss(vectors, log_weights) -> float:
        total = 0.0
        for group in templates.groups.values():
            apart = request_distances(group, group.species, FittedVectors(vectors, np.exp(log_weights)).distances())
            apart[np.arange(len(apart)), np.arange(len(apart))] = np.inf
            own = group.arrangements[None] == group.arrangements[:, 0][:, None, None]
            weights = np.exp(-apart)
            total -= np.log((weights * own).sum(axis=(1, 2)) / weights.sum(axis=(1, 2)) + _FLOOR).sum()
        return total

    fitted = FittedVectors(parameters[0], np.exp(parameters[1]))
    slope = sum(_slope(group, np.arange(len(group.rows)), fitted.distances()) for group in templates.groups.values())
    found = _gradients(fitted, slope)
    for which, entry in [(0, (11, 1)), (0, (8, 2)), (0, (22, 0)), (1, (1, 0)), (1, (3, 2)), (1, (2, 1))]:
        values = []
        for change in (1e-5, -1e-5):
            moved = [parameter.copy() for parameter in parameters]
            moved[which][entry] += change
            values.append(loss(*moved))
        assert found[which][entry] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-6)


def test_fitted_vectors_come_back_from_their_file(tmp_path):
    rng = np.random.default_rng(0)
    fitted = FittedVectors(rng.normal(size=(120, 4)), rng.random((4, 4)))
    fitted.save(tmp_path / "vectors.npz")
    assert np.array_equal(FittedVectors.load(tmp_path / "vectors.npz").distances(), fitted.distances())
    spelt = ((fitted.vectors[3] - fitted.vectors[7]) ** 2 * fitted.weights[2] ** 2).sum()
    assert fitted.distances()[2, 3, 7] == pytest.approx(spelt)


def test_most_of_mp_20_is_met_from_a_third_of_its_training_rows(shared_data):
    """With Mendeleev numbers and 400 targets; the whole is measured by benchmarks/retrieval.py."""
    table = read_benchmark(shared_data / "mp_20.parquet")
    training = table[table["split"] == "train"].sample(8000, random_state=0)
    targets = table[table["split"] == "val"].sample(400, random_state=0).reset_index(drop=True)
    found = retrieve(Templates(training), targets, mendeleev_distances())
    places = targets.reset_index().set_index("id")["index"].loc[found["target_id"]].to_numpy()
    verdicts = match_cells(reduce_table(found), reduce_table(targets), np.stack([np.arange(len(found)), places], axis=1), CSP)
    assert verdicts["matched"].sum() / len(targets) > 0.6
