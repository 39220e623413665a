"""Crystals to test with: a small table built in code, the shared data sets, the committed library."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures, read_crystals
from crystalgen.library.recipe import load_recipe

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
LIBRARY = ROOT / "data" / "library" / "crystals.parquet"
RECIPE = ROOT / "data" / "library" / "recipe.yaml"
COVALENT_RADII = {"Ta": 1.7, "W": 1.62, "B": 0.84, "Ti": 1.6, "Ni": 1.24, "Al": 1.21}


def rocksalt(a: float, one: str = "Na", other: str = "Cl") -> Structure:
    return Structure.from_spacegroup(225, Lattice.cubic(a), [one, other], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(a: float, one: str, other: str) -> Structure:
    return Structure(Lattice.cubic(a), [one, other], [[0, 0, 0], [0.5, 0.5, 0.5]])


def wurtzite(a: float, one: str, other: str) -> Structure:
    lattice = Lattice.hexagonal(a, a * np.sqrt(8 / 3))
    return Structure.from_spacegroup("P6_3mc", lattice, [one, other], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]])


def perovskite(a: float, one: str, other: str, third: str) -> Structure:
    coords = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(a), [one, other, third, third, third], coords)


def anatase_like(a: float, one: str, other: str) -> Structure:
    return Structure.from_spacegroup(141, Lattice.tetragonal(a, 2.5 * a), [one, other], [[0, 0, 0], [0, 0, 0.21]]).get_primitive_structure()


def generic(seed: int, species: list[str], left_handed: bool = False) -> Structure:
    """A triclinic crystal without symmetry, atoms well apart; its mirror image is another crystal."""
    generator = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*generator.uniform(5.5, 7.5, 3), *generator.uniform(75, 105, 3)).matrix
    grid = np.array(list(itertools.product((0.1, 0.6), repeat=3)))[: len(species)]
    coords = (grid + generator.uniform(-0.12, 0.12, grid.shape)) % 1.0
    if left_handed:
        lattice = lattice[[1, 0, 2]]
        coords = coords[:, [1, 0, 2]]
    return Structure(lattice, species, coords)


def _prototypes() -> list[tuple[str, Structure]]:
    found = []
    for one, other in itertools.permutations(("Ta", "W", "B", "Ti"), 2):
        size = COVALENT_RADII[one] + COVALENT_RADII[other]
        found.append(("rocksalt", rocksalt(2.0 * size, one, other)))
        found.append(("rocksalt primitive", rocksalt(2.0 * size, one, other).get_primitive_structure()))
        found.append(("CsCl", caesium_chloride(1.2 * size, one, other)))
        found.append(("wurtzite", wurtzite(1.3 * size, one, other)))
    for one, other, third in (("Ta", "W", "B"), ("Ti", "Ni", "Al"), ("Ni", "Ti", "Al")):
        found.append(("perovskite", perovskite(4.0, one, other, third)))
        found.append(("triclinic", generic(len(found), [one, other, third, third, third])))
    for one, other in (("Ti", "B"), ("Ta", "B")):
        found.append(("anatase", anatase_like(3.8, one, other)))
    found.append(("left-handed", generic(90, ["Ni", "Al", "Al", "Ti"], left_handed=True)))
    found.append(("bcc", Structure(Lattice.cubic(3.16), ["W", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])))
    found.append(("hcp", Structure(Lattice.hexagonal(2.95, 4.68), ["Ti", "Ti"], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])))
    return found


@pytest.fixture(scope="session")
def _crystals() -> pd.DataFrame:
    names, structures = zip(*_prototypes(), strict=True)
    energies = np.random.default_rng(1).normal(-0.3, 0.4, len(structures)).round(6)
    energies[::9] = np.nan
    table = from_structures(
        structures,
        "test",
        [f"{i}:{name} {s.reduced_formula}" for i, (name, s) in enumerate(zip(names, structures, strict=True))],
        formation_energy_per_atom=energies,
        energy_source=np.where(np.isnan(energies), None, "made up"),
        prototype=list(names),
    )
    return find_space_groups(table)


@pytest.fixture
def crystals(_crystals) -> pd.DataFrame:
    """59 crystals of 2 to 8 atoms: polymorph groups, one left-handed cell, some without an energy."""
    return _crystals.copy(deep=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is absent: the benchmark sets are not part of the repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def _library() -> pd.DataFrame:
    if not LIBRARY.is_file():
        pytest.skip(f"{LIBRARY} is absent: `crystalgen build-library` makes it")
    return read_crystals(LIBRARY)


@pytest.fixture
def library(_library) -> pd.DataFrame:
    return _library.copy()


@pytest.fixture(scope="session")
def recipe():
    return load_recipe(RECIPE)
