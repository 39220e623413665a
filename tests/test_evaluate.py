"""Validity, intervals and rates: what failed is counted as failed."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, generic, rocksalt
from pymatgen.core import Lattice, Structure

from crystalgen.baselines import run_baseline
from crystalgen.config import Baseline
from crystalgen.crystals import from_columns, from_structures, to_structures
from crystalgen.crystals.geometry import nearest_distances
from crystalgen.matching import match
from crystalgen.metrics.score import score_conditional, score_unconditional
from crystalgen.metrics.study_results import read_samples
from crystalgen.metrics.validity import structure_validity
from crystalgen.represent.generate import save_samples
from crystalgen.utils import paths
from crystalgen.utils.statistics import Scoring, clustered_bootstrap, mean_with_interval

# Validity

CUBE = np.eye(3) * 5.0
SKEWED = np.array([[5.0, 0, 0], [0, 5, 0], [50.3, 25, 5.0]])  # third vector minus ten of the first and five of the second is short


@pytest.mark.parametrize(
    ("lattice", "coords", "valid"),
    [
        pytest.param(CUBE, [[0, 0, 0], [0.08, 0, 0]], False, id="0.4 Å apart"),
        pytest.param(CUBE, [[0, 0, 0], [0.12, 0, 0]], True, id="0.6 Å apart"),
        pytest.param(CUBE, [[0.02, 0, 0], [0.94, 0, 0]], False, id="0.4 Å apart across the boundary"),
        pytest.param(CUBE, [[0.02, 0, 0], [0.90, 0, 0]], True, id="0.6 Å apart across the boundary"),
        pytest.param(CUBE, [[0, 0, 0], [7.08, -3.0, 0]], False, id="0.4 Å apart, cells away"),
        pytest.param(CUBE, [[0.3, 0.3, 0.3], [0.3, 0.3, 0.3]], False, id="on one place"),
        pytest.param(np.diag([0.4, 5, 5]), [[0, 0, 0]], False, id="0.4 Å from its own image"),
        pytest.param(np.diag([0.6, 5, 5]), [[0, 0, 0]], True, id="0.6 Å from its own image"),
        pytest.param(SKEWED, [[0, 0, 0], [0, 0, 0.999]], False, id="skewed cell, near the image that reduction finds"),
        pytest.param(np.array([[5.0, 0, 0], [0, 5, 0], [49.7, 25, 0.2]]), [[0, 0, 0]], False, id="skewed cell with a short vector"),
        pytest.param(SKEWED, [[0, 0, 0], [0, 0, 0.5]], True, id="skewed cell"),
        pytest.param(CUBE[[1, 0, 2]], [[0, 0, 0], [0.08, 0, 0]], False, id="left-handed cell"),
        pytest.param(CUBE * 0, [[0, 0, 0]], False, id="no volume"),
        pytest.param(CUBE * np.nan, [[0, 0, 0]], False, id="NaN lattice"),
        pytest.param(CUBE, [[0, 0, np.inf]], False, id="infinite coordinate"),
    ],
)
def test_validity_of_known_cells(lattice, coords, valid):
    coords = np.array(coords, dtype=float)
    table = from_columns([lattice], [np.full(len(coords), 6)], [coords], "s")
    assert structure_validity(table).tolist() == [valid]


@pytest.mark.parametrize("shear", [0, 3, 17])
def test_nearest_distances_are_those_of_pymatgen_however_skewed_the_cell(crystals, shear):
    for structure in to_structures(crystals.iloc[::6]):
        skewed = structure.copy()
        skewed.make_supercell([[1, 0, 0], [shear, 1, 0], [-shear, shear, 1]], to_unit_cell=False)
        found = nearest_distances(skewed.lattice.matrix, skewed.frac_coords)
        off = ~np.eye(len(structure), dtype=bool)
        np.testing.assert_allclose(found[off], structure.distance_matrix[off], atol=1e-6)
        lengths = structure.lattice.get_points_in_sphere([[0, 0, 0]], [0, 0, 0], 12, zip_results=False)[1]
        np.testing.assert_allclose(np.diag(found), lengths[lengths > 1e-6].min(), atol=1e-6)


# Intervals


def test_agreeing_clusters_widen_the_interval():
    clusters = np.repeat(np.arange(40), 10)
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 40), 10).astype(float)
    low, high = clustered_bootstrap(values, clusters, 4000)
    plain_low, plain_high = clustered_bootstrap(values, np.arange(400), 4000)
    assert low < values.mean() < high
    assert (high - low) / (plain_high - plain_low) == pytest.approx(10**0.5, rel=0.1)


def test_independent_values_have_the_binomial_interval():
    values = np.repeat([0.0, 1.0], [300, 100])
    low, high = clustered_bootstrap(values, np.arange(400), 8000)
    half = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert (low, high) == (pytest.approx(0.25 - half, abs=0.005), pytest.approx(0.25 + half, abs=0.005))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_values_have_an_interval_of_no_width(value):
    assert clustered_bootstrap(np.full(30, value), np.arange(30) % 7) == (value, value)


def test_one_cluster_has_its_mean_as_interval():
    low, high = clustered_bootstrap(np.array([0.0, 1, 1, 0]), np.array(["a"] * 4))
    assert low == high == 0.5


def test_seeds_repeat_and_order_of_rows_does_not_count():
    rng = np.random.default_rng(1)
    values, clusters = rng.random(200), rng.integers(0, 30, 200).astype(str)
    first = clustered_bootstrap(values, clusters, seed=3)
    assert clustered_bootstrap(values, clusters, seed=3) == first
    assert clustered_bootstrap(values, clusters, seed=4) != first
    order = rng.permutation(200)
    assert clustered_bootstrap(values[order], clusters[order], seed=3) == pytest.approx(first)


def test_a_rate_tells_its_value_interval_and_origin():
    scoring = Scoring((7, 9), 4, 500, "file.json")
    row = mean_with_interval([True, False, True, True], ["a", "b", "c", "d"], scoring, [0.5, 1])
    assert row["value"] == 0.75
    assert row["low"] <= 0.75 <= row["high"]
    assert (row["n"], row["seeds"], row["by_seed"], row["source"]) == (2, [7, 9], [0.5, 1], "file.json")


# From samples to rates


@pytest.fixture
def tested(crystals):
    return crystals.assign(split=np.where(np.arange(len(crystals)) < 40, "train", "test"))


def _requests(tested) -> pd.DataFrame:
    targets = tested["id"][tested["split"] == "test"].to_numpy()
    return pd.DataFrame({"request": np.arange(len(targets)).astype(str), "target_id": targets})


def _samples(tested, requests, *keep, seeds=(5,)):
    """The targets themselves as samples; of each seed, those requests that `keep` names."""
    by_id = tested.set_index("id", drop=False)
    parts = []
    for seed, kept in zip(seeds, keep, strict=True):
        asked = requests.iloc[kept].reset_index(drop=True)
        part = by_id.loc[asked["target_id"]].reset_index(drop=True)
        parts.append(part.assign(id=[f"m-{seed}-{i}" for i in asked["request"]], seed=seed, **asked))
    samples = pd.concat(parts, ignore_index=True)
    requested = len(requests) * len(seeds)
    return samples, {"row": "m", "requested": requested, "decoded": len(samples), "seeds": list(seeds), "sampling_seed": 0, "rejected": {}}


def _score(table, samples, record, requests=None, draws=200, csp=False, folder=paths.FINGERPRINTS) -> tuple[pd.DataFrame, dict]:
    scoring = Scoring(tuple(record["seeds"]), record["requested"], draws, "here/metrics.json")
    if requests is None:
        return score_unconditional(table, samples, scoring)
    return score_conditional(table, samples, requests, scoring, csp, folder)


def test_undecoded_samples_count_as_failures(tested):
    requests = _requests(tested)
    asked = len(requests)
    assert asked == 19
    verdicts, metrics = _score(tested, *_samples(tested, requests, slice(0, 13)), requests)
    assert verdicts["request"].tolist() == requests["request"].tolist()
    assert verdicts["target_id"].tolist() == requests["target_id"].tolist()
    assert verdicts["matched"].tolist() == [True] * 13 + [False] * 6
    for name in ("match_rate", "structure_validity"):
        assert metrics[name]["value"] == pytest.approx(13 / asked)
        assert metrics[name]["n"] == asked
        assert metrics[name]["seeds"] == [5]
        assert metrics[name]["low"] < 13 / asked < metrics[name]["high"]


def test_only_what_was_asked_for_counts(tested):
    requests = _requests(tested).iloc[:8]
    _, metrics = _score(tested, *_samples(tested, requests, slice(0, 6)), requests)
    assert metrics["match_rate"]["n"] == 8
    assert metrics["match_rate"]["value"] == 6 / 8


@pytest.mark.parametrize("seeds", [(4, 9), (9, 4)])
def test_a_model_right_with_one_seed_only_is_half_right_and_says_which(tested, seeds):
    requests = _requests(tested)
    samples, record = _samples(tested, requests, slice(None), slice(None), seeds=seeds)
    wrong = samples["seed"] == seeds[1]
    samples.loc[wrong, "lattice"] = pd.Series([m * [[1.0], [1.0], [2.5]] for m in samples.loc[wrong, "lattice"]], samples.index[wrong])
    verdicts, metrics = _score(tested, samples, record, requests)
    rate = metrics["match_rate"]
    assert rate["value"] == 0.5
    assert rate["seeds"] == list(seeds)
    assert rate["by_seed"] == [1, 0]
    assert rate["n"] == len(requests)
    assert len(verdicts) == 2 * len(requests)
    assert verdicts.groupby("seed")["matched"].mean().to_dict() == {seeds[0]: 1, seeds[1]: 0}
    assert metrics["structure_validity"]["value"] == 1


def test_a_perfect_model_is_perfect_with_every_seed(tested):
    requests = _requests(tested)
    evaluated = _score(tested, *_samples(tested, requests, slice(None), slice(None), seeds=(1, 2)), requests)
    rate = evaluated[1]["match_rate"]
    assert (rate["value"], rate["low"], rate["high"], rate["by_seed"]) == (1, 1, 1, [1, 1])


def test_a_seed_whose_samples_are_lost_counts_all_the_same(tested):
    requests = _requests(tested)
    evaluated = _score(tested, *_samples(tested, requests, slice(0, 0), slice(None), seeds=(1, 2)), requests)
    for name in ("match_rate", "structure_validity"):
        assert evaluated[1][name]["value"] == 0.5
        assert evaluated[1][name]["by_seed"] == [0, 1]


def test_redrawing_takes_all_seeds_of_a_formula_together(tested):
    """Otherwise the same formulas, sampled with more seeds, would narrow the interval."""
    requests = _requests(tested)
    one, three = (
        _score(tested, *_samples(tested, requests, *[slice(0, 12)] * n, seeds=tuple(range(n))), requests, draws=2000)[1] for n in (1, 3)
    )
    for end in ("low", "high"):
        assert three["match_rate"][end] == pytest.approx(one["match_rate"][end], abs=1e-9)


def test_one_target_may_be_asked_for_more_than_once(tested):
    """As in modification: three inputs should become the same crystal, and one does not."""
    target = tested["id"][tested["split"] == "test"].iloc[0]
    requests = pd.DataFrame({"request": ["0", "1", "2"], "target_id": target, "input_id": ["a", "b", "c"]})
    verdicts, metrics = _score(tested, *_samples(tested, requests, [0, 2]), requests)
    assert metrics["match_rate"]["value"] == pytest.approx(2 / 3)
    assert verdicts["matched"].tolist() == [True, False, True]
    assert verdicts["input_id"].tolist() == ["a", "b", "c"]
    assert verdicts["reason"].tolist() == ["", "no sample", ""]


def test_samples_that_nothing_was_asked_of_are_checked_for_validity_and_compared_with_the_test_crystals(tested):
    samples, record = _samples(tested, _requests(tested), slice(0, 10))
    verdicts, metrics = _score(tested, samples.drop(columns=["request", "target_id"]), record)
    symmetry = {"p1_0.01", "p1_0.1", "unique", "novel"}
    assert set(metrics) == {"structure_validity", "composition_validity", "wasserstein_density", "wasserstein_elements", *symmetry}
    assert verdicts["valid"].tolist() == [True] * 10
    neutral = verdicts["composition_valid"].sum()
    assert metrics["composition_validity"]["value"] == pytest.approx(neutral / 19)
    assert metrics["wasserstein_density"]["n"] == neutral > 0, "properties of valid samples alone"
    assert metrics["structure_validity"]["value"] == pytest.approx(10 / 19)


@pytest.mark.parametrize("targeted", [True, False])
def test_a_model_whose_samples_are_all_lost_has_rates_of_zero(tested, tmp_path, targeted):
    """What an untrained network does: nothing decodes. The stage writes and reads the empty table and goes on."""
    requests = _requests(tested)
    samples, record = _samples(tested, requests, slice(0, 0))
    asked = requests.assign(item=0) if targeted else None
    save_samples(samples if targeted else samples.drop(columns=["request", "target_id"]), record, tmp_path, asked)
    _, metrics = _score(tested, *read_samples(tmp_path))
    crmse = metrics.pop("crmse", None)
    assert {row["value"] for row in metrics.values()} == {0.0}
    assert (crmse is not None) == targeted
    assert not targeted or crmse["value"] == 0.3, "what is not matched counts with the tolerance of sites"
    assert {row["n"] for row in metrics.values()} == {19}


def test_returning_the_input_is_right_where_the_polymorphs_are_one_structure():
    """Of two pairs one holds the same structure at another volume, which the matcher rescales; rock salt is none of CsCl."""
    structures = [caesium_chloride(3.0, "Ti", "Ni"), caesium_chloride(3.2, "Ti", "Ni"), rocksalt(4.4, "Ti", "Ni").get_primitive_structure()]
    table = from_structures(structures, "s", formation_energy_per_atom=[-1.0, -0.8, -0.2], energy_source="made up", split="test")
    requests = pd.DataFrame({"request": ["0", "1"], "target_id": "s-0", "input_id": ["s-1", "s-2"]})
    samples, record = run_baseline("as_is", Baseline(kind="input", task="modification"), requests, table)
    verdicts, metrics = _score(table, samples, record, requests)
    assert verdicts["matched"].tolist() == [True, False]
    assert metrics["match_rate"]["value"] == 0.5


def test_measures_beside_the_match_rate_have_known_answers():
    """Of two polymorphs each was generated when the other was asked for, once with an atom on another's place."""
    cesium, salt = caesium_chloride(3.0, "Ti", "Ni"), rocksalt(4.4, "Ti", "Ni").get_primitive_structure()
    table = from_structures([cesium, salt], "s", split="test")
    requests = pd.DataFrame({"request": ["0", "1"], "target_id": ["s-0", "s-1"]})
    record = {"seeds": [1], "requested": 2, "decoded": 2}

    def rates(one, other):
        samples = from_structures([one, other], "m", request=["0", "1"], seed=1)
        samples["target_id"] = requests["target_id"].to_numpy()
        return {name: row["value"] for name, row in _score(table, samples, record, requests)[1].items()}

    right, exchanged = rates(cesium, salt), rates(salt, cesium)
    assert [right[name] for name in ("match_rate", "match_rate_valid", "metre")] == [1, 1, 1]
    assert [right[name] for name in ("rmse", "crmse")] == pytest.approx([0, 0], abs=1e-6)
    assert [exchanged[name] for name in ("match_rate", "match_rate_valid", "metre")] == [0, 0, 1]
    assert "rmse" not in exchanged
    assert exchanged["match_rate_x5"] > 0, "at five times the tolerances the two structures are one"
    half = rates(cesium, cesium)
    assert half["metre"] == 0.5
    assert half["crmse"] == pytest.approx(0.15)


@pytest.mark.parametrize("targeted", [True, False])
def test_no_crystal_is_reduced_twice(tested, monkeypatch, targeted):
    """Targets asked for three times with two seeds, at every tolerance; and samples, each compared with all training crystals."""
    requests = pd.concat([_requests(tested)] * 3, ignore_index=True)
    requests["request"] = np.arange(len(requests)).astype(str)
    samples, record = _samples(tested, requests, slice(0, 40), slice(5, None), seeds=(1, 2))
    samples["lattice"] = [m * (1.01 + 1e-4 * i) for i, m in enumerate(samples["lattice"])]  # all differ
    reduced, map_limited = [], match.map_limited

    def counted(function, items, *settings):
        if function is match._reduce:
            reduced.extend(tuple(np.asarray(part).tobytes() for part in item) for item in items)
        return map_limited(function, items, *settings)

    monkeypatch.setattr(match, "map_limited", counted)
    _score(tested, samples, record, requests if targeted else None, draws=20, csp=targeted)
    assert len(reduced) == len(set(reduced))
    assert len(reduced) == len(samples) + (tested["split"] == ("test" if targeted else "train")).sum()


def test_repeats_and_copies_of_training_crystals_are_counted():
    structures = [caesium_chloride(3.0, "Ti", "Ni"), rocksalt(4.4, "Ti", "Al").get_primitive_structure()]
    table = from_structures(structures, "s", split=["train", "test"])
    samples = from_structures([structures[0], structures[1], caesium_chloride(3.3, "Ti", "Ni")], "m", seed=1)
    record = {"seeds": [1], "requested": 4, "decoded": 3}
    verdicts, metrics = _score(table, samples, record)
    assert verdicts["unique"].tolist() == [True, True, False], "the third is the first at another volume"
    assert verdicts["novel"].tolist() == [False, True, False], "a test crystal is new"
    assert metrics["unique"]["value"] == 0.5 and metrics["novel"]["value"] == 0.25, "of four that were asked for"
    assert verdicts["space_group_0.1"].tolist() == [221, 225, 221]
    assert metrics["p1_0.1"]["value"] == 0


def test_generic_crystals_are_valid():
    assert structure_validity(from_structures([generic(i, ["Ta", "W", "B", "Ti", "Ni"]) for i in range(10)], "s")).all()


def test_given_the_composition_a_target_counts_once_for_the_best_of_its_samples(tmp_path):
    """Of two targets one is met by the second of its samples; the other's sample has atoms on one place and counts for nothing."""
    good, bad = caesium_chloride(3.0, "Ti", "Ni"), caesium_chloride(3.0, "Ti", "Al")
    table = from_structures([good, bad], "s", split="test")
    requests = pd.DataFrame({"request": list("0123"), "target_id": ["s-0", "s-0", "s-1", "s-1"]})
    overlapping = Structure(bad.lattice, bad.species, [[0, 0, 0], [0.01, 0, 0]])
    stretched = Structure(Lattice.orthorhombic(2.0, 3.0, 8.0), good.species, good.frac_coords)
    samples = from_structures([stretched, good, overlapping, overlapping], "m", list("abcd"), request=list("0123"), seed=1)
    samples["target_id"] = requests["target_id"].to_numpy()
    record = {"seeds": [1], "requested": 4, "decoded": 4}
    verdicts, metrics = _score(table, samples, record, requests, csp=True, folder=tmp_path)
    assert verdicts["csp_matched"].tolist()[:2] == [False, True]
    assert metrics["match_rate_csp"]["value"] == 0.25 and metrics["match_rate_csp"]["n"] == 4
    assert metrics["match_rate_csp_2"]["value"] == 0.5 and metrics["match_rate_csp_2"]["n"] == 2
    kinds = ("filtered", "filtered_2", "valid", "valid_2")
    assert [metrics[f"match_rate_csp_{kind}"]["value"] for kind in kinds] == [0.25, 0.5, 0.25, 0.5]
    assert metrics["structure_validity"]["value"] == 0.5


def test_the_published_filter_asks_smact_of_the_target_too(tmp_path):
    """A composition that cannot be neutral counts for nothing there; by our filter it is matched."""
    table = from_structures([caesium_chloride(3.6, "Na", "Ne")], "s", split="test")
    requests = pd.DataFrame({"request": ["0"], "target_id": ["s-0"]})
    samples = table.assign(id="a", request="0", seed=1, target_id="s-0")
    _, metrics = _score(table, samples, {"seeds": [1], "requested": 1}, requests, csp=True, folder=tmp_path)
    kinds = ("match_rate_csp", "match_rate_csp_filtered", "match_rate_csp_valid")
    assert [metrics[name]["value"] for name in kinds] == [1, 0, 1]
