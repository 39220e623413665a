"""How masked prediction shows a crystal: revisions draw again what was drawn when little was known; atoms keep apart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from objective_case import seeded
from pydantic import TypeAdapter

from crystalgen.chemistry.orbits import fillings
from crystalgen.crystals import from_columns
from crystalgen.crystals.plausibility import shortest_contact
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.jobs import load_data
from crystalgen.generative.objectives.masked import REVISED
from crystalgen.generative.objectives.settings import Masked
from crystalgen.generative.settings import Model as AnyModel
from crystalgen.generative.settings import Sampling
from crystalgen.represent.canonical import composition_numbers
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.represent.scaffold import Scaffold, filled
from crystalgen.represent.tensors import matrix_tensors, save_tensors

K = 8
PAIR = {"atomic_numbers": torch.tensor([[6, 6, 0, 0, 0]])}


def pair_that_agrees(x: torch.Tensor, t: torch.Tensor, condition: dict) -> torch.Tensor:
    """Both atoms are in bin 2 or both in bin 6 of each axis, and the network says where one is as soon as it is shown the other."""
    atoms = x[:, :2]
    other = atoms.flip(1)[..., None]
    bins = torch.arange(K) / K
    follow = -500 * (other - bins).abs()
    either = torch.where((bins == 2 / K) | (bins == 6 / K), 0.0, -50.0).expand(len(x), 2, 3, K)
    logits = torch.cat([torch.where(other.isnan(), either, torch.nan_to_num(follow)), torch.zeros(len(x), 3, 3, K)], dim=1)
    return torch.cat([logits, torch.zeros_like(logits)], dim=3)


def share_that_agrees(revisions: int, unit: str = "value", count: int = 200) -> float:
    condition = {name: value.repeat(count, 1) for name, value in PAIR.items()}
    objective, sampling = Masked(unit=unit, bins=K).build(), Sampling(sampler="unmask", steps=1, temperature=1.0, revisions=revisions)
    generators = [seeded(number) for number in range(count)]
    drawn = objective.sample(pair_that_agrees, objective.prior((count, 5, 3), condition, generators), condition, sampling, generators)
    assert drawn.isfinite().all()
    assert set((drawn[:, :2] * K).round().unique().tolist()) == {2.0, 6.0}
    return float((drawn[:, 0] == drawn[:, 1]).all(dim=1).float().mean())


@pytest.mark.parametrize("unit", ["row", "value"])
def test_what_was_drawn_at_once_agrees_after_revisions(unit):
    assert share_that_agrees(0, unit) == pytest.approx(1 / 8, abs=0.07), "one step knows nothing of the other atom, on three axes"
    assert share_that_agrees(20, unit) > 0.75


def test_a_revision_hides_part_of_a_crystal_and_less_each_time():
    shown, count = [], 400

    def net(x, t, condition):
        shown.append(float(t.mean()))
        return pair_that_agrees(x, t, condition)

    condition, objective = {"atomic_numbers": PAIR["atomic_numbers"].repeat(count, 1)}, Masked(unit="value", bins=K).build()
    sampling, generators = Sampling(sampler="unmask", steps=1, temperature=1.0, revisions=2), [seeded(i) for i in range(count)]
    objective.sample(net, objective.prior((count, 5, 3), condition, generators), condition, sampling, generators)
    assert shown == [0.0, pytest.approx(1 - REVISED, abs=0.05), pytest.approx(1 - REVISED / 2, abs=0.05)]


class TwoAtOnePlace(torch.nn.Module):
    """Says of two of three atoms that they lie at the same place, a quarter of a bin beside a centre, and little about y and z."""

    def forward(self, x, t, condition):
        logits, offsets = torch.zeros(*x.shape, K), torch.zeros(*x.shape, K)
        logits[:, 0, :, 0] = logits[:, 1:3, 0, 4] = 20.0
        logits[:, 1:3, 1:, 2] = 0.1
        offsets[:, 1:3] = 0.25
        return torch.cat([logits, offsets], dim=3)


class Undecided(torch.nn.Module):
    """Every bin is as likely as every other."""

    def forward(self, x, t, condition):
        return torch.zeros(*x.shape, 2 * K)


def a_model(net: torch.nn.Module, formula: str, folder: Path, **sampling) -> tuple[Model, Scaffold]:
    """A model around a network that is not trained, of the scale of one crystal without symmetry, and this crystal."""
    made = filled(1, fillings(composition_numbers(formula), 1, most=1)[0], np.random.default_rng(0))
    table = from_columns([made.lattice], [made.numbers], [made.coords], "random", ["a"], space_group=pd.array([1], dtype="Int16"),
                         split=["train"], formation_energy_per_atom=np.zeros(1))  # fmt: skip
    save_tensors(matrix_tensors(table), folder / "t.safetensors")
    settings = TypeAdapter(AnyModel).validate_python(
        {"representation": "matrix", "net": "rows_small", "training": {"steps": 1}, "sampling": {"a": {"sampler": "unmask"} | sampling},
         "objective": {"name": "masked", "unit": "value", "bins": K}})  # fmt: skip
    codec = load_data(settings, folder / "t.safetensors").codec
    net.register_parameter("weight", torch.nn.Parameter(torch.zeros(1)))
    return Model(settings, codec, {0: net}), made


def drawn(model: Model, crystal: Scaffold, count: int, on: bool = False, **changes) -> pd.DataFrame:
    asked = pd.DataFrame({"atomic_numbers": [crystal.numbers] * count, "space_group": 1, "formation_energy_per_atom": 0.0})
    sampling = model.settings.sampling["a"].model_copy(update=changes)
    return generate_for_conditions(model, asked, sampling, "a", scaffolds=[crystal] * count if on else None)[0]


def test_on_a_scaffold_atoms_that_a_network_takes_to_one_place_are_kept_apart_at_its_own_values(tmp_path):
    first, *others = drawn(*a_model(TwoAtOnePlace(), "Ti1O2", tmp_path, steps=1), 1, on=True)["frac_coords"][0] * K
    assert np.abs(first).max() < 1e-4
    assert np.abs(np.array(others) % 1 - 0.25).max() < 1e-4, "the values are the network's own of a bin, not those that were tried"
    assert np.abs(others[0] - others[1]).max() >= 1 and [atom[0] for atom in others] == [pytest.approx(4.25)] * 2


@pytest.mark.parametrize("on", [False, True])
def test_crystals_whose_atoms_come_too_near_are_drawn_anew(on, tmp_path):
    model, crystal = a_model(Undecided(), "C3", tmp_path, steps=4, temperature=1.0)

    def contacts(table: pd.DataFrame) -> np.ndarray:
        return np.array([shortest_contact(*c) for c in zip(table["lattice"], table["frac_coords"], table["atomic_numbers"], strict=True)])

    plain, anew = drawn(model, crystal, 40, on), drawn(model, crystal, 40, on, contact=0.7, attempts=4)
    was, now = contacts(plain), contacts(anew)
    near = was < 0.7
    assert 5 < near.sum() < 40, "there is something to do, and something to leave"
    for column in ("frac_coords", "lattice"):
        assert all(np.array_equal(a, b) for a, b in zip(plain[column][~near], anew[column][~near], strict=True))
    assert (now >= was).all() and (now < 0.7).mean() < 0.6 * near.mean()
    few = drawn(model, crystal, 7, on, contact=0.7, attempts=4)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(few["frac_coords"], anew["frac_coords"][:7], strict=True)), (
        "others don't matter"
    )
    best = drawn(model, crystal, 40, on, contact=0.99, attempts=3)
    assert (contacts(best) >= was).all(), "where none is apart enough, the best one stays"
