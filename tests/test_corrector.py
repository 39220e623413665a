"""Training the networks that choose and correct, on crystals with a known rule; resuming, files, and settings."""

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystalgen.baselines.retrieval.retrieve import candidate_cells, find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import Corrector, load_study
from crystalgen.corrector.candidates import MEMBERS, describe_candidates
from crystalgen.corrector.choosing import search_settings
from crystalgen.corrector.correcting import corrected_cells, training_pairs
from crystalgen.corrector.free import free_crystals
from crystalgen.corrector.model import CORRECTOR, Networks, basis_of, networks_of
from crystalgen.corrector.sites import Sites
from crystalgen.corrector.train import equal_batches
from crystalgen.crystals import from_structures
from crystalgen.experiments.correcting import Choosing
from crystalgen.generative.checkpoint import Model
from crystalgen.matching.match import CSP, reduce_table
from crystalgen.matching.matcher import compare
from crystalgen.matching.reduction import reduce_cell
from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError, check_strict

CATIONS, ANIONS, METALS = ("Li", "Na", "K", "Rb", "Ag", "Mg", "Ca", "Sr"), ("F", "Cl", "Br", "O", "S"), ("Fe", "Co", "Ni", "Al", "Ti")
HEIGHT = {symbol: 0.335 + 0.012 * i for i, symbol in enumerate(CATIONS)}  # of wurtzite, by the cation


def _wurtzite(a: float, one: str, other: str) -> Structure:
    coords = [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, HEIGHT[one]], [2 / 3, 1 / 3, 0.5 + HEIGHT[one]]]
    return Structure(Lattice.hexagonal(a, 1.63 * a), [one, one, other, other], coords)


def _table(structures: list[Structure]) -> pd.DataFrame:
    return find_space_groups(from_structures(structures, "training", e_above_hull=np.nan))


@pytest.fixture(scope="module")
def templates() -> Templates:
    """Salts, whose free coordinate follows from the cation, and alloys of another prototype."""
    structures = [_wurtzite(3.2 + 0.1 * i, one, other) for i, one in enumerate(CATIONS) for other in ANIONS]
    coords = [[0, 0, 0], [0.5, 0.5, 0.3], [0.5, 0, 0.55], [0, 0.5, 0.8]]
    pairs = [(one, other) for one in METALS for other in METALS if one < other]
    structures += [Structure(Lattice.tetragonal(3.0, 5.0), [one, one, other, other], coords) for one, other in pairs]
    return Templates(_table(structures), workers=1)


@pytest.fixture(scope="module")
def distances() -> np.ndarray:
    """Distances by chance leave all to the networks."""
    drawn = np.random.default_rng(0).random((120, 120)) * 4
    return (drawn + drawn.T)[None]


def _settings(**changes) -> Corrector:
    training = {"epochs": 12, "batch_size": 8, "precision": "no", "learning_rate": 3e-3, "ema": 0.9}
    whole = {"candidates": 4, "pairs": 6, "width": 32, "blocks": 2, "heads": 2, "scorers": 1, "workers": 1}
    return check_strict(Corrector, whole | {"scoring": training, "correcting": training} | changes, "tests")


@pytest.fixture(scope="module")
def choosing(templates, distances, tmp_path_factory) -> Choosing:
    sites = Sites.of(templates)
    networks, runs = networks_of(templates, sites, distances, _settings(), tmp_path_factory.mktemp("corrector"))
    assert set(runs) == {"corrector", "scorer-0"}
    return Choosing(templates, sites, distances, networks)


@pytest.fixture(scope="module")
def asked() -> pd.DataFrame:
    return _table([_wurtzite(3.5, "Ag", "I"), _wurtzite(3.6, "Li", "I"), _wurtzite(3.5, "Rb", "Se"), _wurtzite(3.4, "Sr", "Se")])


def test_correcting_learns_how_a_coordinate_follows_from_elements(choosing, asked):
    candidates = find_candidates(choosing.templates, asked, choosing.distances, 3)
    targets = [reduce_cell(*row) for row in asked[["lattice", "atomic_numbers", "frac_coords"]].itertuples(index=False)]
    before, after = candidate_cells(choosing.templates, asked, candidates), choosing.corrected(asked, candidates)
    pairs = [(old, new, targets[request]) for old, new, request in zip(before, after, candidates["request"], strict=True)]
    apart = np.array([[compare(cell, target, CSP)[1] for cell in (old, new)] for old, new, target in pairs if compare(old, target, CSP)[0]])
    assert len(apart) >= 4
    assert apart[:, 1].mean() < 0.6 * apart[:, 0].mean()


def test_scoring_learns_what_distances_do_not_say(choosing, asked):
    candidates = find_candidates(choosing.templates, asked, choosing.distances, 12)
    ranked = choosing.ranked(asked, candidates)
    first = ranked[ranked["rank"] == 0]
    assert choosing.templates.table["space_group"].iloc[first["template"]].tolist() == [186] * len(asked)
    assert first["probability"].mean() > 0.5
    same = ["request", "template", "permutation", "arrangement"]
    pd.testing.assert_frame_equal(*(t[same].sort_values(same, ignore_index=True) for t in (candidates, ranked)))


def test_answers_have_the_composition_and_the_volume_asked_for(choosing, asked):
    candidates = choosing.ranked(asked, find_candidates(choosing.templates, asked, choosing.distances, 3))
    found = choosing.answers(asked, candidates, 20)
    assert found.first["target_id"].tolist() == asked["id"].tolist()
    for (_, made), (_, target) in zip(found.first.iterrows(), asked.iterrows(), strict=True):
        assert sorted(made["atomic_numbers"]) == sorted(target["atomic_numbers"])
        volume = choosing.templates.volumes[target["atomic_numbers"]].sum()
        assert abs(np.linalg.det(made["lattice"])) == pytest.approx(volume, rel=0.5)


def test_the_space_group_decides_where_it_is_told(choosing, asked):
    alloys = choosing.templates.table["space_group"].iloc[-1]
    for wanted in (186, alloys):
        requests = asked.assign(space_group=wanted)
        candidates = find_candidates(choosing.templates, requests, choosing.distances, 4, **search_settings(told=True))
        groups = choosing.templates.table["space_group"].iloc[candidates["template"]].to_numpy()
        assert (groups[candidates["rank"] == 0] == wanted).all() and set(groups) == {186, alloys}, "the other group comes later"
    told = describe_candidates(choosing.templates, asked, candidates, choosing.distances, told=True).facts[:, -1]
    np.testing.assert_array_equal(told, np.where(groups == 186, 1, -1))
    assert not describe_candidates(choosing.templates, asked, candidates, choosing.distances).facts[:, -1].any()


def test_free_crystals_come_after_the_candidates_and_first_where_there_is_none(choosing, asked):
    candidates = find_candidates(choosing.templates, asked, choosing.distances, 6)
    candidates = candidates[candidates["request"] != 2]
    crystals = _table([_wurtzite(3.4, "Ag", "I"), _wurtzite(3.5, "Rb", "Se")])
    free = crystals.assign(request=[0, 2], cell=reduce_table(crystals, 1))
    found = choosing.answers(asked, candidates, 6, free)
    chosen = min(choosing.networks.settings.candidates, (candidates["request"] == 0).sum())
    for request, rank in ((0, chosen), (2, 0)):
        row = np.flatnonzero((found.table["request"] == request) & (found.table["rank"] == rank))
        assert [found.cells[place] for place in row] == [free["cell"].iloc[[0, 2].index(request)]]
    for _, part in found.table.groupby("request"):
        assert sorted(part["rank"]) == list(range(len(part)))
    assert found.table["rank"].max() < 6
    assert set(found.first["target_id"]) == set(asked["id"])


def test_the_shipped_generator_says_nothing_of_what_it_cannot_be_asked():
    generator = Model.load(paths.SHIPPED / "mp_20_generator" / "models" / "generator")
    salts = _table([_wurtzite(3.5, "Li", "I"), _wurtzite(3.5, "Li", "Rn")])
    free = free_crystals(generator, salts, told=False, steps=8)
    assert free["request"].tolist() == [0]
    assert sorted(free["atomic_numbers"].iloc[0]) == [3, 3, 53, 53]


def test_networks_come_back_from_their_folder(choosing, asked, tmp_path):
    choosing.networks.save(tmp_path)
    loaded = Networks.load(tmp_path)
    candidates = find_candidates(choosing.templates, asked, choosing.distances, 4)
    one, other = (Choosing(choosing.templates, choosing.sites, choosing.distances, nets).ranked(asked, candidates)
                  for nets in (choosing.networks, loaded))  # fmt: skip
    np.testing.assert_array_equal(one["probability"], other["probability"])
    again, runs = networks_of(choosing.templates, choosing.sites, choosing.distances, _settings(), tmp_path)
    assert not runs
    assert again.basis == loaded.basis


def test_shipped_networks_can_be_read():
    networks = Networks.load(paths.SHIPPED / "mp_20" / "models" / "corrector")
    assert len(networks.scorers) == networks.settings.scorers == 3
    assert load_study("mp_20").corrector == networks.settings, "networks of other settings would be trained anew"


def test_a_missing_file_is_named(choosing, tmp_path):
    choosing.networks.save(tmp_path)
    (tmp_path / CORRECTOR).unlink()
    with pytest.raises(FileNotFoundError, match=f"{CORRECTOR}: no trained network"):
        Networks.load(tmp_path)


def test_other_crystals_or_settings_are_another_basis(templates):
    basis = basis_of(templates, _settings())
    assert basis == basis_of(templates, _settings(workers=2))
    assert basis != basis_of(templates, _settings(width=64))
    others = Templates(templates.table.iloc[1:], workers=1)
    assert basis != basis_of(others, _settings())


def test_a_run_that_was_cut_off_ends_in_the_same_weights(templates, distances, tmp_path, monkeypatch):
    sites, settings = Sites.of(templates), _settings(correcting={"epochs": 3, "batch_size": 8}, scoring={"epochs": 3, "batch_size": 8})
    whole, _ = networks_of(templates, sites, distances, settings, tmp_path / "whole")
    clip, steps = torch.nn.utils.clip_grad_norm_, iter(range(len(training_pairs(templates, distances, settings.pairs)) // 8 + 5))

    def cut_off(*given):
        if next(steps, None) is None:  # in the second epoch
            raise KeyboardInterrupt
        return clip(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.nn.utils, "clip_grad_norm_", cut_off)
        networks_of(templates, sites, distances, settings, tmp_path / "cut")
    assert torch.load(tmp_path / "cut" / "checkpoints" / "corrector.pt", weights_only=True)["state"]["epoch"] == 1
    resumed, _ = networks_of(templates, sites, distances, settings, tmp_path / "cut")
    for one, other in zip(whole.corrector.parameters(), resumed.corrector.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_pairs_for_correcting_are_of_one_arrangement(templates, distances):
    pairs = training_pairs(templates, distances, 4)
    assert (pairs["request"] != pairs["template"]).all()
    assert pairs.groupby("request").size().max() == 4
    group = templates.groups[2, 2]
    place = {row: i for i, row in enumerate(group.rows)}
    for row in pairs.itertuples():
        assert group.arrangements[place[row.template], row.permutation] == group.arrangements[place[row.request], 0] == row.arrangement


def test_a_candidate_shows_its_template_first_and_nothing_that_is_left_out(templates, distances):
    asked = templates.table.iloc[[3, 40]].reset_index(drop=True)
    exclude = [[name] for name in asked["id"]]
    candidates = find_candidates(templates, asked, distances, 3, repeats=False, exclude=exclude)
    described = describe_candidates(templates, asked, candidates, distances, exclude)
    for place, row in enumerate(candidates.itertuples()):
        own = {tuple(sorted(set(templates.table["atomic_numbers"].iloc[row.template].tolist())))}
        assert tuple(sorted(described.before[place, 0].tolist())) in own
        left_out = sorted(set(asked["atomic_numbers"].iloc[row.request].tolist()))
        shown = described.shares[place] > 0
        assert left_out not in [sorted(members) for members in described.before[place][shown].tolist()]
        assert described.shares[place, 0] == 1
        assert shown.sum() <= MEMBERS
        assert (np.diff(described.shares[place][1:]) <= 0).all()


def test_batches_are_of_one_kind_and_hold_everything():
    kinds = np.random.default_rng(0).integers(1, 5, 100)
    batches = equal_batches(kinds, 7, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(100))
    assert all(len(set(kinds[batch])) == 1 and len(batch) <= 7 for batch in batches)


def test_what_has_no_cell_is_left_as_it_is(choosing, asked):
    candidates = find_candidates(choosing.templates, asked, choosing.distances, 2)
    described = describe_candidates(choosing.templates, asked, candidates, choosing.distances, with_facts=False)
    cells = candidate_cells(choosing.templates, asked, candidates)
    cells[1] = "no primitive cell"
    made = corrected_cells(choosing.networks.corrector, described, choosing.sites, cells)
    assert made[1] == "no primitive cell"
    assert not isinstance(made[0], str)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(StudyError, match="heads 5: expected a divisor of width 32"):
        _settings(heads=5)
    with pytest.raises(StudyError, match="epochs"):
        _settings(scoring={"batch_size": 4})
