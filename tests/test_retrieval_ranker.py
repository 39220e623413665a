"""The ranker of retrieved candidates, and its trees kept without pickle."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride
from pymatgen.core import Lattice, Structure
from sklearn.ensemble import HistGradientBoostingClassifier

from crystalgen.baselines.retrieval.element_vectors import mendeleev_distances
from crystalgen.baselines.retrieval.features import NAMES, candidate_features
from crystalgen.baselines.retrieval.ranker import fit_ranker, rank_candidates
from crystalgen.baselines.retrieval.retrieve import find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.retrieval.trees import Trees, fit_trees
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures

CATIONS, ANIONS, METALS = ("Li", "Na", "K", "Rb", "Ag", "Mg", "Ca", "Sr"), ("F", "Cl", "Br", "O", "S"), ("Fe", "Co", "Ni", "Al", "Ti")


def _rocksalt(a: float, one: str, other: str) -> Structure:
    return Structure(Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]), [one, other], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def templates() -> Templates:
    """Salts and alloys of two atoms; distances drawn by chance leave it to the ranker to tell them apart."""
    structures = [_rocksalt(4.5 + 0.1 * i, one, other) for i, one in enumerate(CATIONS) for other in ANIONS]
    structures += [caesium_chloride(2.9, one, other) for one in METALS for other in METALS if one < other]
    table = find_space_groups(from_structures(structures, "training", e_above_hull=np.nan))
    return Templates(table, workers=1)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    distances = np.random.default_rng(0).random((120, 120)) * 4
    return (distances + distances.T)[None]


@pytest.fixture(scope="module")
def ranker(templates, noise) -> Trees:
    return fit_ranker(templates, noise, workers=1)


def test_a_ranker_learns_what_distances_do_not_say(templates, noise, ranker):
    asked = find_space_groups(from_structures([caesium_chloride(3.0, "Mn", "Pd"), _rocksalt(6.0, "Cs", "I")], "asked"))
    candidates = find_candidates(templates, asked, noise, 5)
    assert len(set(candidates.loc[candidates["rank"] == 0, "arrangement"])) == 1  # one prototype for both
    ranked = rank_candidates(ranker, templates, asked, candidates, noise)
    best = ranked[ranked["rank"] == 0]
    assert templates.table["space_group"].iloc[best["template"]].tolist() == [221, 225]
    assert ranked["probability"].dropna().between(0, 1).all()


def test_ranking_only_changes_the_order(templates, noise, ranker):
    asked = find_space_groups(from_structures([caesium_chloride(3.0, "Mn", "Pd")], "asked"))
    candidates = find_candidates(templates, asked, noise, 9)
    ranked = rank_candidates(ranker, templates, asked, candidates, noise)
    same = ["request", "template", "permutation", "arrangement", "distance", "votes"]
    before, after = (table[same].sort_values(["request", "template"], ignore_index=True) for table in (candidates, ranked))
    pd.testing.assert_frame_equal(after, before)
    assert ranked["rank"].tolist() == list(range(len(candidates)))
    assert ranked["probability"].notna().sum() == candidates["arrangement"].nunique()


def test_features_of_a_crystal_do_not_see_the_crystal_itself(templates, noise):
    """What is left out changes nothing but its own absence: the features are those of a table without it."""
    asked = templates.table.iloc[[3]].reset_index(drop=True)
    exclude = [list(asked["id"])]
    smaller = Templates(templates.table.drop(index=3), workers=1)
    smaller.volumes = templates.volumes
    smaller.contacts = {}
    columns = []
    for used, left_out in ((templates, exclude), (smaller, None)):
        candidates = find_candidates(used, asked, noise, 8, repeats=False, exclude=left_out)
        columns.append(candidate_features(used, asked, candidates, noise, left_out))
    whole, without = (pd.DataFrame(c, columns=list(NAMES)) for c in columns)
    totals = ["templates", "members"]  # counted with what is left out, whichever answer is right
    pd.testing.assert_frame_equal(whole.drop(columns=totals), without.drop(columns=totals))
    assert (whole["templates"] == without["templates"] + 1).all()


def test_a_subset_is_what_templates_of_these_crystals_are(templates, noise):
    kept = np.arange(len(templates)) % 3 > 0
    asked = templates.table[~kept].reset_index(drop=True)
    smaller = Templates(templates.table[kept], workers=1)
    smaller.volumes = templates.volumes
    columns = [
        candidate_features(used, asked, find_candidates(used, asked, noise, 8, repeats=False), noise)
        for used in (templates.subset(kept), smaller)
    ]
    np.testing.assert_allclose(*columns)


def test_there_is_no_ranker_where_nothing_tells_candidates_apart():
    """Of one formula alone, the prototype that has a vote less than members is the right one while the ranker learns, and only then."""
    structures = [_rocksalt(5.0 + 0.01 * i, "Na", "Cl") for i in range(24)]
    structures += [caesium_chloride(3.0 + 0.01 * i, "Na", "Cl") for i in range(16)]
    one = Templates(find_space_groups(from_structures(structures, "training", e_above_hull=np.nan)), workers=1)
    assert fit_ranker(one, mendeleev_distances(), workers=1) is None


def test_trees_predict_what_scikit_learn_does():
    """With missing values, which go where most of their like went."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(600, 5))
    labels = columns[:, 0] + columns[:, 1] ** 2 + 0.3 * rng.normal(size=600) > 0.5
    columns[rng.random(columns.shape) < 0.1] = np.nan
    trees = fit_trees(columns, labels, list("abcde"), trees=30, seed=3)
    model = HistGradientBoostingClassifier(
        max_iter=30, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=30, l2_regularization=1.0, max_features=0.3,
        early_stopping=False, random_state=3,
    ).fit(columns, labels)  # fmt: skip
    asked = np.vstack([rng.normal(size=(200, 5)), np.full((1, 5), np.nan)])
    assert trees.probabilities(asked) == pytest.approx(model.predict_proba(asked)[:, 1], abs=1e-12)


def test_trees_come_back_from_a_file_without_pickle(tmp_path, templates, noise, ranker):
    ranker.save(tmp_path / "ranker.npz")
    with np.load(tmp_path / "ranker.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    again = Trees.load(tmp_path / "ranker.npz")
    columns = np.random.default_rng(0).normal(size=(50, len(NAMES)))
    assert np.array_equal(again.probabilities(columns), ranker.probabilities(columns))


def test_a_file_that_is_no_ranker_is_refused(tmp_path, templates, noise, ranker):
    np.savez(tmp_path / "other.npz", value=np.zeros(3))
    with pytest.raises(ValueError, match=r"other.npz: lacks the arrays \['feature'.*expected boosted trees"):
        Trees.load(tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", **{name: np.array([{}], dtype=object) for name in Trees.__dataclass_fields__})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Trees.load(tmp_path / "pickled.npz")


def test_a_ranker_of_other_features_is_refused(templates, ranker):
    asked = templates.table.head(1)
    candidates = find_candidates(templates, asked, mendeleev_distances())
    old = Trees(**{**ranker.__dict__, "names": np.array(["height"])})
    with pytest.raises(ValueError, match="fit it again"):
        rank_candidates(old, templates, asked, candidates, mendeleev_distances())


def test_the_same_training_gives_the_same_ranker(templates, noise, ranker):
    again = fit_ranker(templates, noise, workers=1)
    assert all(np.array_equal(getattr(again, name), getattr(ranker, name)) for name in Trees.__dataclass_fields__)
