"""The library's potentials: known crystals, volumes of a scan, relaxations."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from chgnet.model import CHGNetCalculator
from conftest import caesium_chloride, generic
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.library.volumes import Volumes, best_volumes, birch_murnaghan_minimum
from crystalgen.potentials.registry import calculator, find_potential
from crystalgen.potentials.relaxation import minimise
from crystalgen.potentials.single_point import energies_per_atom


@pytest.mark.slow
def test_the_potentials_find_tungsten(recipe):
    """bcc W has 15.9 Å^3 per atom; the energy without the force head is the full calculator's."""
    pytest.importorskip("chgnet")
    calculator_module = pytest.importorskip("sevenn.calculator")
    tungsten = Structure(Lattice.cubic(3.0), ["W", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (volume,) = best_volumes([tungsten], Volumes(scales=recipe.volumes.scales, batch_size=4))
    assert volume / 2 == pytest.approx(15.9, rel=0.03)
    structures = [tungsten, caesium_chloride(3.0, "Ti", "Ni")]
    theirs = calculator_module.SevenNetCalculator("7net-l3i5", device="cpu")
    expected = []
    for structure in structures:
        atoms = structure.to_ase_atoms()
        atoms.calc = theirs
        expected.append(atoms.get_potential_energy() / len(atoms))
    np.testing.assert_allclose(energies_per_atom(structures), expected, rtol=1e-6)


def generic_cells() -> list[Structure]:
    """Crystals with and without symmetry, of one and four elements, and an atom alone."""
    rng = np.random.default_rng(5)
    sheared = Lattice([[5.1, 0.3, 0], [0.4, 4.8, 0.2], [0, 0.6, 6.3]])
    corners = [[0.1, 0.1, 0.1], [0.6, 0.1, 0.6], [0.1, 0.6, 0.6], [0.6, 0.6, 0.1], [0.35, 0.85, 0.35]]
    mixed = Structure(sheared, ["Li", "Fe", "P", "O", "O"], np.array(corners) + 0.03 * rng.normal(size=(5, 3)))
    return [mixed, bulk_silicon(), Structure(Lattice.cubic(12.0), ["Ar"], [[0, 0, 0]])]


def test_sums_over_neighbours_first_are_the_packages_energies_forces_and_stresses():
    """Each energy is of every angular momentum that the layers couple, and each force of every path back through them."""
    calculator_module = pytest.importorskip("sevenn.calculator")
    for structure in generic_cells():
        atoms = AseAtomsAdaptor.get_atoms(structure)
        ((energy, forces, stress),) = find_potential("7net-l3i5").together()([atoms])
        atoms.calc = calculator_module.SevenNetCalculator("7net-l3i5", device="cpu")
        assert energies_per_atom([structure])[0] == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-5)
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=2e-5)
        np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-6)


@pytest.mark.parametrize("name", ["chgnet", "7net-l3i5"])
def test_cells_of_one_call_know_nothing_of_each_other(name):
    together = find_potential(name).together()
    cells = [AseAtomsAdaptor.get_atoms(structure) for structure in [*generic_cells()[:2], caesium_chloride(3.0, "Ti", "Ni")]]
    for alone, beside in zip([together([cell])[0] for cell in cells], together(cells), strict=True):
        for one, other in zip(alone, beside, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)


def bulk_silicon() -> Structure:
    return AseAtomsAdaptor.get_structure(bulk("Si"))


def test_a_volume_without_a_minimum_inside_the_scan_is_nan():
    scales = np.array([0.62, 0.74, 0.87, 1.0, 1.14, 1.32, 1.55])
    fit = birch_murnaghan_minimum
    assert np.isnan(fit(scales, scales))
    assert np.isnan(fit(scales, -scales))
    assert np.isnan(fit(scales, np.where(scales == 1.0, np.nan, (scales - 1) ** 2)))


@pytest.mark.parametrize("minimum", [0.8, 0.9, 1.05, 1.2])
def test_a_birch_murnaghan_curve_gives_its_minimum_back(minimum):
    """Birch 1947: a cubic in (V0/V)^(2/3); here with a pressure derivative of 4.3."""
    scales = np.array([0.62, 0.74, 0.87, 1.0, 1.14, 1.32, 1.55])
    eta = (minimum / scales) ** (2 / 3)
    energies = (eta - 1) ** 3 * 4.3 + (eta - 1) ** 2 * (6 - 4 * eta)
    assert birch_murnaghan_minimum(scales, energies) == pytest.approx(minimum, rel=1e-6)


def test_a_relaxation_is_ases_own_with_the_cells_forces_worked_out_once_a_step(monkeypatch):
    """Copper with a vacancy and a shear, by the effective medium theory: bit for bit the geometry of ASE's filter."""
    atoms = bulk("Cu", cubic=True)[:3]
    atoms.set_cell(atoms.cell.array @ np.array([[1.05, 0.04, 0], [0, 0.97, 0], [0, 0, 1.0]]), scale_atoms=True)
    structure = AseAtomsAdaptor.get_structure(atoms)
    atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.calc = EMT()
    asked = []
    whole = FrechetCellFilter.get_forces
    monkeypatch.setattr(FrechetCellFilter, "get_forces", lambda self: asked.append(1) or whole(self))
    expected = LBFGS(FrechetCellFilter(atoms), logfile=None)
    converged = expected.run(fmax=0.02, steps=30)
    assert len(asked) > 2 * expected.nsteps > 10
    asked.clear()
    relaxed, *outcome = minimise(structure, 0.02, 30, None, EMT())
    assert outcome == [converged, expected.nsteps]
    assert len(asked) == expected.nsteps + 1
    np.testing.assert_array_equal(relaxed.lattice.matrix, atoms.cell.array)
    np.testing.assert_array_equal(relaxed.frac_coords, AseAtomsAdaptor.get_structure(atoms).frac_coords)


SQUEEZED = generic(3, ["Ta", "W", "B", "B", "B"])
ONE_ATOM = Structure(Lattice.cubic(3.2), ["W"], [[0, 0, 0]])  # no two bonds below 3 Å meet, hence no angles


@pytest.mark.parametrize("structure", [SQUEEZED, ONE_ATOM], ids=["angles", "no angles"])
def test_chgnets_forces_in_one_pass_are_the_packages(structure):
    """Which has neither our single backward pass nor our order of multiplications."""
    found = []
    for forces in (calculator("chgnet"), CHGNetCalculator(use_device="cpu", verbose=False)):
        atoms = structure.to_ase_atoms(calculator=forces)
        found.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
    for ours, theirs, tolerance in zip(*found, (1e-5, 1e-4, 1e-5), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=tolerance)
    assert structure is ONE_ATOM or np.abs(found[0][2]).max() > 1e-2, "a squeezed crystal, whose stress is not nothing"
