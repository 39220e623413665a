"""The library: complete candidates, no crystal twice, energies against its own elements and hull."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from conftest import LIBRARY, RECIPE, caesium_chloride, rocksalt, wurtzite
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalgen.crystals import from_columns, from_structures, to_structures
from crystalgen.data.library import build
from crystalgen.data.library.recipe import Volumes, load_recipe


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(RECIPE)


# Candidates


@pytest.fixture(scope="module")
def candidates():
    return pytest.importorskip("crystalgen.data.library.candidates", reason="icet is not installed (`pip install .[library]`)")


@pytest.mark.parametrize(
    ("lattice", "expected"),
    [
        # fcc: 2, 3 and 12 binary derivative structures of 2, 3 and 4 atoms (Hart and Forcade 2008, table IV), which count a
        # structure and its exchange of species once: 3 -> 3 + 3, 12 = 7 of AB3 and 5 of A2B2 -> 7 + 5 + 7.
        ("fcc", {(1, 1): 2, (1, 2): 3, (2, 1): 3, (1, 3): 7, (3, 1): 7, (2, 2): 5}),
        # bcc has as many at each of these sizes.
        ("bcc", {(1, 1): 2, (1, 2): 3, (2, 1): 3, (1, 3): 7, (3, 1): 7, (2, 2): 5}),
    ],
)
def test_superstructures_are_as_many_as_published(candidates, lattice, expected):
    found = candidates._superstructures(lattice, 4)[2]
    assert {counts: len(members) for counts, members in found.items()} == expected


def test_superstructures_of_a_composition_are_distinct(candidates):
    matcher = StructureMatcher()
    members = [structure for _, structure in candidates._superstructures("fcc", 4)[2][(2, 2)]]
    assert not any(matcher.fit(a, b) for a, b in itertools.combinations(members, 2))


@pytest.fixture(scope="module")
def prototypes(candidates):
    """AFLOW prototypes by label."""
    return {entry["tags"]["aflow"]: entry for entry in candidates.AFLOW_PROTOTYPE_LIBRARY}


@pytest.mark.parametrize(
    ("label", "orders"),
    [
        pytest.param("AB_cF8_225_a_b", 1, id="rocksalt"),
        pytest.param("AB_hP4_186_b_b", 1, id="wurtzite"),
        pytest.param("AB2_cF12_225_a_c", 2, id="fluorite"),
        pytest.param("AB3C_cP5_221_a_c_b", 6, id="perovskite"),
    ],
)
def test_prototypes_have_their_distinct_decorations(candidates, prototypes, label, orders):
    parent = candidates._reduced(prototypes[label]["snl"].structure)
    assert len(candidates._distinct_orders(parent)) == orders


@pytest.fixture(scope="module")
def tiny(candidates, prototypes, recipe):
    """Candidates of Ti and Ni from bcc, fcc, rocksalt and fluorite, and superstructures of up to three atoms."""
    labels = ("A_cI2_229_a", "A_cF4_225_a", "AB_cF8_225_a_b", "AB2_cF12_225_a_c", "AB3C_cP5_221_a_c_b")
    superstructures = recipe.superstructures.model_copy(update={"binary_sites": 3, "ternary_sites": 3, "rich_sites": 3})
    prototype_limits = recipe.prototypes.model_copy(update={"large_systems": []})
    settings = recipe.model_copy(
        update={
            "elements": ["Ti", "Ni"],
            "rich_systems": [],
            "ternary_systems": [],
            "superstructures": superstructures,
            "prototypes": prototype_limits,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "AFLOW_PROTOTYPE_LIBRARY", [prototypes[label] for label in labels])
        patch.setattr(candidates, "PARENT_LATTICES", {k: candidates.PARENT_LATTICES[k] for k in ("fcc", "bcc")})
        yield candidates.enumerate_candidates(settings)


def test_a_tiny_recipe_has_the_candidates_that_were_counted_by_hand(tiny):
    assert tiny.loc[tiny["family"] == "prototype", "prototype"].value_counts().to_dict() == {
        "A_cI2_229_a": 2,
        "A_cF4_225_a": 2,
        "AB_cF8_225_a_b": 1,
        "AB2_cF12_225_a_c": 2,
    }
    superstructures = tiny[tiny["family"] == "superstructure"]
    assert superstructures["formula"].value_counts().to_dict() == {"Ti1Ni1": 4, "Ti1Ni2": 6, "Ti2Ni1": 6}
    assert tiny["id"].is_unique


def test_candidates_have_the_volume_of_their_elements(tiny, candidates):
    """Ti 17.6 and Ni 10.9 Å^3 per atom, from their molar volumes."""
    for structure in to_structures(tiny):
        expected = 17.65 * structure.composition["Ti"] + 10.94 * structure.composition["Ni"]
        assert structure.volume == pytest.approx(expected, rel=0.01)
        assert structure.volume == pytest.approx(candidates.estimated_volume(structure))


# Duplicates


def test_a_crystal_that_comes_twice_is_kept_once_and_polymorphs_are_kept():
    doubled = caesium_chloride(3.0, "Ti", "Ni")
    doubled.make_supercell([2, 1, 1])
    sheared = caesium_chloride(3.0, "Ti", "Ni")
    sheared.make_supercell([[1, 1, 0], [1, -1, 0], [0, 0, 1]])
    rocksalt_cell = rocksalt(4.8, "Ti", "Ni").get_primitive_structure()
    layered = Structure(
        Lattice.tetragonal(3.0, 6.0), ["Ti", "Ti", "Ni", "Ni"], [[0, 0, 0], [0.5, 0.5, 0.25], [0, 0, 0.5], [0.5, 0.5, 0.75]]
    )
    structures = [caesium_chloride(3.05, "Ti", "Ni"), caesium_chloride(3.0, "Ti", "Ni"), rocksalt_cell, doubled, sheared, layered]
    table = from_structures(structures, "s", energy_per_atom=[0.002, 0.0, 0.3, 0.001, 0.0, 0.1])
    kept = build.drop_duplicates(table, "energy_per_atom", workers=1)
    assert set(kept["id"]) == {"s-1", "s-2", "s-4", "s-5"}, "doubled and sheared are one crystal of one full formula"


def test_a_window_leaves_crystals_of_other_energies_alone():
    table = from_structures([caesium_chloride(3.0, "Ti", "Ni")] * 2, "s", energy_per_atom=[0.0, 0.015])
    assert len(build.drop_duplicates(table, "energy_per_atom", workers=1, window=0.01)) == 2
    assert build.drop_duplicates(table, "energy_per_atom", workers=1)["energy_per_atom"].tolist() == [0.0]


def test_dropping_duplicates_does_not_depend_on_the_order_of_rows(crystals):
    table = crystals.assign(energy_per_atom=np.linspace(0, 0.001, len(crystals)))
    twice = pd.concat([table, table.assign(id="copy of " + table["id"])], ignore_index=True)
    first = build.drop_duplicates(twice, "energy_per_atom", workers=1)
    second = build.drop_duplicates(twice.sample(frac=1, random_state=1), "energy_per_atom", workers=2)
    assert first["id"].tolist() == second["id"].tolist()
    assert len(first) <= len(table)


# Energies


@pytest.fixture
def titanium_nickel() -> pd.DataFrame:
    """Two Ti, one Ni, two TiNi, one Ti3Ni; on the hull are elements and the lower TiNi, 1 eV/atom below them."""
    cells = [([22], -8.0), ([22, 22], -7.9), ([28], -5.5), ([22, 28], -7.75), ([22, 28], -7.55), ([22, 22, 22, 28], -7.675)]
    numbers = [np.array(z) for z, _ in cells]
    coords = [np.linspace(0, 0.9, len(z))[:, None].repeat(3, axis=1) for z in numbers]
    return from_columns([np.eye(3) * 6] * 6, numbers, coords, "s", energy_per_atom=[e for _, e in cells])


def test_formation_energies_are_against_the_lowest_of_each_element(titanium_nickel):
    np.testing.assert_allclose(build.formation_energies(titanium_nickel), [0, 0.1, 0, -1.0, -0.8, -0.3], atol=1e-12)


def test_a_compound_of_an_element_that_is_missing_has_no_formation_energy(titanium_nickel):
    energies = build.formation_energies(titanium_nickel.drop(index=2).reset_index(drop=True))
    np.testing.assert_array_equal(np.isnan(energies), [False, False, True, True, True])


def test_energies_above_the_hull_of_a_known_hull(titanium_nickel):
    table = titanium_nickel.assign(formation_energy_per_atom=build.formation_energies(titanium_nickel))
    np.testing.assert_allclose(build.energies_above_hull(table), [0, 0.1, 0, 0, 0.2, 0.2], atol=1e-9)


def test_the_hull_of_a_ternary_system_knows_its_binaries(titanium_nickel):
    """TiNiAl at -0.5 lies above the mix of TiNi (-1) and Al: 2/3 of -1."""
    extra = from_columns([np.eye(3) * 6] * 2, [[13], [22, 28, 13]], [np.zeros((1, 3)), np.eye(3) * 0.5], "x")
    table = pd.concat([titanium_nickel.assign(formation_energy_per_atom=[0, 0.1, 0, -1, -0.8, -0.3]), extra], ignore_index=True)
    table.loc[6:, "formation_energy_per_atom"] = [0.0, -0.5]
    assert build.energies_above_hull(table)[7] == pytest.approx(2 / 3 - 0.5)


def test_unphysical_crystals_are_dropped_before_they_bend_the_hull(recipe):
    structures = [
        Structure(Lattice.cubic(3.0), ["Ti"], [[0, 0, 0]]),
        Structure(Lattice.cubic(2.5), ["Ni"], [[0, 0, 0]]),
        caesium_chloride(3.0, "Ti", "Ni"),
        caesium_chloride(1.0, "Ti", "Ni"),
        wurtzite(4.0, "Ti", "Ni"),
    ]
    table = from_structures(structures, "s", energy_per_atom=[-8.0, -5.5, -7.0, -7.0, -90.0])
    assert build.drop_unphysical(table, recipe)["id"].tolist() == ["s-0", "s-1", "s-2"]


def test_elements_are_relaxed_first_then_the_lowest(titanium_nickel, recipe):
    """TiNi at 0.2 eV/atom above the hull is neither near it nor the lowest of its formula; Ti3Ni is the latter."""
    settings = recipe.relaxation.model_copy(update={"lowest_of_each_formula": 1, "hull_window": 0.15})
    chosen = build.choose_for_relaxation(titanium_nickel, recipe.model_copy(update={"relaxation": settings}))
    assert chosen["id"].tolist() == ["s-0", "s-2", "s-1", "s-3", "s-5"]


# Shards


def _mark(table: pd.DataFrame, recipe) -> pd.DataFrame:
    """Adds a column; fails where a crystal is called `poison`."""
    if (table["id"] == "poison").any():
        raise RuntimeError("killed")
    return table.assign(marked=True)


def test_a_killed_build_goes_on_where_it_stopped(crystals, tmp_path, recipe):
    poisoned = crystals.copy()
    poisoned.loc[35, "id"] = "poison"
    with pytest.raises(RuntimeError, match="killed"):
        build._in_shards(poisoned, tmp_path, 10, 1, _mark, recipe)
    finished = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.parquet")}
    assert len(finished) == 3
    table = build._in_shards(crystals, tmp_path, 10, 1, _mark, recipe)
    assert table["id"].tolist() == crystals["id"].tolist()
    assert table["marked"].all()
    assert {p: p.stat().st_mtime_ns for p in finished} == finished, "finished shards are read, not redone"


def _drop_all(table: pd.DataFrame, recipe) -> pd.DataFrame:
    return table if "0:rocksalt TaW" in set(table["id"]) else table.head(0)


def test_a_shard_that_loses_all_its_crystals_does_not_end_the_build(crystals, tmp_path, recipe):
    """A shard without one volume minimum writes a table without rows."""
    table = build._in_shards(crystals, tmp_path, 30, 1, _drop_all, recipe)
    assert table["id"].tolist() == crystals["id"].tolist()[:30]


# The committed library


def test_the_library_is_large_and_of_one_potential(library):
    record = json.loads((LIBRARY.parent / "record.json").read_text())
    assert len(library) == record["counts"]["crystals"] > 19_000
    assert set(library["energy_source"]) == {"7net-l3i5"}
    assert library["formation_energy_per_atom"].notna().all()
    assert library["space_group"].notna().mean() > 0.99


def test_the_librarys_energies_are_consistent(library):
    elements = library[library["atomic_numbers"].map(lambda z: len(set(z.tolist())) == 1)]
    assert elements.groupby("reduced_formula")["formation_energy_per_atom"].min().abs().max() < 1e-9
    assert (library["e_above_hull"] >= 0).all()
    above = library["e_above_hull"] - library.groupby("formula")["e_above_hull"].transform("min")
    relative = library["formation_energy_per_atom"] - library.groupby("formula")["formation_energy_per_atom"].transform("min")
    np.testing.assert_allclose(above, relative, atol=1e-6)
    np.testing.assert_allclose(build.formation_energies(library), library["formation_energy_per_atom"], atol=1e-9)


def _matching_pairs(library: pd.DataFrame, seed: int) -> list[tuple]:
    """Pairs of ten formulas' crystals that StructureMatcher takes for one: formula, ids, difference of energy."""
    sizes = library["formula"].value_counts()
    formulas = sizes[sizes.between(5, 25)].sort_index().sample(10, random_state=seed).index
    matcher, same = StructureMatcher(), []
    for formula in formulas:
        members = library[library["formula"] == formula].sort_values("formation_energy_per_atom")
        rows = zip(members["id"], members["formation_energy_per_atom"], to_structures(members), strict=True)
        for (one, low, a), (other, high, b) in itertools.combinations(rows, 2):
            if matcher.fit(b, a):
                same.append((formula, one, other, high - low))
    return same


@pytest.mark.parametrize("seed", range(3))
def test_no_two_crystals_of_a_formula_and_an_energy_match(library, recipe, seed):
    assert [pair for pair in _matching_pairs(library, seed) if pair[3] <= recipe.duplicate_energy] == []


@pytest.mark.parametrize("seed", range(3))
def test_no_two_crystals_of_a_formula_match(library, seed):
    """What one matcher cannot tell apart is one target with two answers, whatever their energies."""
    assert _matching_pairs(library, seed) == []


def test_the_library_is_that_of_the_recipe(library, recipe):
    numbers = set(np.concatenate(library["atomic_numbers"].to_numpy()).tolist())
    symbols = {str(s.species[0]) for s in to_structures(library[library["nsites"] == 1])}
    assert symbols <= set(recipe.elements)
    assert len(numbers) == len(recipe.elements)
    assert library["formation_energy_per_atom"].abs().max() <= recipe.physical.max_formation_energy


# The potentials


@pytest.mark.slow
def test_the_potentials_find_tungsten(recipe):
    """bcc W has 15.9 Å^3 per atom; the energy without the force head is the full calculator's."""
    pytest.importorskip("chgnet")
    calculator_module = pytest.importorskip("sevenn.calculator")
    from crystalgen.data.library import potentials

    tungsten = Structure(Lattice.cubic(3.0), ["W", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (volume,) = potentials.best_volumes([tungsten], Volumes(scales=recipe.volumes.scales, batch_size=4))
    assert volume / 2 == pytest.approx(15.9, rel=0.03)
    structures = [tungsten, caesium_chloride(3.0, "Ti", "Ni")]
    calculator = calculator_module.SevenNetCalculator("7net-l3i5", device="cpu")
    expected = []
    for structure in structures:
        atoms = structure.to_ase_atoms()
        atoms.calc = calculator
        expected.append(atoms.get_potential_energy() / len(atoms))
    np.testing.assert_allclose(potentials.energies_per_atom(structures), expected, rtol=1e-6)


def test_a_volume_without_a_minimum_inside_the_scan_is_nan():
    from crystalgen.data.library import potentials

    scales = np.array([0.62, 0.74, 0.87, 1.0, 1.14, 1.32, 1.55])
    fit = potentials._birch_murnaghan_minimum
    assert np.isnan(fit(scales, scales))
    assert np.isnan(fit(scales, -scales))
    assert np.isnan(fit(scales, np.where(scales == 1.0, np.nan, (scales - 1) ** 2)))


@pytest.mark.parametrize("minimum", [0.8, 0.9, 1.05, 1.2])
def test_a_birch_murnaghan_curve_gives_its_minimum_back(minimum):
    """Birch 1947: a cubic in (V0/V)^(2/3); here with a pressure derivative of 4.3."""
    from crystalgen.data.library import potentials

    scales = np.array([0.62, 0.74, 0.87, 1.0, 1.14, 1.32, 1.55])
    eta = (minimum / scales) ** (2 / 3)
    energies = (eta - 1) ** 3 * 4.3 + (eta - 1) ** 2 * (6 - 4 * eta)
    assert potentials._birch_murnaghan_minimum(scales, energies) == pytest.approx(minimum, rel=1e-6)
