"""Representations: what is encoded comes back, on every crystal there is, and one crystal has one description."""

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice

from crystalgen.crystals import from_columns, from_structures, to_structures
from crystalgen.datasets.tables import read_benchmark
from crystalgen.represent import matrix, unimat
from crystalgen.represent.canonical import canonicalise, wrap
from crystalgen.represent.check import largest_round_trip_error
from crystalgen.utils.lattice import lattices_from_parameters

EXACT = 1e-5
TIGHT = {"ltol": 1e-4, "stol": 1e-4, "angle_tol": 0.01, "primitive_cell": False, "scale": False}


@pytest.fixture(scope="module")
def benchmarks(shared_data):
    cache = {}

    def get(name: str) -> pd.DataFrame:
        if name not in cache:
            cache[name] = read_benchmark(shared_data / f"{name}.parquet")
        return cache[name]

    return get


def _by_depth(table: pd.DataFrame, size: int):
    """Slices of at most 20 atoms with the most atoms of one element alike: UniMat's arrays stay small."""
    table = table[table["nsites"] <= 20]
    depth = table["atomic_numbers"].map(lambda z: np.bincount(z).max()).to_numpy()
    table = table.iloc[np.argsort(depth, kind="stable")]
    for start in range(0, len(table), size):
        yield table.iloc[start : start + size]


# Exactness


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
@pytest.mark.parametrize("name", ["perov_5", "carbon_24", "mp_20"])
def test_every_benchmark_crystal_comes_back(benchmarks, name, representation):
    for part in _by_depth(benchmarks(name), 1000):
        assert largest_round_trip_error(part, representation) < EXACT


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_every_library_crystal_comes_back(library, representation):
    for part in _by_depth(library, 1000):
        assert largest_round_trip_error(part, representation) < EXACT


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_every_small_crystal_comes_back(crystals, representation):
    assert largest_round_trip_error(crystals, representation) < EXACT
    assert largest_round_trip_error(canonicalise(crystals), representation) < EXACT


def _through_the_table(table: pd.DataFrame, block: unimat.Table):
    placed = unimat.encode(table, block)
    return unimat.decode(unimat.dense(placed, block), placed.cell, block)


def _decoded(table: pd.DataFrame, representation: str) -> list:
    if representation == "matrix":
        parts = matrix.decode(matrix.encode(table))
    else:
        parts = _through_the_table(table, unimat.table_for(table))
    return to_structures(from_columns(*parts, source="decoded"))


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_decoded_crystals_are_the_same_crystals(benchmarks, crystals, representation):
    """Judged without `represent.check`: distances between all pairs of sites, and a matcher with tight tolerances."""
    sample = pd.concat([benchmarks("mp_20").sample(40, random_state=1), crystals], ignore_index=True)
    matcher = StructureMatcher(**TIGHT)
    for before, after in zip(to_structures(sample), _decoded(sample, representation), strict=True):
        assert after.formula == before.formula
        np.testing.assert_allclose(sorted(after.lattice.parameters), sorted(before.lattice.parameters), atol=EXACT)
        np.testing.assert_allclose(np.sort(after.distance_matrix.ravel()), np.sort(before.distance_matrix.ravel()), atol=2e-4)
        assert matcher.fit(before, after)


@pytest.mark.parametrize("coordinate", [0.99999, 0.99999 + 1e-9, 1 - 1e-9, -1e-9, 0.5])
def test_the_check_has_no_step_where_coordinates_are_wrapped(coordinate):
    """The AFLOW prototypes are full of 0.99999: one side wrapped to 0 and the other not is no error of the representation."""
    table = from_columns([np.eye(3) * 4], [[6]], [[[coordinate] * 3]], "s")
    assert largest_round_trip_error(table, "matrix") < 1e-7


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
@pytest.mark.parametrize("left_handed", [False, True])
def test_a_decoded_crystal_is_not_its_mirror_image(representation, left_handed):
    table = from_structures([generic(8, ["Ta", "W", "B", "Ti"], left_handed)], "s")
    (after,) = _decoded(table, representation)
    before, after = (canonicalise(t).iloc[0] for t in (table, from_structures([after], "s")))
    np.testing.assert_allclose(wrap(after["frac_coords"]), wrap(before["frac_coords"]), atol=1e-4)
    np.testing.assert_allclose(after["lattice"], before["lattice"], atol=1e-4)


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_the_check_sees_a_lost_digit(crystals, representation, monkeypatch):
    module = {"matrix": matrix, "unimat": unimat}[representation]
    decode = module.decode

    def spoilt(*args):
        lattices, numbers, coords = decode(*args)
        coords[3] = coords[3] + np.array([0.001, 0, 0])
        return lattices, numbers, coords

    monkeypatch.setattr(module, "decode", spoilt)
    assert largest_round_trip_error(crystals, representation) == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_the_check_sees_a_changed_element(crystals, representation, monkeypatch):
    module = {"matrix": matrix, "unimat": unimat}[representation]
    decode = module.decode

    def spoilt(*args):
        lattices, numbers, coords = decode(*args)
        numbers[3] = numbers[3] + 1
        return lattices, numbers, coords

    monkeypatch.setattr(module, "decode", spoilt)
    assert largest_round_trip_error(crystals, representation) == np.inf


# Matrix


def test_a_matrix_has_atoms_above_padding_and_the_lattice_below(crystals):
    encoded = matrix.encode(crystals)
    rows = crystals["nsites"].max() + 4
    assert encoded.x.shape == (len(crystals), rows, 3)
    for x, z, (_, crystal) in zip(encoded.x, encoded.atomic_numbers, crystals.iterrows(), strict=True):
        n = crystal["nsites"]
        np.testing.assert_array_equal(z[:n], crystal["atomic_numbers"])
        np.testing.assert_array_equal(x[:n], crystal["frac_coords"].astype(np.float32))
        np.testing.assert_array_equal(x[-3:], crystal["lattice"].astype(np.float32))
        assert (z[n:] == 0).all()
        assert (x[n:-3] == 0).all()


def test_a_crystal_too_long_for_the_matrix_is_named(crystals):
    assert matrix.encode(crystals, 64).x.shape[1:] == (64, 3)
    longest = crystals["nsites"].idxmax()
    with pytest.raises(ValueError, match="8 sites; 11 rows hold 7") as error:
        matrix.encode(crystals, 11)
    assert crystals["id"][longest] in str(error.value)


# UniMat


@pytest.fixture
def ta_w_b3(crystals) -> pd.DataFrame:
    return crystals[crystals["prototype"] == "perovskite"].head(1)


def test_carbon_needs_one_place(benchmarks):
    carbon = benchmarks("carbon_24").head(50)
    block = unimat.table_for(carbon)
    assert block.elements.tolist() == [[6]]
    placed = unimat.encode(carbon, block)
    assert unimat.dense(placed, block).shape == (50, 3, carbon["nsites"].max(), 1, 1)
    assert placed.cell.shape == (50, 6)


def test_a_block_is_periods_by_groups_and_as_deep_as_the_most_atoms_of_one_element(crystals):
    block = unimat.table_for(crystals[crystals["reduced_formula"].isin(["TaB3W", "TaB"])])
    assert block.elements.tolist() == [[0, 0, 5], [73, 74, 0]]
    assert block.shape == (4, 2, 3)


def test_the_full_table_holds_every_element():
    table = from_columns([np.eye(3) * 30], [np.arange(1, 104)], [np.random.default_rng(0).random((103, 3))], "s")
    block = unimat.table_for(table)
    assert block.shape == (1, 9, 18)
    assert largest_round_trip_error(table, "unimat") < EXACT
    _, numbers, _ = _through_the_table(table, block)
    assert sorted(numbers[0]) == list(range(1, 104))


@pytest.mark.parametrize(("value", "kept"), [(-0.6, False), (-0.51, False), (-0.5, True), (-0.4, True), (0.0, True), (-1.0, False)])
def test_a_place_holds_an_atom_from_the_threshold_on(ta_w_b3, value, kept):
    one, block = ta_w_b3, unimat.table_for(ta_w_b3)
    placed = unimat.encode(one, block)
    grid = unimat.dense(placed, block)
    layer, row, column = 0, *(int(i[0]) for i in np.nonzero(block.elements == Element("W").Z))
    grid[0, :, layer, row, column] = value
    _, numbers, coords = unimat.decode(grid, placed.cell, block)
    assert (Element("W").Z in numbers[0]) == kept
    assert len(coords[0]) == len(numbers[0]) == 4 + kept


def test_a_place_between_elements_never_holds_an_atom(ta_w_b3):
    one, block = ta_w_b3, unimat.table_for(ta_w_b3)
    placed = unimat.encode(one, block)
    grid = unimat.dense(placed, block)
    grid[:, :, :, block.elements == 0] = 0.5
    assert sorted(unimat.decode(grid, placed.cell, block)[1][0]) == [5, 5, 5, 73, 74]


def test_where_the_places_are_known_atoms_stand_there_and_nowhere_else(ta_w_b3):
    block = unimat.table_for(ta_w_b3)
    placed = unimat.encode(ta_w_b3, block)
    right = unimat.dense(placed, block)
    occupied = (right > -1).all(axis=1)
    wild = np.random.default_rng(0).normal(-1, 2, right.shape)
    lattices, numbers, coords = unimat.decode(wild, placed.cell, block, occupied)
    assert sorted(numbers[0]) == [5, 5, 5, 73, 74]
    assert np.isin(coords[0], wild).all()


def test_coordinates_a_rounding_error_below_one_stay_clear_of_null():
    table = from_columns([np.eye(3) * 4], [[6]], [[[-1e-17, 1 - 1e-9, 2.25]]], "s")
    block = unimat.table_for(table)
    np.testing.assert_allclose(unimat.dense(unimat.encode(table, block), block).ravel(), [0, 0, 0.25], atol=1e-7)


@pytest.mark.parametrize("fault", ["element", "depth"])
def test_a_crystal_that_does_not_fit_the_block_is_named(ta_w_b3, fault):
    block = unimat.table_for(ta_w_b3)
    numbers = [5, 5, 5, 5] if fault == "depth" else [5, 22]
    table = from_columns([np.eye(3) * 4], [numbers], [np.random.default_rng(0).random((len(numbers), 3))], "s", ["odd one"])
    with pytest.raises(ValueError, match="'odd one' does not fit"):
        unimat.encode(table, block)


# Cell parameters


@pytest.mark.parametrize("seed", range(5))
def test_cell_parameters_give_the_lattice_that_pymatgen_gives(seed):
    rng = np.random.default_rng(seed)
    parameters = [*rng.uniform(2, 15, 3), *rng.uniform(62, 118, 3)]
    (lattice,) = lattices_from_parameters(np.array([parameters]))
    np.testing.assert_allclose(Lattice(lattice).parameters, Lattice.from_parameters(*parameters).parameters, atol=1e-9)
    assert np.linalg.det(lattice) == pytest.approx(Lattice.from_parameters(*parameters).volume)


@pytest.mark.parametrize(
    "parameters",
    [
        (3, 3, 3, 30, 30, 120),
        (3, 3, 3, 130, 130, 130),
        (3, 3, 3, 10, 100, 60),
        (3, 3, 3, 90, 90, 0),
        (3, 3, 3, 90, 90, np.nan),
        pytest.param((3, 3, 3, 90, 90, 200), id="an angle above 180"),
        pytest.param((3, 3, 3, 90, -70, 90), id="an angle below 0"),
        pytest.param((-3, 3, 3, 90, 90, 90), id="a length below 0"),
    ],
)
def test_a_cell_that_cannot_be_is_nan(parameters):
    (lattice,) = lattices_from_parameters(np.array([parameters], dtype=float))
    assert np.isnan(lattice).any() or abs(np.linalg.det(lattice)) < 1e-9


# Canonical descriptions


@pytest.fixture(scope="module")
def hundred(benchmarks):
    """100 real crystals, every third on a left-handed basis."""
    structures = to_structures(pd.concat([benchmarks(n).sample(50, random_state=2) for n in ("mp_20", "perov_5")]))
    for i in range(0, len(structures), 3):
        structures[i] = structures[i].copy()
        structures[i].make_supercell([[0, 1, 0], [1, 0, 0], [0, 0, 1]], to_unit_cell=False)
    table = from_structures(structures, "s")
    assert (np.linalg.det(np.stack(table["lattice"])) < 0).sum() > 30
    return table


def test_canonical_crystals_are_the_same_crystals(hundred):
    matcher = StructureMatcher(**TIGHT)
    canonical = canonicalise(hundred)
    for before, after in zip(to_structures(hundred), to_structures(canonical), strict=True):
        assert after.formula == before.formula
        np.testing.assert_allclose(after.lattice.parameters, before.lattice.parameters, atol=1e-6)
        assert matcher.fit(before, after)


def test_canonical_lattices_are_lower_triangular_and_an_atom_of_the_first_species_is_at_the_origin(hundred):
    for lattice, numbers, coords in canonicalise(hundred)[["lattice", "atomic_numbers", "frac_coords"]].itertuples(index=False):
        assert np.allclose(np.triu(lattice, 1), 0)
        assert (np.diag(lattice) > 0).all()
        np.testing.assert_allclose(coords[0], 0, atol=1e-12)
        counts = np.bincount(numbers)[numbers]
        assert (np.diff(counts) >= 0).all()
        assert ((coords >= 0) & (coords < 1)).all()


def _described_anew(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same crystals with other origins, site orders, orientations and coordinates beyond the cell."""
    rng = np.random.default_rng(seed)
    lattices, numbers, coords = [], [], []
    for m, z, x in zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True):
        order = rng.permutation(len(z))
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        lattices.append(m @ (turn * np.sign(np.linalg.det(turn))))
        numbers.append(z[order])
        coords.append((x + rng.random(3))[order] + rng.integers(-2, 3, (len(z), 3)))
    return table.assign(lattice=lattices, atomic_numbers=numbers, frac_coords=coords)


@pytest.mark.parametrize("seed", range(3))
def test_every_description_of_a_crystal_has_one_canonical_form(hundred, crystals, seed):
    table = pd.concat([hundred, crystals], ignore_index=True)
    first, second = canonicalise(table), canonicalise(_described_anew(table, seed))
    differing = []
    for (_, one), (_, other) in zip(first.iterrows(), second.iterrows(), strict=True):
        np.testing.assert_allclose(one["lattice"], other["lattice"], atol=1e-6)
        np.testing.assert_array_equal(one["atomic_numbers"], other["atomic_numbers"])
        difference = one["frac_coords"] - other["frac_coords"]
        if np.abs(difference - np.round(difference)).max() > 2e-3:
            differing.append(one["id"])
    assert differing == []


def test_wrap_gives_coordinates_in_the_cell():
    wrapped = wrap(np.array([-0.25, 1.0, 1 - 1e-12, -1e-18, 2.5, 0.999]))
    np.testing.assert_allclose(wrapped, [0.75, 0, 0, 0, 0.5, 0.999])
    assert (wrapped < 1).all()
