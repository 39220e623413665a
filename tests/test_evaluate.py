"""Validity, intervals and rates: what failed is counted as failed."""

import json

import numpy as np
import pytest
import torch
from conftest import generic

from crystalgen.config import Sampling
from crystalgen.crystals import from_columns, from_structures, read_crystals, to_structures
from crystalgen.crystals.geometry import nearest_distances
from crystalgen.evaluate.statistics import clustered_bootstrap, rate
from crystalgen.evaluate.summary import evaluate_samples, read_samples
from crystalgen.evaluate.validity import structure_validity
from crystalgen.generate import generate_for_targets, generate_freely, save_samples
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors
from crystalgen.tensors import load_data

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
    row = rate([True, False, True, True], ["a", "b", "c", "d"], 500, [7], "file.json")
    assert row["value"] == 0.75
    assert row["low"] <= 0.75 <= row["high"]
    assert (row["n"], row["seeds"], row["source"]) == (4, [7], "file.json")


# From samples to rates


@pytest.fixture
def tested(crystals):
    return crystals.assign(split=np.where(np.arange(len(crystals)) < 40, "train", "test"))


def _samples(tested, keep):
    targets = tested[tested["split"] == "test"].reset_index(drop=True)
    samples = targets.iloc[keep].reset_index(drop=True)
    samples["target_id"] = samples["id"]
    record = {
        "model": "m",
        "requested": len(targets),
        "decoded": len(samples),
        "seed": 5,
        "rejected": {},
        "targets": targets["id"].tolist(),
    }
    return samples, record


def test_undecoded_samples_count_as_failures(tested):
    samples, record = _samples(tested, slice(0, 13))
    asked = record["requested"]
    assert asked == 19
    verdicts, metrics = evaluate_samples(tested, samples, record, 200, "here")
    assert len(verdicts) == asked
    for name in ("match_rate", "structure_validity"):
        assert metrics[name]["value"] == pytest.approx(13 / asked)
        assert metrics[name]["n"] == asked
        assert metrics[name]["seeds"] == [5]
        assert metrics[name]["low"] < 13 / asked < metrics[name]["high"]


def test_only_the_targets_that_were_asked_for_count(tested):
    samples, record = _samples(tested, slice(0, 6))
    record |= {"requested": 8, "targets": record["targets"][:8]}
    _, metrics = evaluate_samples(tested, samples, record, 200, "here")
    assert metrics["match_rate"]["n"] == 8
    assert metrics["match_rate"]["value"] == 6 / 8


def test_samples_of_no_target_are_checked_for_validity_alone(tested):
    samples, record = _samples(tested, slice(0, 10))
    verdicts, metrics = evaluate_samples(tested, samples.drop(columns="target_id"), record, 200, "here")
    assert set(metrics) == {"structure_validity"}
    assert verdicts["valid"].tolist() == [True] * 10
    assert metrics["structure_validity"]["value"] == pytest.approx(10 / 19)


@pytest.mark.parametrize("targeted", [True, False])
def test_a_model_whose_samples_are_all_lost_has_rates_of_zero(tested, tmp_path, targeted):
    """What an untrained network does: nothing decodes. The stage writes and reads the empty table and goes on."""
    samples, record = _samples(tested, slice(0, 0))
    save_samples(samples if targeted else samples.drop(columns="target_id"), record, tmp_path)
    _, metrics = evaluate_samples(tested, *read_samples(tmp_path), 200, "here")
    assert {row["value"] for row in metrics.values()} == {0.0}
    assert {row["n"] for row in metrics.values()} == {19}


# From a network to samples


class _Says:
    """An objective whose every sample is known."""

    def __init__(self, x: torch.Tensor):
        self.x = x

    def sample(self, model, shape, condition, sampling, generator):
        return self.x[: shape[0]].clone()


def _target_data(tested, tmp_path):
    table = tested.assign(formation_energy_per_atom=0.1, energy_source="made up")
    save_tensors(matrix_tensors(table), tmp_path / "m.safetensors")
    return table, load_data("matrix", tmp_path / "m.safetensors")


def test_a_perfect_model_gives_back_its_targets(tested, tmp_path):
    table, data = _target_data(tested, tmp_path)
    x = data.x[data.rows(2)]
    samples, record = generate_for_targets(torch.nn.Identity(), _Says(x), data, table, Sampling(sampler="euler", steps=1), "m")
    assert samples["target_id"].tolist() == table["id"][table["split"] == "test"].tolist() == record["targets"]
    assert (record["requested"], record["decoded"], record["rejected"]) == (19, 19, {})
    _, metrics = evaluate_samples(table, samples, record, 200, "here")
    assert metrics["match_rate"]["value"] == 1


def test_samples_that_are_no_crystals_are_counted_by_reason(tested, tmp_path):
    table, data = _target_data(tested, tmp_path)
    x = data.x[data.rows(2)].clone()
    x[0, 0, 0] = torch.nan
    x[1, -1] = torch.inf
    zero = (0 - data.tensors["lattice_mean"]) / data.tensors["lattice_std"] * 12**-0.5 + 0.5
    x[2, -3:] = zero
    samples, record = generate_for_targets(torch.nn.Identity(), _Says(x), data, table, Sampling(sampler="euler", steps=1), "m")
    assert record["decoded"] == len(samples) == 16
    assert sorted(record["rejected"].values()) == [1, 2]
    assert samples["target_id"].tolist() == record["targets"][3:]
    assert sorted(record["targets"]) == sorted(table["id"][table["split"] == "test"])


def test_a_limit_on_targets_is_a_repeatable_draw_of_test_crystals(tested, tmp_path):
    table, data = _target_data(tested, tmp_path)
    sampling = Sampling(sampler="euler", steps=1, max_targets=6)
    draws = []
    for _ in range(2):
        _, record = generate_for_targets(torch.nn.Identity(), _Says(data.x), data, table, sampling, "m")
        draws.append(record["targets"])
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 6
    assert set(draws[0]) <= set(table["id"][table["split"] == "test"])


def test_free_samples_without_atoms_are_rejected_and_the_rest_can_be_written(tested, tmp_path):
    table = tested[tested["prototype"] == "triclinic"].assign(split="train").reset_index(drop=True)
    save_tensors(unimat_tensors(table), tmp_path / "u.safetensors")
    data = load_data("unimat", tmp_path / "u.safetensors")
    x = data.x.clone()
    x[0, :3] = -1.0
    samples, record = generate_freely(torch.nn.Identity(), _Says(x), data, table, Sampling(sampler="ddpm", steps=1, count=3), "m")
    assert record["rejected"] == {"no atoms": 1}
    assert (record["requested"], len(samples)) == (3, 2)
    save_samples(samples, record, tmp_path)
    assert read_crystals(tmp_path / "crystals.parquet")["formula"].tolist() == table["formula"].iloc[1:3].tolist()
    assert json.loads((tmp_path / "record.json").read_text()) == record


def test_generic_crystals_are_valid():
    assert structure_validity(from_structures([generic(i, ["Ta", "W", "B", "Ti", "Ni"]) for i in range(10)], "s")).all()
