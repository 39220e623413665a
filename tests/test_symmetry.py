"""Space groups by construction: their positions, the ways to fill them, and crystals that keep them whatever a network says."""

import numpy as np
import pandas as pd
import pytest
import spglib
import torch
from pydantic import TypeAdapter

from crystalgen.baselines.distilled.store import shipped_prototypes
from crystalgen.chemistry.orbits import check_possible, fillings, is_possible
from crystalgen.chemistry.spacegroups import space_group_number
from crystalgen.chemistry.wyckoff import space_group
from crystalgen.crystals import from_columns
from crystalgen.crystals.plausibility import MIN_CONTACT, shortest_contact
from crystalgen.experiments.scaffolds import choose_scaffolds, letter_frequencies, proposed
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.views import lattices, parameters
from crystalgen.generative.jobs import load_data
from crystalgen.generative.settings import Model as AnyModel
from crystalgen.represent.apart import allowed, kept_apart
from crystalgen.represent.canonical import composition_numbers, ordered_numbers, wrap
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.represent.scaffold import PARTNERS, filled, found_in, misfit, subspaces
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors

GROUPS = {
    1: "TiAl2", 2: "Ti2Al2O2", 5: "TiAl2", 14: "Ti4Al4", 15: "Ti2Al4", 62: "Ti4Al4O4", 76: "Ti4Al4", 78: "Ti4Al4", 148: "Ti2Al6",
    152: "Ti3Al6", 154: "Ti3Al6", 166: "TiAlO2", 167: "Ti4O6", 186: "Ti2O2", 194: "Ti2Al4", 205: "Ti4O8", 216: "TiO", 227: "Ti2Al4O8",
    229: "TiAl3",
}  # fmt: skip


def first_filling(composition: str, group: int):
    return fillings(composition_numbers(composition), group, most=1)[0]


# Positions


@pytest.mark.parametrize("numbers", [range(1, 75), range(75, 143), range(143, 195), range(195, 231)], ids=str)
def test_orbits_of_every_group_show_it_in_its_primitive_cell(numbers):
    rng = np.random.default_rng(0)
    for number in numbers:
        group, general = space_group(number), space_group(number).sites[-1]
        assert [site.multiplicity for site in group.sites] == [len(group.orbit(site, rng.random(3))) for site in group.sites]
        coords = np.concatenate([group.orbit(general, rng.random(3)) for _ in range(2)])
        species = np.repeat([1, 2], len(coords) // 2)
        found = spglib.get_symmetry_dataset((10 * np.linalg.cholesky(group.random_metric(rng)), coords, species), symprec=1e-3)
        assert found.number == number and len(found.rotations) == len(group.rotations)


def test_positions_are_those_of_the_tables():
    sites = {site.letter: (site.multiplicity, site.freedom) for site in space_group(166).sites}
    assert sites["a"] == (1, 0) and sites["c"] == (2, 1) and sites["h"] == (6, 2) and sites["i"] == (12, 3), "rhombohedral cells"
    assert [site.multiplicity for site in space_group(225).sites] == [1, 1, 2, 6, 6, 8, 12, 12, 12, 24, 24, 48]
    with pytest.raises(ValueError, match="expected an International number from 1 to 230"):
        space_group(231)


# Fillings


@pytest.mark.parametrize(("composition", "group", "expected"), [
    ("NaCl", 225, {"Na:a Cl:b", "Na:b Cl:a"}),
    ("TiB2", 191, {f"{b} {ti}" for b in ("B:c", "B:d") for ti in ("Ti:a", "Ti:b")} | {"B:e Ti:a", "B:e Ti:b"}),
    ("Na4Cl4", 225, set()),
    ("Ta1W1B4", 225, set()),
])  # fmt: skip
def test_fillings_cover_the_atoms_exactly(composition, group, expected):
    assert {str(way) for way in fillings(composition_numbers(composition), group)} == expected


def test_a_position_without_freedom_is_filled_once_and_one_with_freedom_as_often_as_one_likes():
    for way in fillings(composition_numbers("Ti2Al4O8"), 123):
        fixed = [letter for _, letter in way.positions if next(s for s in space_group(123).sites if s.letter == letter).freedom == 0]
        assert len(set(fixed)) == len(fixed)
    assert any(len(set(way.positions)) < len(way.positions) for way in fillings(composition_numbers("Ti1Al4"), 99))
    assert not is_possible((5,), 225) and is_possible((1, 1, 2), 225) and not is_possible((1, 1, 1), 225)


def test_what_occurs_often_comes_first():
    ways = fillings(composition_numbers("TiB2"), 191, {"e": 100.0})
    assert str(ways[0]).startswith("B:e")
    assert [way.weight for way in ways] == sorted((way.weight for way in ways), reverse=True)


def test_what_is_impossible_is_refused_with_what_is_possible():
    with pytest.raises(
        ValueError, match="GaN in space group 186: .*possible with 2, 4, 6, 8 formula units.*; GaN is possible in .*216.*225"
    ):
        check_possible("GaN", composition_numbers("GaN"), 186)
    check_possible("Ga2N2", composition_numbers("Ga2N2"), 186)


# Scaffolds


@pytest.mark.parametrize("group", GROUPS)
def test_a_scaffold_is_exact_and_is_found_again_in_any_cell(group):
    rng = np.random.default_rng(group)
    scaffold = filled(group, first_filling(GROUPS[group], group), rng)
    assert misfit(scaffold.lattice, scaffold.coords, scaffold) < 1e-9
    assert scaffold.numbers.tolist() == ordered_numbers(scaffold.numbers).tolist()
    coords = -scaffold.coords if scaffold.mirrored else scaffold.coords
    assert space_group_number((scaffold.lattice, coords, scaffold.numbers), 0.01) == group
    axes = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]])
    again = found_in(group, axes @ scaffold.lattice, scaffold.numbers, (coords + rng.random(3)) @ np.linalg.inv(axes))
    assert len(again.rotations) == len(scaffold.rotations)
    np.testing.assert_allclose(again.lattice, scaffold.lattice, atol=1e-6)
    assert sorted(np.bincount(again.orbits)) == sorted(np.bincount(scaffold.orbits))


@pytest.mark.parametrize("group", [76, 152, 178, 212])
def test_a_mirror_image_is_a_scaffold_of_the_other_hand(group):
    scaffold = filled(group, fillings(np.repeat([22, 13], 6 if group == 178 else (12 if group == 212 else (4 if group == 76 else 3))),
                                      group, most=1)[0], np.random.default_rng(0))  # fmt: skip
    coords = -scaffold.coords if scaffold.mirrored else scaffold.coords
    other = found_in(PARTNERS[group], scaffold.lattice, scaffold.numbers, coords)
    mirrored = -other.coords if other.mirrored else other.coords
    assert space_group_number((other.lattice, mirrored, other.numbers), 0.01) == PARTNERS[group]
    assert found_in(225, scaffold.lattice, scaffold.numbers, coords) is None


@pytest.mark.parametrize("group", GROUPS)
def test_allowed_displacements_are_a_projection_and_leave_the_group(group):
    scaffold = filled(group, first_filling(GROUPS[group], group), np.random.default_rng(1))
    space = subspaces([scaffold])
    average, metric = space.average[0].double(), space.metric[0].double()
    torch.testing.assert_close(average @ average, average, atol=1e-6, rtol=0)
    torch.testing.assert_close(metric @ metric, metric, atol=1e-5, rtol=0)
    for matrix in (average, space.spread[0].double()):
        moved = scaffold.coords + 0.1 * (matrix @ torch.randn(average.shape[0]).double()).reshape(-1, 3).numpy()
        assert misfit(scaffold.lattice, moved, scaffold) < 1e-6
    assert torch.equal(space.fixed[0], space.fixed[0][space.orbit[0]]), "orbits are shown as a whole"


@pytest.mark.parametrize("group", GROUPS)
def test_atoms_at_one_place_are_moved_apart_within_the_group(group):
    scaffold = filled(group, first_filling(GROUPS[group], group), np.random.default_rng(2))
    fixed = subspaces([scaffold]).fixed[0].numpy()
    meant = np.where(fixed[:, None], scaffold.coords, scaffold.coords[:1])
    coords = scaffold.coords + 0.98 * allowed((meant - scaffold.coords + 0.5) % 1 - 0.5, scaffold)
    lattice, apart = kept_apart(0.5 * scaffold.lattice, coords, scaffold)
    assert shortest_contact(lattice, apart, scaffold.numbers) > 0.99 * MIN_CONTACT
    assert misfit(lattice, apart, scaffold) < 1e-9
    again = kept_apart(1.1 * lattice, apart, scaffold)
    assert np.array_equal(again[0], 1.1 * lattice) and np.array_equal(again[1], apart), "what is apart stays as it is"


# Sampling

ROWS = {"name": "rows", "channels": 16, "blocks": 1, "heads": 2}
PLACES = {"name": "places", "token": "element", "channels": 16, "blocks": 1, "heads": 2}
KINDS = {
    "flow": ({"net": ROWS, "objective": {"name": "flow"}}, "euler"),
    "wrapped flow": ({"net": ROWS, "objective": {"name": "flow", "wrapped": True}}, "euler"),
    "diffusion": ({"net": ROWS, "objective": {"name": "diffusion", "mean": 0.5, "std": 0.2887, "clip": 4.0}}, "ddpm"),
    "end point": ({"net": ROWS, "objective": {"name": "endpoint"}}, "euler"),
    "bins": ({"net": ROWS, "objective": {"name": "bins"}}, "euler"),
    "masked rows": ({"net": ROWS, "objective": {"name": "masked"}}, "unmask"),
    "masked values": ({"net": ROWS, "objective": {"name": "masked", "unit": "value"}}, "unmask"),
    "UniMat": ({"net": PLACES, "objective": {"name": "diffusion", "clip": 1.0},
                "input": {"cell": "token", "composition": "exact"}}, "ddim"),
    "UniMat, Cartesian channels": ({"net": "demo", "objective": {"name": "diffusion", "clip": 1.0},
                                    "input": {"coordinates": "cartesian", "composition": "exact"}}, "ddim"),
    "UniMat, unconditional": ({"net": PLACES, "objective": {"name": "diffusion", "clip": 1.0}, "input": {"cell": "token"}}, "ddpm"),
}  # fmt: skip


def scaffolds(seed: int) -> list:
    rng = np.random.default_rng(seed)
    return [filled(group, first_filling(composition, group), rng) for group, composition in GROUPS.items()]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    made = scaffolds(0)
    return from_columns([s.lattice for s in made], [s.numbers for s in made], [s.coords for s in made], "random",
                        [str(i) for i in range(len(made))], space_group=pd.array([s.space_group for s in made], dtype="Int16"),
                        split=["train"] * len(made), formation_energy_per_atom=np.zeros(len(made)))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_keeps_the_group(kind, table, tmp_path):
    spec, sampler = KINDS[kind]
    unimat = "input" in spec
    save_tensors((unimat_tensors if unimat else matrix_tensors)(table), tmp_path / "t.safetensors")
    drawn = {"temperature": 1.0, "revisions": 2} if sampler == "unmask" else {}
    sampling = {"a": {"sampler": sampler, "steps": 4} | drawn}
    given = {"representation": "unimat" if unimat else "matrix", "training": {"steps": 1}, "sampling": sampling}
    settings = TypeAdapter(AnyModel).validate_python(given | spec)
    codec = load_data(settings, tmp_path / "t.safetensors").codec
    torch.manual_seed(0)
    net = settings.build_net(codec).eval()
    for parameter in net.parameters():  # some layers are built to say nothing
        parameter.data += 0.1 * torch.randn_like(parameter)
    on = scaffolds(1)
    told = pd.DataFrame({"atomic_numbers": [s.numbers for s in on], "space_group": [s.space_group for s in on],
                         "formation_energy_per_atom": 0.0, "place": range(len(on))})  # fmt: skip
    made, record = generate_for_conditions(Model(settings, codec, {0: net}), told, settings.sampling["a"], "a", scaffolds=on)
    assert record["decoded"] == len(on)
    verdicts = []
    for lattice, numbers, coords, place in zip(made["lattice"], made["atomic_numbers"], made["frac_coords"], made["place"], strict=True):
        assert numbers.tolist() == on[place].numbers.tolist()
        assert misfit(lattice, -coords if on[place].mirrored else coords, on[place]) < 1e-6
        verdicts.append(space_group_number((lattice, coords, numbers), 0.01) == on[place].space_group)
    assert np.mean(verdicts) > 0.8, "the others are of a supergroup, or their atoms coincide"
    moved = [np.abs((x - on[i].coords + 0.5) % 1 - 0.5).max() > 0.01 for x, i in zip(made["frac_coords"], made["place"], strict=True)]
    assert np.mean(moved) > 0.5, "crystals are not the scaffolds"


def test_cells_and_lattices_are_each_others_inverse_and_noise_is_a_cell():
    cells = torch.tensor([[3.0, 4.0, 5.0, 80.0, 95.0, 120.0], [2.0, 2.0, 2.0, 60.0, 60.0, 60.0]])
    torch.testing.assert_close(parameters(lattices(cells)), cells, atol=1e-3, rtol=1e-4)
    noise = lattices(torch.randn(200, 6) * 100)
    assert torch.isfinite(noise).all() and (torch.linalg.det(noise.double()) > 0).all()


# Choice


def test_proposals_and_known_crystals_come_before_other_fillings():
    prototypes, numbers = shipped_prototypes(), composition_numbers("TiB2")
    chosen = choose_scaffolds(numbers, 191, 6, prototypes)
    assert len(chosen) == 6 and all(scaffold.space_group == 191 and scaffold.numbers.tolist() == [22, 5, 5] for scaffold in chosen)
    lattice, coords = chosen[0].lattice, -chosen[0].coords if chosen[0].mirrored else chosen[0].coords
    assert space_group_number((lattice, coords, numbers), 0.01) == 191
    near = pd.DataFrame({"lattice": [lattice], "atomic_numbers": [numbers], "frac_coords": [coords + [[0, 0, 0], [0, 0, 0.02], [0, 0, 0]]]})
    (proposal,) = proposed(near, 191)
    assert misfit(proposal.lattice, proposal.coords, proposal) < 1e-9
    assert choose_scaffolds(numbers, 191, 2, prototypes, proposals=[proposal])[0] is proposal
    with pytest.raises(ValueError, match="space group 225: no way to fill its positions with 1 of Z = 5, 1 of Z = 73, 1 of Z = 74"):
        choose_scaffolds(np.array([5, 73, 74]), 225, 1, prototypes)
    assert proposed(near, 225) == []
    assert letter_frequencies(191, prototypes)["a"] > 5


def test_crystals_that_are_exact_are_not_rounded_when_they_are_written():
    near = np.array([1 - 7.8e-6, -1e-17, 1.25, -0.25])
    assert wrap(near, 1e-12).tolist() == [1 - 7.8e-6, 0.0, 0.25, 0.75] and wrap(near)[0] == 0
    scaffold = filled(148, first_filling("Ti2Al6", 148), np.random.default_rng(0))
    site = int(np.argmax(np.bincount(scaffold.orbits)[scaffold.orbits] == 6))
    beside = allowed(np.eye(len(scaffold.numbers))[:, [site]] * [1.0, 0, 0], scaffold)
    step = -(scaffold.coords[site, 0] % 1.0 + 7.8e-6) / beside[site, 0]
    moved = scaffold.coords + step * beside
    assert misfit(scaffold.lattice, wrap(moved, 1e-12), scaffold) < 1e-9 < 1e-6 < misfit(scaffold.lattice, wrap(moved), scaffold)
