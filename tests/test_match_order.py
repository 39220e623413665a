"""The sample is asked about first: StructureMatcher's verdict depends on the order, and ours is that of (sample, target)."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalgen.crystals import from_structures
from crystalgen.matching.match import CSP, Tolerances, match_pairs, reduce_table
from crystalgen.matching.novelty import is_same, nearest_sample, nearest_target


def _ytterbium_nickel_boride() -> Structure:
    """Yb2Ni8B2 of the CeCo4B type."""
    coords = [[0, 0, 0], [0, 0, 0.5], [1 / 3, 2 / 3, 0], [0.5, 0, 0.29], [1 / 3, 2 / 3, 0.5]]
    return Structure.from_spacegroup(191, Lattice.hexagonal(4.97, 6.95), ["Yb", "Yb", "Ni", "Ni", "B"], coords)


def _lead_iodide() -> Structure:
    return Structure.from_spacegroup(164, Lattice.hexagonal(4.56, 6.98), ["Pb", "I"], [[0, 0, 0], [1 / 3, 2 / 3, 0.265]])


def _heusler() -> Structure:
    return Structure.from_spacegroup(225, Lattice.cubic(5.95), ["Al", "Mn", "Cu"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]])


def _laves() -> Structure:
    return Structure.from_spacegroup(227, Lattice.cubic(7.35), ["Tb", "Fe"], [[0.125, 0.125, 0.125], [0.5, 0.5, 0.5]])


def _wurtzite() -> Structure:
    return Structure.from_spacegroup(186, Lattice.hexagonal(3.25, 5.2), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]])


PAIRS = [
    pytest.param(_ytterbium_nickel_boride, (0.01, 0, 0), (2, 3, 2), Tolerances(), id="CeCo4B"),
    pytest.param(_lead_iodide, (-0.01, 0, 0.01), (3, 3, 1), Tolerances(), id="CdI2"),
    pytest.param(_heusler, (0.01, -0.04, 0.03), (0, 4, 3), Tolerances(), id="Heusler"),
    pytest.param(_laves, (-0.16, 0.04, 0.01), (0, -2, 0), CSP, id="Laves"),
    pytest.param(_wurtzite, (-0.03, 0.02, 0.02), (-1, -9, 2), CSP, id="wurtzite"),
]


@pytest.mark.parametrize(("build", "stretch", "turn", "tolerances"), PAIRS)
def test_the_verdict_is_that_of_sample_before_target(build, stretch, turn, tolerances):
    """A strained cell matches the ideal one; the ideal one does not match the strained one."""
    ideal = build()
    lengths, angles = np.array(ideal.lattice.abc) * (1 + np.array(stretch)), np.array(ideal.lattice.angles) + turn
    strained = Structure(Lattice.from_parameters(*lengths, *angles), ideal.species, ideal.frac_coords)
    matcher = StructureMatcher(tolerances.ltol, tolerances.stol, tolerances.angle_tol)
    for sample, target, expected in ((strained, ideal, True), (ideal, strained, False)):
        found = matcher.get_rms_dist(sample, target)
        assert (found is not None if tolerances.by_rms else matcher.fit(sample, target)) == expected, "pymatgen's, in this order"
        samples, targets = from_structures([sample], "sample"), from_structures([target], "target")
        cells = reduce_table(samples, workers=1), reduce_table(targets, workers=1)
        for verdicts in (
            match_pairs(samples, targets, tolerances, workers=1),
            nearest_target(*cells, tolerances, workers=1),
            nearest_sample(*cells, tolerances, workers=1),
        ):
            assert verdicts["matched"].tolist() == [expected]
            if expected:
                np.testing.assert_allclose(verdicts["rms"], found[0], atol=1e-6)
        if tolerances == Tolerances():
            assert is_same(cells[0][0], cells[1][0]) == expected
