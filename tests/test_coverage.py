"""Fingerprints and coverage by known answers; a crystal without a fingerprint is counted, and none is computed twice."""

import time

import numpy as np
import pandas as pd
import pytest
from conftest import perovskite, rocksalt
from matminer.featurizers.site.fingerprint import CrystalNNFingerprint
from pymatgen.core import Lattice, Structure

from crystalgen.config import load_study
from crystalgen.crystals import from_structures, to_structures
from crystalgen.datasets.tables import read_benchmark
from crystalgen.metrics.benchmarks import coverage_cutoffs
from crystalgen.metrics.coverage import Cutoffs, coverage
from crystalgen.metrics.crystal_nn import site_fingerprint
from crystalgen.metrics.fingerprints import _composition_featurizer, fingerprints, order_parameters
from crystalgen.metrics.perturbations import moved
from crystalgen.metrics.proxy import Coverage, coverage_rates
from crystalgen.utils import cache
from crystalgen.utils.statistics import Scoring
from crystalgen.utils.timeout import TimeLimit, time_limit

PEROVSKITE = Cutoffs(0.2, 4.0)


def _table(structures, source="s"):
    return from_structures(structures, source)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Rock salt, diamond and a perovskite, fingerprints kept in a folder."""
    diamond = Structure.from_spacegroup(227, Lattice.cubic(3.567), ["C"], [[0, 0, 0]]).get_primitive_structure()
    table = _table([rocksalt(5.64).get_primitive_structure(), diamond, perovskite(3.9, "Sr", "Ti", "O")])
    folder = tmp_path_factory.mktemp("fingerprints")
    return table, folder, fingerprints(table, folder, workers=1)


def test_order_parameters_know_octahedra_and_tetrahedra(known):
    labels = CrystalNNFingerprint.from_preset("ops").feature_labels()
    values = pd.DataFrame(known[2].structure, columns=labels)
    assert values.loc[0, ["wt CN_6", "octahedral CN_6"]].to_numpy() == pytest.approx(1, abs=0.02)
    assert values.loc[1, ["wt CN_4", "tetrahedral CN_4"]].to_numpy() == pytest.approx(1, abs=0.02)
    assert values.loc[2, ["wt CN_12", "cuboctahedral CN_12"]].to_numpy() == pytest.approx(0.2, abs=0.01)  # strontium, one site of five


def test_magpie_is_in_the_units_of_cdvae(known):
    labels = _composition_featurizer().feature_labels()
    salt = pd.Series(known[2].composition[0], labels)
    assert salt["MagpieData maximum Number"] == pytest.approx((17 - 58.20212663122281) / 20.189540126474725)
    mean = (22.98977 + 35.453) / 2
    assert salt["MagpieData mean AtomicWeight"] == pytest.approx((mean - 85.95794070476977) / 42.852342044453444, rel=1e-4)
    assert np.isfinite(known[2].composition).all()


def test_a_second_run_reads_what_the_first_computed(known, monkeypatch):
    table, folder, first = known

    def computed_again(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(cache, "map_limited", computed_again)
    again = fingerprints(table.iloc[[2, 0]].reset_index(drop=True), folder, workers=1)
    np.testing.assert_array_equal(again.structure, first.structure[[2, 0]])


def test_a_set_covers_itself(known):
    own = known[2]
    found = coverage(own, 3, own, PEROVSKITE)
    assert {name: values.mean() for name, values in found.items()} == {
        "coverage_recall": 1,
        "coverage_precision": 1,
        "amsd_recall": 0,
        "amsd_precision": 0,
        "amcd_recall": 0,
        "amcd_precision": 0,
    }


def test_lost_samples_are_not_covered_and_repeats_cover_nothing_more(known):
    table, folder, own = known
    twice = fingerprints(table.iloc[[0, 0]].reset_index(drop=True), folder, workers=1)
    found = {name: values.mean() for name, values in coverage(twice, 5, own, PEROVSKITE).items()}
    assert found["coverage_recall"] == pytest.approx(1 / 3) and found["coverage_precision"] == pytest.approx(2 / 5)
    assert found["amsd_precision"] == 0 and found["amsd_recall"] > 0.1


def test_the_right_structure_of_the_wrong_chemistry_is_not_covered(tmp_path):
    reference = fingerprints(_table([rocksalt(5.64)]), tmp_path, workers=1)
    swapped = fingerprints(_table([rocksalt(5.64, "Ta", "N")]), tmp_path, workers=1)
    found = coverage(swapped, 1, reference, PEROVSKITE)
    assert found["amsd_precision"].item() < 0.05 and found["amcd_precision"].item() > 4
    assert found["coverage_precision"].item() == 0


def test_larger_displacements_are_farther_away(tmp_path):
    still = perovskite(3.9, "Sr", "Ti", "O")
    step = np.random.default_rng(0).normal(size=(5, 3))
    moved = [Structure(still.lattice, still.species, still.frac_coords + size * step) for size in (0.0, 0.01, 0.04, 0.12)]
    own = fingerprints(_table(moved), tmp_path, workers=1)
    distances = np.linalg.norm(own.structure - own.structure[0], axis=1)
    assert (np.diff(distances) > 0).all()


def test_a_crystal_that_fails_is_counted_with_its_reason(known, tmp_path):
    table, folder, _ = known
    samples = table.assign(seed=1)
    nothing = fingerprints(_table([Structure(Lattice.orthorhombic(120, 0.2, 0.2), ["Na"], [[0, 0, 0]])]), tmp_path, workers=1)
    assert len(nothing.rows) == 0 and nothing.failed[0].startswith("neighbours: ")
    metrics, why = coverage_rates(samples, table, Scoring((1,), 4, 50, "here"), Coverage(PEROVSKITE, folder))
    assert metrics["coverage_precision"]["value"] == 0.75 and metrics["coverage_recall"]["value"] == 1
    assert metrics["coverage_precision"]["n"] == 4 and list(why) == ["", "", ""]


def test_seeds_cover_alone(known):
    """Two seeds that each cover a third of the reference do not cover two thirds."""
    table, folder, _ = known
    samples = table.iloc[[0, 1]].assign(seed=[1, 2]).reset_index(drop=True)
    metrics, _ = coverage_rates(samples, table, Scoring((1, 2), 2, 50, "here"), Coverage(PEROVSKITE, folder))
    assert metrics["coverage_recall"]["value"] == pytest.approx(1 / 3)
    assert metrics["coverage_recall"]["by_seed"] == pytest.approx([1 / 3, 1 / 3], abs=1e-6)


def test_cut_offs_are_those_of_the_set():
    assert coverage_cutoffs(load_study("perov_5_demo")) == coverage_cutoffs(load_study("carbon_24_demo")) == Cutoffs(0.2, 4.0)
    assert coverage_cutoffs(load_study("mp_20_demo")) == Cutoffs(0.4, 10.0)
    assert coverage_cutoffs(load_study("demo")) is None


def test_perovskites_are_like_perovskites(shared_data, tmp_path):
    """Real crystals of one set: structures near each other, compositions from near to far."""
    table = read_benchmark(shared_data / "perov_5.parquet")
    one, other = table.head(24), table.tail(24)
    found = coverage(fingerprints(one, tmp_path), 24, fingerprints(other, tmp_path), PEROVSKITE)
    assert found["amsd_precision"].mean() < 0.2
    assert 0 < found["amcd_precision"].mean() < 8


def test_a_time_limit_ends_what_takes_too_long_and_leaves_no_alarm():
    with pytest.raises(TimeLimit, match=r"took longer than 0\.05 s"), time_limit(0.05):
        while True:
            pass
    with time_limit(0.05):
        pass
    time.sleep(0.1)  # an alarm left behind would end the test run


def test_a_call_out_of_python_that_takes_too_long_is_ended(tmp_path):
    """A cell so long that its Voronoi polyhedra close only in a sphere of a hundred thousand atoms."""
    long = Structure(Lattice.orthorhombic(120, 3, 3), ["Na", "Cl"], [[0, 0, 0], [0.02, 0.5, 0.5]])
    start = time.perf_counter()
    found = fingerprints(_table([long, rocksalt(5.64)]), tmp_path, workers=1, limit=2)
    assert found.failed == {0: "neighbours: took longer than 2 s"}
    assert found.rows.tolist() == [1]
    assert time.perf_counter() - start < 30


@pytest.mark.parametrize("noise", [0, 0.05, 0.5])
def test_fingerprints_are_matminers(shared_data, noise):
    """Of crystals with and without symmetry, site by site."""
    table = read_benchmark(shared_data / "mp_20.parquet").sample(12, random_state=5)
    plain = CrystalNNFingerprint.from_preset("ops")
    for structure in to_structures(moved(table, np.random.default_rng(0), noise)):
        for site in range(len(structure)):
            np.testing.assert_allclose(site_fingerprint(structure, site), plain.featurize(structure, site), atol=5e-9)
        assert order_parameters(structure)["status"] == ""
