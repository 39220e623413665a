"""The compiled matcher against pymatgen: reduced cells, assignments, verdicts and displacements."""

import time

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice
from scipy.optimize import linear_sum_assignment

from crystalgen.crystals import to_structures
from crystalgen.datasets.tables import read_benchmark
from crystalgen.matching.assignment import assign
from crystalgen.matching.match import CSP, Tolerances, match_cells, match_pairs, reduce_table
from crystalgen.matching.reduction import niggli_cell, reduce_cell
from crystalgen.metrics.perturbations import mixed_pairs

PAIRS = 240  # of each set; benchmarks/matching.py tries 21,000


@pytest.fixture(scope="module")
def pairs(shared_data):
    return {name: mixed_pairs(read_benchmark(shared_data / f"{name}.parquet"), PAIRS, seed=4) for name in ("perov_5", "carbon_24", "mp_20")}


@pytest.mark.parametrize("name", ["perov_5", "carbon_24", "mp_20"])
def test_reduced_cells_are_pymatgens(pairs, name):
    changed = pairs[name][0]
    matcher, shrunk = StructureMatcher(), 0
    for cell, structure in zip(reduce_table(changed, workers=1), to_structures(changed), strict=True):
        expected = matcher._get_reduced_structure(structure)
        np.testing.assert_allclose(cell.lattice, expected.lattice.matrix, atol=1e-7)
        assert cell.numbers.tolist() == list(expected.atomic_numbers)
        gap = cell.coords - expected.frac_coords
        np.testing.assert_allclose(gap - np.round(gap), 0, atol=1e-7)
        shrunk += len(expected) < len(structure)
    assert shrunk >= PAIRS // 20, "cells that can be made smaller are among them"


@pytest.mark.parametrize("tolerances", [Tolerances(), CSP, Tolerances(stol=0.1), Tolerances(ltol=0.05, angle_tol=2)])
@pytest.mark.parametrize("name", ["perov_5", "carbon_24", "mp_20"])
def test_verdicts_and_displacements_are_pymatgens(pairs, name, tolerances):
    samples, targets, _ = pairs[name]
    ours = match_pairs(samples, targets, tolerances, workers=1)
    matcher = StructureMatcher(tolerances.ltol, tolerances.stol, tolerances.angle_tol)
    structures = list(zip(to_structures(samples), to_structures(targets), strict=True))
    theirs = [matcher.get_rms_dist(sample, target) for sample, target in structures]
    if tolerances.by_rms:
        verdicts = [found is not None for found in theirs]
    else:
        verdicts = [matcher.fit(sample, target) for sample, target in structures]
    assert ours["matched"].tolist() == verdicts
    assert PAIRS // 8 < sum(verdicts) < PAIRS - PAIRS // 8
    expected = [found[0] for found, verdict in zip(theirs, verdicts, strict=True) if verdict]
    np.testing.assert_allclose(ours["rms"][ours["matched"]], expected, atol=1e-4)


def test_the_choice_among_equal_niggli_cells_is_pymatgens():
    """Random cells, and such as have many equal descriptions."""
    rng = np.random.default_rng(0)
    symmetric = [
        Lattice.cubic(4),
        Lattice.hexagonal(3, 5),
        Lattice.rhombohedral(4, 60),
        Lattice.rhombohedral(4, 89.7),
        Lattice.tetragonal(3, 4),
    ]
    cells = [lattice.matrix for lattice in symmetric] + list(rng.normal(0, 4, (60, 3, 3)))
    for cell in cells:
        for _ in range(3):
            turn = np.eye(3)
            for i, j in rng.permutation([(i, j) for i in range(3) for j in range(3) if i != j]):
                turn[i] += rng.integers(-1, 2) * turn[j]
            np.testing.assert_allclose(niggli_cell(turn @ cell), Lattice(turn @ cell).get_niggli_reduced_lattice().matrix, atol=1e-8)


def test_assignments_are_scipys():
    rng = np.random.default_rng(1)
    for _ in range(300):
        cost = rng.integers(0, 6, (n := rng.integers(1, 12), n)).astype(float)  # ties
        cost[rng.random((n, n)) < 0.3] = 1e20
        assert assign(cost).tolist() == linear_sum_assignment(cost)[1].tolist()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("nan", "not finite"), ("flat", "volume"), ("needle", "too long for its volume")],
)
def test_a_cell_without_a_reduction_says_why(crystals, fault, reason):
    lattice = crystals["lattice"].iloc[0].copy()
    change = {"nan": np.nan * lattice, "flat": np.diag([1.0, 1.0, 0.0]) @ lattice, "needle": np.diag([1e-3, 1.0, 1e8]) @ lattice}[fault]
    (found,) = reduce_table(crystals.head(1).assign(lattice=[change]), workers=1, limit=5)
    assert isinstance(found, str)
    assert reason in found


def test_a_pair_that_takes_too_long_is_a_row_with_a_reason():
    """Of hundreds of equal atoms there are billions of ways to lay one crystal on another."""
    rng = np.random.default_rng(0)
    cells = [reduce_cell(np.eye(3) * 18, np.full(600, 6), rng.random((600, 3))) for _ in range(2)]
    start = time.monotonic()
    found = match_cells(cells[:1] * 2, [cells[1], cells[0]], [[0, 0]], CSP, workers=1, limit=1)
    assert time.monotonic() - start < 30
    assert found["reason"].tolist() == ["matcher failed: took longer than 1 s"]
    assert not found["matched"].any()
