"""The search for new phases: the library's hull, conditions, duplicates, rating and relaxation, Table 3, structure files."""

import numpy as np
import pandas as pd
import pytest
from conftest import RECIPE, ROOT, caesium_chloride, generic, perovskite, rocksalt, wurtzite
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalgen.config import Ladder, Search, load_study
from crystalgen.crystals import from_columns, from_structures, read_crystals, structure_from_file, to_structures, write_crystals
from crystalgen.data.library import potentials
from crystalgen.data.library.recipe import load_recipe
from crystalgen.physics import conditions, rating, search, summary
from crystalgen.physics.duplicates import group_duplicates
from crystalgen.physics.hull import EnergySourceError, Hull
from crystalgen.physics.prototypes import decorate_prototypes
from crystalgen.physics.store import compute
from crystalgen.present.figures.search import candidate_strips

SOURCE = potentials.ENERGY_SOURCE
LIMITS = load_recipe(RECIPE).physical
LADDERS = {"fine": Ladder(), "coarse": Ladder(step=0.1), "from below": Ladder(start=-1.0)}


def _settings(**changes) -> Search:
    return Search(**({"rows": ("flow",), "ladders": LADDERS, "relaxed": 2, "workers": 1} | changes))


# The hull


@pytest.fixture
def toy() -> pd.DataFrame:
    """Ti, Ni and TiNi at -1 eV/atom; a second Ti at 0.1."""
    numbers = [np.array(z) for z in ([22], [28], [22, 28], [22, 22])]
    coords = [np.linspace(0, 0.9, len(z))[:, None].repeat(3, axis=1) for z in numbers]
    energies = {"energy_per_atom": [-8.0, -5.5, -7.75, -7.9], "formation_energy_per_atom": [0.0, 0.0, -1.0, 0.1]}
    return from_columns([np.eye(3) * 6] * 4, numbers, coords, "toy", energy_source=[SOURCE] * 4, **energies)


def test_a_hull_known_by_hand(toy):
    hull = Hull(toy)
    assert hull.energy_at("Ti3Ni") == pytest.approx(-0.5)
    assert hull.decomposition("Ti3Ni") == pytest.approx({"Ti": 0.5, "TiNi": 0.5})
    above = hull.above(["TiNi", "Ti3Ni", "Ti3Ni", "Ti", "Ni"], [-1.0, -0.6, 0.0, 0.1, np.nan], SOURCE)
    np.testing.assert_allclose(above, [0, -0.1, 0.5, 0.1, np.nan], atol=1e-12)


def test_formation_energies_are_against_the_librarys_elements(toy):
    energies = Hull(toy).formation_energies([-8.0, -7.375], [np.array([22]), np.array([22, 22, 22, 28])], SOURCE)
    np.testing.assert_allclose(energies, [0, 0], atol=1e-12)


def test_energies_of_another_source_refuse_to_mix(toy):
    hull = Hull(toy)
    with pytest.raises(EnergySourceError, match="'PBE' on a hull of energies by '7net-l3i5'.*no energy above the hull"):
        hull.above(["TiNi"], [-1.0], "PBE")
    with pytest.raises(EnergySourceError, match="'CHGNet'"):
        hull.formation_energies([-8.0], [np.array([22])], "CHGNet")


def test_a_library_of_two_sources_has_no_hull(toy):
    toy.loc[1, "energy_source"] = "PBE"
    with pytest.raises(EnergySourceError, match="7net-l3i5.*PBE"):
        Hull(toy)


def test_a_missing_element_is_named(toy):
    with pytest.raises(ValueError, match="no crystal of the element Al"):
        Hull(toy).energy_at("TiAl")


def test_the_librarys_own_energies_above_its_hull(library):
    own = library[library["atomic_numbers"].map(lambda z: set(z) <= {5, 73, 74})]
    above = Hull(library).above(list(own["formula"]), own["formation_energy_per_atom"], SOURCE)
    np.testing.assert_allclose(above, own["e_above_hull"], atol=1e-9)
    assert (above < 1e-9).sum() > 5


# What is asked


@pytest.fixture
def training() -> pd.DataFrame:
    """57 training crystals in nineteen space groups, and one of another group and split."""
    groups = [*(np.arange(57) % 19 + 1), 225]
    splits = ["train"] * 57 + ["test"]
    structures = [caesium_chloride(3.0, "Ti", "Ni")] * 58
    return from_structures(structures, "study", space_group=pd.array(groups, dtype="Int16"), split=splits)


@pytest.fixture
def borides() -> pd.DataFrame:
    """A library of B, W, Ta and TaWB2 at -0.4 eV/atom."""
    structures = [Structure(Lattice.cubic(a), [e], [[0, 0, 0]]) for a, e in ((2.4, "B"), (2.7, "W"), (2.9, "Ta"))]
    structures.append(generic(3, ["Ta", "W", "B", "B"]))
    energies = [-6.0, -12.0, -11.0, -8.75 - 0.4]
    return from_structures(
        structures,
        "lib",
        energy_per_atom=energies,
        formation_energy_per_atom=[0.0, 0.0, 0.0, -0.4],
        energy_source=[SOURCE] * 4,
    )


def test_there_are_as_many_conditions_as_in_the_paper(training, borides):
    """19 space groups x 21 energies x 3 compositions x 3 ladders x 2 models are the paper's 7182 structures."""
    asked = conditions.search_conditions(_settings(), training, Hull(borides))
    assert 2 * len(asked) == 7182
    assert asked.groupby(["composition", "ladder"]).size().eq(399).all()
    assert not asked.duplicated(["composition", "ladder", "space_group", "formation_energy_per_atom"]).any()
    assert sorted(asked["space_group"].unique()) == list(range(1, 20)), "a test crystal's space group is not asked for"


def test_each_ladder_starts_beside_the_hull_and_goes_down(training, borides):
    hull = Hull(borides)
    asked = conditions.search_conditions(_settings(compositions=("Ta1W1B2", "Ta1W1B6")), training, hull)
    for (composition, ladder), part in asked[asked["space_group"] == 7].groupby(["composition", "ladder"]):
        settings, at = LADDERS[ladder], {"Ta1W1B2": -0.4, "Ta1W1B6": -0.2}[composition]
        expected = at + settings.start - settings.step * np.arange(21)
        np.testing.assert_allclose(part["formation_energy_per_atom"], expected, atol=1e-12)


def test_a_number_of_space_groups_takes_the_most_frequent(training):
    counted = training.assign(space_group=pd.array([5] * 17 + [3] * 10 + [9] * 10 + [1] * 21, dtype="Int16"))
    assert conditions.training_space_groups(counted, 2) == [1, 5]
    assert conditions.training_space_groups(counted.head(37), 2) == [3, 5], "the lower number of two equally frequent ones"


@pytest.mark.parametrize(
    ("composition", "numbers"),
    [("Ta1W1B6", [73, 74] + [5] * 6), ("Ta1W2B5", [73, 74, 74] + [5] * 5), ("Ta2W1B5", [74, 73, 73] + [5] * 5), ("B2", [5, 5])],
)
def test_compositions_are_in_the_order_of_canonical_sites(composition, numbers):
    assert conditions.composition_numbers(composition).tolist() == numbers


@pytest.mark.parametrize("composition", ["", "Ta0.5W", "Xx2", "not one"])
def test_a_composition_that_is_none_is_named(composition):
    with pytest.raises(ValueError, match="expected a formula with whole numbers of atoms"):
        conditions.composition_numbers(composition)


# Duplicates


def _copies(structure: Structure, seed: int) -> list[Structure]:
    """Other descriptions of the same crystal: a supercell, another cell, permuted sites, a shifted origin, a breath larger."""
    generator = np.random.default_rng(seed)
    doubled, sheared, larger = structure.copy(), structure.copy(), structure.copy()
    doubled.make_supercell([1, 2, 1])
    sheared.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    larger.scale_lattice(1.08 * structure.volume)
    order = generator.permutation(len(structure))
    permuted = Structure.from_sites([structure[i] for i in order])
    shifted = Structure(structure.lattice, structure.species, structure.frac_coords + generator.random(3))
    return [doubled, sheared, larger, permuted, shifted]


def test_copies_are_one_crystal_and_others_stay():
    originals = [caesium_chloride(3.0, "Ti", "Ni"), rocksalt(4.8, "Ti", "Ni").get_primitive_structure(), wurtzite(4.0, "Ti", "Ni")]
    structures = [s for seed, original in enumerate(originals) for s in (original, *_copies(original, seed))]
    energies = np.repeat([-1.0, -0.98, -0.96], 6) + np.tile(np.linspace(0, 0.01, 6), 3)
    np.testing.assert_array_equal(group_duplicates(structures, energies), np.repeat([0, 6, 12], 6))


def test_alike_at_another_energy_is_another_start():
    structures = [caesium_chloride(3.0, "Ti", "Ni")] * 3
    assert group_duplicates(structures, np.array([0.25, 0.0, 0.05])).tolist() == [0, 1, 1]
    assert group_duplicates(structures, np.array([0.25, 0.0, 0.05]), np.inf).tolist() == [1, 1, 1]
    assert group_duplicates(structures, np.array([np.nan, 0.0, np.nan])).tolist() == [0, 1, 2], "without an energy there is no verdict"


def test_the_short_cuts_lose_nothing(library):
    """As comparing each with each: on rattled and strained copies of one formula's polymorphs."""
    structures = []
    for parent in to_structures(library[library["formula"] == "Ta1B5W2"].head(12)):
        for strain in ([0, 0, 0], [0.14, -0.06, 0.0], [-0.08, 0.0, 0.15]):
            structures.append(parent.copy().apply_strain(strain).perturb(0.1))
    energies, matcher, lowest = np.linspace(0, 0.05, len(structures)), StructureMatcher(), []
    expected = []
    for i, structure in enumerate(structures):
        expected.append(next((j for j in lowest if matcher.fit(structure, structures[j])), i))
        lowest += [i] if expected[-1] == i else []
    assert len(lowest) < len(structures) - 6, "copies are found at all"
    assert set(group_duplicates(structures, energies)) == set(lowest), "the same crystals start a group"


# Rating and relaxing, with potentials that count


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """Stand-ins for the potentials: energies by volume, relaxations that shrink the cell; each call is noted."""
    calls: list[str] = []

    def energies(structures):
        calls.append("energy")
        return np.array([-9.0 + 1e-4 * (s.volume / len(s) - 10.0) ** 2 for s in structures])

    def relax(structure, fmax, max_steps, guard):
        calls.append("relaxation")
        smaller = structure.copy()
        smaller.scale_lattice(0.9 * structure.volume)
        guard(smaller.to_ase_atoms())
        return smaller, max_steps > 10, 7

    monkeypatch.setattr(potentials, "energies_per_atom", energies)
    monkeypatch.setattr(potentials, "relax", relax)
    return calls


def _generated(count: int = 6) -> pd.DataFrame:
    """TaWB2 crystals of two experiments, the second one's first a copy of the first's; the last overlap."""
    structures = [generic(seed, ["Ta", "W", "B", "B"]) for seed in range(count)]
    structures[3] = structures[0].copy()
    near = generic(50, ["Ta", "W", "B", "B"])
    structures.append(Structure(near.lattice, near.species, [[0, 0, 0], [0, 0, 0.02], *near.frac_coords[2:]]))
    structures.append(Structure(Lattice.cubic(4), ["Ta", "W", "B", "B"], [[0, 0, 0], [0, 0, 0.2], [0.5, 0.5, 0.5], [0.5, 0.5, 0.8]]))
    ladders = ["fine"] * 3 + ["coarse"] * (len(structures) - 3)
    asked = {"asked_space_group": pd.array([1] * len(structures), dtype="Int16"), "asked_formation_energy_per_atom": -0.5}
    return from_structures(structures, "flow", composition="Ta1W1B2", row="flow", ladder=ladders, **asked)


def test_a_broken_crystal_is_a_row_with_a_status(counted, borides, tmp_path):
    rated = search.rate_generated(_generated(), Hull(borides), LIMITS, tmp_path)
    assert rated["status"].tolist() == ["rated"] * 6 + [search.INVALID, "atoms closer than 0.5 of the sum of their radii"]
    assert rated["valid"].tolist() == [True] * 6 + [False, True]
    assert rated["energy_per_atom"].notna().tolist() == [True] * 6 + [False, False]
    assert rated["energy_source"].tolist() == [SOURCE] * 6 + [None] * 2
    write_crystals(rated, tmp_path / "rated.parquet")


@pytest.mark.parametrize(
    ("energy", "status"),
    [
        (RuntimeError("out of\nmemory"), "RuntimeError: out of memory"),
        (np.nan, "no finite energy"),
        (-90.0, "a formation energy beyond 5 eV/atom"),
    ],
)
def test_a_potential_that_fails_is_a_status(borides, tmp_path, monkeypatch, energy, status):
    def failing(structures):
        if isinstance(energy, Exception):
            raise energy
        return np.array([energy])

    monkeypatch.setattr(potentials, "energies_per_atom", failing)
    rated = search.rate_generated(_generated().head(2), Hull(borides), LIMITS, tmp_path)
    assert rated["status"].tolist() == [status] * 2
    assert rated["e_above_hull"].isna().all()
    candidates = search.relax_lowest(rated, Hull(borides), borides, _settings(), LIMITS, tmp_path)
    assert candidates.empty
    assert candidate_strips(candidates)[1].empty


@pytest.mark.parametrize(("growth", "status"), [(6.0, "failed: the cell exploded"), (0.1, "failed: the cell collapsed")])
def test_a_cell_that_is_lost_keeps_what_was_generated(counted, borides, tmp_path, monkeypatch, growth, status):
    def explode(structure, fmax, max_steps, guard):
        guard(structure.to_ase_atoms())
        guard(structure.copy().scale_lattice(growth * structure.volume).to_ase_atoms())

    monkeypatch.setattr(potentials, "relax", explode)
    rated = search.rate_generated(_generated(), Hull(borides), LIMITS, tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, _settings(), LIMITS, tmp_path)
    assert set(candidates["relaxation"]) == {status}
    assert set(candidates["relaxation_steps"]) == {1}
    np.testing.assert_array_equal(candidates["e_above_hull"], candidates["generated_e_above_hull"])


def test_each_experiment_relaxes_its_lowest_different_crystals(counted, borides, tmp_path):
    rated = search.rate_generated(_generated(), Hull(borides), LIMITS, tmp_path)
    assert rated.loc[3, "group"] == rated.loc[0, "group"], "one crystal of two experiments"
    chosen = search.choose_for_relaxation(rated, _settings(relaxed=2))
    for ladder, part in rated[rated["status"] == "rated"].groupby("ladder"):
        expected = part.nsmallest(2, "energy_per_atom")["id"]
        assert set(chosen.loc[chosen["ladder"] == ladder, "id"]) == set(expected)
    twice = pd.concat([rated.head(3)] * 2, ignore_index=True).assign(id=[f"c{i}" for i in range(6)])
    assert len(search.choose_for_relaxation(twice, _settings(relaxed=5))) == 3, "a copy takes no place in the budget"


@pytest.mark.parametrize(("ladder", "budget"), [("none", len(LADDERS)), ("fine", 1)])
def test_the_baseline_may_relax_as_much_as_a_models_ladders_together(counted, borides, tmp_path, ladder, budget):
    rated = search.rate_generated(_generated().head(4).assign(ladder=ladder), Hull(borides), LIMITS, tmp_path)
    assert len(set(rated["group"])) == 3
    assert len(search.choose_for_relaxation(rated, _settings(relaxed=1))) == budget


def test_one_crystal_of_two_experiments_is_computed_once_and_counted_in_both(counted, borides, tmp_path):
    generated = _generated().iloc[[0, 3]]
    rated = search.rate_generated(generated, Hull(borides), LIMITS, tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, _settings(), LIMITS, tmp_path)
    assert counted == ["energy", "relaxation", "energy"]
    assert set(candidates["ladder"]) == {"fine", "coarse"}
    counts = summary.experiment_counts(rated, candidates, generated[search.EXPERIMENT])
    assert counts[["generated", "valid", "distinct", "relaxed", "phases"]].eq(1).all(axis=None)


def test_relaxed_crystals_are_placed_above_the_hull(counted, borides, tmp_path):
    """The stand-in's energy of each relaxed cell, minus the elements' mean (-8.75), minus the hull (-0.4)."""
    rated = search.rate_generated(_generated(), Hull(borides), LIMITS, tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, _settings(relax_steps=50), LIMITS, tmp_path)
    volumes = np.array([s.volume / 4 for s in to_structures(candidates)])
    np.testing.assert_allclose(candidates["e_above_hull"], -9.0 + 1e-4 * (volumes - 10) ** 2 + 8.75 + 0.4, atol=1e-9)
    assert (candidates["geometry"] == "relaxed").all()
    assert set(candidates["relaxation"]) == {"converged"}
    assert candidates["e_above_hull"].is_monotonic_increasing
    assert set(candidates.loc[~candidates["new"], "known_id"]) <= {"lib-3"}
    unfinished = search.relax_lowest(rated, Hull(borides), borides, _settings(relax_steps=5), LIMITS, tmp_path)
    assert set(unfinished["relaxation"]) == {"unconverged"}
    write_crystals(candidates, tmp_path / "candidates.parquet")
    assert read_crystals(tmp_path / "candidates.parquet")["id"].tolist() == candidates["id"].tolist()


def test_a_relaxation_that_raises_the_energy_is_not_kept(counted, borides, tmp_path, monkeypatch):
    monkeypatch.setattr(potentials, "relax", lambda s, fmax, max_steps, guard: (s.copy().scale_lattice(4 * s.volume), True, 3))
    rated = search.rate_generated(_generated(), Hull(borides), LIMITS, tmp_path)
    candidates = search.relax_lowest(rated, Hull(borides), borides, _settings(), LIMITS, tmp_path)
    assert set(candidates["geometry"]) == {"as generated"}
    np.testing.assert_array_equal(candidates["e_above_hull"], candidates["generated_e_above_hull"])


def test_what_the_library_holds_is_known(borides):
    """The library's fourth crystal comes back permuted and shifted; another one is new."""
    copy = Structure.from_sites(list(reversed(to_structures(borides)[3])))
    copy.translate_sites(range(4), [0.3, 0.1, 0.7])
    assert search.known_crystals(from_structures([copy], "x"), borides) == ["lib-3"]
    assert search.known_crystals(_generated().head(1), borides) == [None]


def test_generated_crystals_need_to_say_what_they_belong_to(borides, tmp_path):
    with pytest.raises(ValueError, match=r"lack the columns \['ladder', 'row'\]"):
        search.rate_generated(_generated().drop(columns=["row", "ladder"]), Hull(borides), LIMITS, tmp_path)


# Killed and resumed


def test_a_killed_search_goes_on_where_it_stopped(counted, borides, tmp_path, monkeypatch):
    settings, hull = _settings(relaxed=3), Hull(borides)

    def run(folder):
        return search.relax_lowest(search.rate_generated(_generated(), hull, LIMITS, folder), hull, borides, settings, LIMITS, folder)

    expected = run(tmp_path / "whole")
    assert counted.count("relaxation") == 5  # three of each experiment, one of them in both
    whole, relax = list(counted), potentials.relax
    counted.clear()

    def killed(*arguments):
        if counted.count("relaxation") == 2:
            raise KeyboardInterrupt
        return relax(*arguments)

    monkeypatch.setattr(potentials, "relax", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    monkeypatch.setattr(potentials, "relax", relax)
    resumed = run(tmp_path / "killed")
    assert counted.count("relaxation") == 5, "the two that were done are only read"
    assert counted.count("energy") == whole.count("energy")
    pd.testing.assert_frame_equal(resumed, expected)
    counted.clear()
    pd.testing.assert_frame_equal(run(tmp_path / "killed"), expected)
    assert counted == [], "an unchanged rerun computes nothing"


def test_other_settings_are_other_results(counted, tmp_path):
    structures = [generic(0, ["Ta", "W"])]
    compute(rating.rate, structures, {"min_distance": 0.5}, tmp_path)
    compute(rating.rate, structures, {"min_distance": 0.4}, tmp_path)
    compute(rating.rate, [generic(1, ["Ta", "W"])], {"min_distance": 0.5}, tmp_path)
    assert len(counted) == 3


# The potentials themselves


@pytest.fixture
def on_hull(library) -> pd.DataFrame:
    """Two crystals on the library's hull, one relaxed by it (TaW) and one not (TaB2), as if a model had made them."""
    own = library[(library["e_above_hull"] < 1e-9) & library["formula"].isin(["Ta1W1", "Ta1B2"])]
    assert sorted(own["relaxed"]) == [False, True]
    made = own.drop(columns=["energy_per_atom", "formation_energy_per_atom", "energy_source", "e_above_hull"])
    return made.assign(composition=own["formula"], row="flow", ladder="fine", library_id=own["id"], id=["made-0", "made-1"])


def test_a_crystal_on_the_librarys_hull_is_found_there(library, on_hull, tmp_path):
    pytest.importorskip("sevenn")
    pytest.importorskip("chgnet")
    hull = Hull(library)
    rated = search.rate_generated(on_hull, hull, LIMITS, tmp_path)
    np.testing.assert_allclose(rated["e_above_hull"], 0.0, atol=1e-6)
    candidates = search.relax_lowest(rated, hull, library, _settings(relax_steps=2), LIMITS, tmp_path)
    np.testing.assert_allclose(candidates["e_above_hull"], 0.0, atol=1e-3)
    assert (candidates["known_id"] == candidates["library_id"]).all()
    assert not candidates["new"].any()


# Table 3


@pytest.fixture
def reference() -> dict:
    return summary.read_reference(ROOT / "data" / "reference" / "table3.yaml")


def _paper(reference, objective, start, step, composition):
    (values,) = [
        e["values"][composition] for e in reference["experiments"] if (e["objective"], e["start"], e["step"]) == (objective, start, step)
    ]
    return values


def test_the_papers_values(reference):
    assert _paper(reference, "diffusion", -1.0, 0.01, "Ta1W1B6") == [97.676]
    assert _paper(reference, "flow", 0.0, 0.01, "Ta1W2B5") == [-0.483, -0.466, -0.387]
    assert _paper(reference, "diffusion", 0.0, 0.1, "Ta2W1B5") == [-0.042]
    assert _paper(reference, "flow", -1.0, 0.01, "Ta2W1B5") == [1.029]
    negative = [v for e in reference["experiments"] for values in e["values"].values() for v in values if v < 0]
    assert sorted(negative) == [-5.497, -5.426, -4.852, -1.409, -0.483, -0.466, -0.387, -0.042], "the eight that its text names"
    assert sum(len(values) for e in reference["experiments"] for values in e["values"].values()) == 20


def _candidates() -> pd.DataFrame:
    """Three phases of Ta1W1B6, two of them below the hull, one of which both experiments found; and a baseline's."""
    structures = [generic(seed, ["Ta", "W", *["B"] * 6]) for seed in (0, 1, 2, 1, 3)]
    return from_structures(
        structures,
        "s",
        composition="Ta1W1B6",
        row=["flow", "flow", "flow", "flow", "template"],
        ladder=["fine", "fine", "fine", "from below", "none"],
        phase=[1, 2, 3, 2, 4],
        e_above_hull=[-0.0123, -0.002, 0.05, -0.001, 0.07],
        generated_e_above_hull=0.2,
        formation_energy_per_atom=-0.3,
        energy_source=SOURCE,
        asked_formation_energy_per_atom=-0.4,
        asked_space_group=1,
        generated_space_group=1,
        relaxation="converged",
        relaxation_steps=10,
        geometry="relaxed",
        known_id=[None, "lib-3", None, "lib-3", None],
        new=[True, False, True, False, True],
    )


@pytest.fixture
def study():
    smoke = load_study("smoke")
    flow = "matrix_generation_flow_uniform"
    model = smoke.models[flow].model_copy(update={"sampling": {"flow": smoke.models[flow].sampling[flow]}})
    return smoke.model_copy(update={"models": {flow: model}, "search": _settings(compositions=("Ta1W1B6",))})


def test_table_3_lists_what_is_below_the_hull_beside_the_papers(study, reference):
    candidates = _candidates()
    rated = candidates.assign(valid=True, energy_per_atom=-9.0, group=candidates["id"])
    requested = pd.concat([rated[search.EXPERIMENT]] * 2)
    counts = summary.experiment_counts(rated, candidates, requested)
    table = summary.table3(candidates, counts, study, reference).set_index(["Model", "Ladder"])
    fine = table.loc[("flow", "fine")]
    assert fine["Ta1W1B6, meV/atom"] == pytest.approx(-12.3)
    assert fine["Ta1W1B6 below the hull"] == "-12.3, -2"
    assert fine["Ta1W1B6 in the paper"] == "11.981"
    assert fine[list(summary.TOTALS)].tolist() == [6, 3, 3, 3, 2]
    empty = table.loc[("flow", "coarse")]
    assert np.isnan(empty["Ta1W1B6, meV/atom"])
    assert empty["generated"] == 0
    assert table.loc[("flow", "from below"), "Ta1W1B6 in the paper"] == "9.529"
    assert table.loc[("template", "none"), "Ta1W1B6 below the hull"] == "none"
    assert table.index[-1] == ("template", "none")


def test_the_best_phases_are_each_named_once():
    best = summary.best_phases(_candidates(), 3)
    assert best["phase"].tolist() == [1, 2, 3]
    assert best["rank"].tolist() == [1, 2, 3]
    assert best.loc[1, "e_above_hull"] == -0.002
    shown = summary.show_phases(best)
    assert shown["In the library"].tolist() == ["no", "lib-3", "no"]
    assert shown.columns.is_unique


# Structure files


def _sites(structure: Structure) -> np.ndarray:
    """Atomic number and coordinates of each site, sorted: a CIF brings the sites of an element together."""
    return np.array(sorted([site.specie.Z, *(site.frac_coords % 1)] for site in structure))


def test_candidates_are_written_as_they_are(tmp_path):
    candidates = _candidates()
    (tmp_path / "99-old-run.cif").write_text("stale")
    table = summary.write_candidates(candidates, ["Ta1W1B6"], 3, tmp_path)
    assert table["file"].tolist() == [f"{i:02d}-Ta1W1B6-flow.cif" for i in (1, 2, 3)]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*table["file"], "candidates.csv"])
    for name, original in zip(table["file"], to_structures(candidates), strict=False):
        read = structure_from_file(tmp_path / name)
        np.testing.assert_allclose(read.lattice.abc, original.lattice.abc, atol=1e-7)
        np.testing.assert_allclose(_sites(read), _sites(original), atol=1e-7)
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    summary.write_candidates(candidates, ["Ta1W1B6"], 3, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first
    written = pd.read_csv(tmp_path / "candidates.csv")
    assert written["e_above_hull"].tolist() == [-0.0123, -0.002, 0.05]


def test_nothing_found_is_no_error(tmp_path):
    table = summary.write_candidates(_candidates().head(0), ["Ta1W1B6"], 3, tmp_path)
    assert table.empty


# The baseline


@pytest.fixture
def prototypes() -> pd.DataFrame:
    """Three training crystals of one stoichiometry, two of them in one space group, and another one."""
    structures = [perovskite(4.0, "Ti", "Ni", "Al"), perovskite(4.1, "Ni", "Ti", "B"), generic(1, ["Ta", "W", "B", "B", "B"])]
    structures.append(caesium_chloride(3.0, "Ti", "Ni"))
    groups = pd.array([221, 221, 1, 221], dtype="Int16")
    return from_structures(structures, "p", space_group=groups, split="train", formation_energy_per_atom=np.nan)


def test_every_prototype_is_decorated_in_every_order(prototypes):
    """ABC3 for TaWB3: the two single sites are Ta and W, or W and Ta."""
    made = decorate_prototypes(["Ta1W1B3", "Ta1W1B9"], prototypes)
    assert set(made["formula"]) == {"Ta1B3W1"}
    assert made["template_id"].value_counts().to_dict() == {"p-0": 2, "p-1": 2, "p-2": 2}
    assert made["id"].is_unique
    for template, pair in made.groupby("template_id"):
        assert pair["atomic_numbers"].map(tuple).nunique() == 2
        own = prototypes.set_index("id").loc[template, "frac_coords"]
        assert all(np.array_equal(coords, own) for coords in pair["frac_coords"])


def test_held_out_crystals_are_no_templates(prototypes):
    assert decorate_prototypes(["Ta1W1B3"], prototypes.assign(split="test")).empty


# The figure


def test_the_figure_shows_every_candidate():
    figure, points = candidate_strips(_candidates())
    assert len(points) == 5
    drawn = sum(len(collection.get_offsets()) for collection in figure.axes[0].collections)
    assert drawn == 5
    assert {text.get_text() for text in figure.axes[0].texts} == {"n = 4", "n = 1"}
    figure, _ = candidate_strips(_candidates(), ["flow", "none of it"])
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["n = 0", "n = 1", "n = 4"]
