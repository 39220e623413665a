"""From a network to crystals: what is asked, what comes back, and what is counted as lost."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from crystalgen.crystals import formulas, read_crystals
from crystalgen.generative import checkpoint
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import TEST, VAL
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.data.pairs import PairData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.settings import MatrixModel, Sampling, UniMatModel
from crystalgen.generative.settings import Model as AnyModel
from crystalgen.metrics.study_results import read_samples
from crystalgen.represent.canonical import ordered_numbers
from crystalgen.represent.generate import (
    evaluation_requests,
    generate_for_conditions,
    generate_for_requests,
    generate_freely,
    sample_row,
    save_samples,
)
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors

EULER = Sampling(sampler="euler", steps=3)


class Still(nn.Module):
    """A network of no consequence; `broken` samples, by number, come out as NaN."""

    def __init__(self, broken=()):
        super().__init__()
        self.gain, self.layer, self.broken = nn.Parameter(torch.zeros(1)), nn.Tanh(), list(broken)

    def forward(self, x, t, condition):
        out = self.layer(self.gain * x)
        if len(out) > 1:
            out[self.broken] = torch.nan
        return out


class Says:
    """An objective whose samples are known, and which notes what was asked."""

    def __init__(self, x: torch.Tensor):
        self.x, self.conditions = x, []

    def prior(self, shape, condition, generators):
        return self.x[: shape[0]].clone()

    def sample(self, net, x, condition, sampling, generators, symmetry):
        self.conditions.append(condition)
        return x


def trained(data, nets=None, objective=None, **settings) -> Model:
    """A trained model of the data's representation and task, of networks and an objective of one's own."""
    spec = {"training": {"steps": 1}, "sampling": {"a": {"sampler": "euler", "steps": 3}}, "objective": {"name": "flow"}} | settings
    if isinstance(data, UniMatData):
        spec["representation"] = "unimat"
    elif isinstance(data, PairData):
        spec |= {"task": "modification", "objective": {"name": "flow", "prior": "structure"}}
    return Model(TypeAdapter(AnyModel).validate_python({"representation": "matrix"} | spec), data.codec, nets or {1: Still()}, objective)


@pytest.fixture
def table(crystals):
    """Whole formulas on each side, as polymorph pairs need it."""
    side = np.array(["train", "val", "test", "train"], dtype=object)[crystals.groupby("formula").ngroup() % 4]
    energies = np.random.default_rng(0).normal(size=len(crystals)).round(4)
    return crystals.assign(split=side, formation_energy_per_atom=energies, energy_source="made up")


@pytest.fixture
def data(table, tmp_path):
    save_tensors(matrix_tensors(table), tmp_path / "m.safetensors")
    return MatrixData(tmp_path / "m.safetensors")


@pytest.fixture
def pairs(data, tmp_path):
    return PairData(tmp_path / "m.safetensors", per_group=16)


# What is asked


@pytest.mark.parametrize(("split", "name"), [(TEST, "test"), (VAL, "val")])
def test_generation_is_asked_for_every_crystal_of_the_side(table, data, split, name):
    requests, items = evaluation_requests(data, table, split=split)
    assert requests["target_id"].tolist() == table["id"][table["split"] == name].tolist()
    assert requests["request"].tolist() == [str(i) for i in range(len(requests))]
    assert table["id"].iloc[items.numpy()].tolist() == requests["target_id"].tolist()
    assert "input_id" not in requests


def test_modification_is_asked_for_the_lowest_polymorph_of_every_other_one(table, pairs):
    requests, _ = evaluation_requests(pairs, table)
    by_id = table.set_index("id")
    inputs, targets = by_id.loc[requests["input_id"]], by_id.loc[requests["target_id"]]
    assert inputs["formula"].tolist() == targets["formula"].tolist()
    assert (inputs["formation_energy_per_atom"].to_numpy() > targets["formation_energy_per_atom"].to_numpy()).all()
    test = table[table["split"] == "test"]
    lowest = test.loc[test.groupby("formula")["formation_energy_per_atom"].idxmin(), "id"]
    assert set(requests["input_id"]) == set(test["id"]) - set(lowest)
    assert set(requests["target_id"]) <= set(lowest)
    assert requests["target_id"].duplicated().any(), "one target is asked for from several inputs"
    assert requests["request"].is_unique


@pytest.mark.parametrize("kind", ["data", "pairs"])
def test_a_limit_is_a_repeatable_draw_from_the_whole_side(table, kind, request):
    data = request.getfixturevalue(kind)
    whole, _ = evaluation_requests(data, table)
    names = [c for c in whole if c.endswith("_id")]
    few = EULER.model_copy(update={"max_targets": 3})
    draws = [evaluation_requests(data, table, few.model_copy(update={"seed": s}))[0] for s in (0, 0, 1)]
    first, again, other = [list(map(tuple, d[names].to_numpy())) for d in draws]
    assert first == again != other
    everything = list(map(tuple, whole[names].to_numpy()))
    assert len(set(first)) == 3 and set(first) <= set(everything)
    assert first != everything[:3], "neighbours in the table are polymorphs of one formula"
    assert len(evaluation_requests(data, table, EULER.model_copy(update={"max_targets": 10**6}))[0]) == len(whole)


# What comes back


@pytest.mark.parametrize("kind", ["data", "pairs"])
def test_a_perfect_model_gives_back_its_targets(table, kind, request):
    data = request.getfixturevalue(kind)
    requests, items = evaluation_requests(data, table)
    says = Says(data.x[data.targets(items)])
    samples, record = generate_for_requests(trained(data, {5: Still(), 4: Still()}, says), data, requests, items, EULER, "row")
    count = len(requests)
    assert record == {
        "row": "row",
        "requested": 2 * count,
        "decoded": 2 * count,
        "seeds": [5, 4],
        "sampling_seed": 0,
        "rejected": {},
    }
    assert samples["seed"].tolist() == [5] * count + [4] * count
    assert samples["id"].is_unique
    targets = table.set_index("id").loc[requests["target_id"]]
    for seed in (5, 4):
        own = samples[samples["seed"] == seed]
        for name in requests.columns:
            assert own[name].tolist() == requests[name].tolist()
        assert own["formula"].tolist() == targets["formula"].tolist()
        np.testing.assert_allclose(np.stack(own["lattice"]), np.stack(targets["lattice"]), atol=1e-4)
        for found, expected in zip(own["frac_coords"], targets["frac_coords"], strict=True):
            off = found - expected
            np.testing.assert_allclose(off - np.round(off), 0, atol=2e-5)
    condition = says.conditions[0]
    assert condition["space_group"].tolist() == targets["space_group"].tolist()
    assert ("start" in condition) == (kind == "pairs")


def test_samples_that_are_no_crystals_are_counted_by_reason(table, data):
    requests, items = evaluation_requests(data, table)
    x = data.x[data.items(TEST)].clone()
    x[0, 0, 0] = torch.nan
    x[1, -1] = torch.inf
    zero = (0 - data.tensors["lattice_mean"]) / data.tensors["lattice_std"] * 12**-0.5 + 0.5
    x[2, -3:] = zero
    samples, record = generate_for_requests(trained(data, objective=Says(x)), data, requests, items, EULER, "row")
    assert record["decoded"] == len(samples) == len(requests) - 3
    assert sorted(record["rejected"].values()) == [1, 2]
    assert samples["request"].tolist() == requests["request"].tolist()[3:]


def test_what_each_seed_loses_is_added_up(table, data):
    requests, items = evaluation_requests(data, table)
    nets = {1: Still(), 2: Still(broken=[0, 3]), 3: Still(broken=[1])}
    samples, record = generate_for_requests(trained(data, nets), data, requests, items, EULER, "row")
    (reason,) = record["rejected"]
    assert "not finite" in reason and record["rejected"][reason] == 3
    assert record["requested"] == 3 * len(requests) == record["decoded"] + 3
    lost = {seed: set(requests["request"]) - set(samples["request"][samples["seed"] == seed]) for seed in nets}
    assert lost == {1: set(), 2: {"0", "3"}, 3: {"1"}}


@pytest.mark.parametrize("kind", ["data", "pairs"])
def test_nothing_asked_is_an_empty_answer(table, kind, request):
    data = request.getfixturevalue(kind)
    requests, items = (part[:0] for part in evaluation_requests(data, table))
    samples, record = generate_for_requests(trained(data), data, requests, items, EULER, "row")
    assert (len(samples), record["requested"], record["decoded"]) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["data", "pairs"])
def test_what_is_saved_is_read_again(table, kind, request, tmp_path):
    data = request.getfixturevalue(kind)
    requests, items = evaluation_requests(data, table)
    samples, record = generate_for_requests(trained(data, {1: Still(broken=[2])}), data, requests, items, EULER, "row")
    save_samples(samples, record, tmp_path / "row", requests)
    read, told, asked = read_samples(tmp_path / "row")
    assert told == record == json.loads((tmp_path / "row" / "record.json").read_text())
    pd.testing.assert_frame_equal(asked, requests)
    assert read["request"].tolist() == samples["request"].tolist()
    assert read["seed"].tolist() == samples["seed"].tolist()


# One's own conditions


def own(*compositions: list[int], group: int = 225, **columns) -> pd.DataFrame:
    numbers = [ordered_numbers(np.array(z)) for z in compositions]
    return pd.DataFrame({"atomic_numbers": numbers, "space_group": group, "formation_energy_per_atom": -0.5} | columns)


def test_a_condition_of_ones_own_decodes_to_exactly_its_composition(data):
    conditions = own([73, 74, 5, 5], [5, 74], [5] * 6 + [73, 74], label=["x", "y", "z"])
    nets = {1: Still(), 2: Still()}
    samples, record = generate_for_conditions(trained(data, nets), conditions, EULER, "row")
    expected, _ = formulas(conditions["atomic_numbers"])
    assert record["requested"] == record["decoded"] == 6
    assert samples["formula"].tolist() == expected * 2
    assert samples["label"].tolist() == ["x", "y", "z"] * 2
    assert (samples["asked_space_group"] == 225).all()
    assert (samples["asked_formation_energy_per_atom"] == -0.5).all()
    assert samples["space_group"].isna().all() and samples["formation_energy_per_atom"].isna().all(), "asked is not found"
    for found, asked in zip(samples["atomic_numbers"], [*conditions["atomic_numbers"]] * 2, strict=True):
        assert found.tolist() == asked.tolist()


def test_a_condition_of_ones_own_is_what_the_data_would_ask(table, data):
    rows = [3, 11]
    same = pd.DataFrame({n: list(table[n].iloc[rows]) for n in ("atomic_numbers", "space_group", "formation_energy_per_atom")})
    says = Says(data.x)
    generate_for_conditions(trained(data, objective=says), same, EULER, "row")
    expected = data.condition(torch.tensor(rows))
    assert says.conditions[0].keys() == expected.keys()
    for name, value in says.conditions[0].items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        pytest.param(own([5, 74], [5] * 9), r"condition 1: 9 atoms; expected at most 8", id="too long"),
        pytest.param(own([5, 74], [74, 5], [5, 92]), r"condition 2: no training crystal has U; expected", id="unknown element"),
        pytest.param(own([5, 0, 74]), r"condition 0: .*atomic number 0", id="no element"),
        pytest.param(
            own([5, 74], [5, 74], group=[225, 7]),
            r"condition 1: no .* has space group 7; expected one of \[.*225",
            id="unknown group",
        ),
    ],
)
def test_a_condition_that_the_network_cannot_know_is_named(data, conditions, message):
    with pytest.raises(ValueError, match=message):
        generate_for_conditions(trained(data), conditions, EULER, "row")


@pytest.mark.parametrize("side", ["val", "test", "held_out"])
def test_what_only_another_side_than_training_has_the_network_never_saw(table, tmp_path, side):
    holds_nickel = table["atomic_numbers"].map(lambda z: 28 in z)
    table["split"] = np.where(holds_nickel | (table["space_group"] == 194), side, "train")
    save_tensors(matrix_tensors(table), tmp_path / "n.safetensors")
    data = MatrixData(tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match="condition 0: no training crystal has Ni"):
        generate_for_conditions(trained(data), own([28, 5]), EULER, "row")
    with pytest.raises(ValueError, match="condition 0: no training crystal has space group 194"):
        generate_for_conditions(trained(data), own([5, 74], group=194), EULER, "row")


# UniMat


@pytest.fixture
def unimat_data(table, tmp_path):
    few = table[table["prototype"] == "triclinic"].assign(split="train").reset_index(drop=True)
    save_tensors(unimat_tensors(few), tmp_path / "u.safetensors")
    return few, UniMatData(tmp_path / "u.safetensors")


def test_free_samples_without_atoms_are_rejected_and_the_rest_can_be_written(unimat_data, tmp_path):
    few, data = unimat_data
    x = data.batch(torch.arange(len(few))).x
    x[0, :3] = -1.0
    sampling = Sampling(sampler="ddpm", steps=1, count=3)
    samples, record = generate_freely(trained(data, {1: Still(), 2: Still()}, Says(x)), sampling, "row")
    assert record["rejected"] == {"no atoms": 2}
    assert (record["requested"], len(samples)) == (6, 4)
    save_samples(samples, record, tmp_path)
    assert read_crystals(tmp_path / "crystals.parquet")["formula"].tolist() == few["formula"].iloc[1:3].tolist() * 2
    read, told, asked = read_samples(tmp_path)
    assert told == record and asked is None and read["seed"].tolist() == [1, 1, 2, 2]


# A model's ways to sample


def test_a_row_is_sampled_in_its_own_way(table, data, unimat_data, monkeypatch):
    training = {"steps": 1}
    ways = {"short": {"sampler": "ddim", "steps": 2, "max_targets": 4}, "long": {"sampler": "ddpm", "steps": 5, "max_targets": 3}}
    model = MatrixModel.model_validate({"objective": {"name": "diffusion"}, "training": training, "sampling": ways})
    used = []
    draw = checkpoint.draw_samples
    monkeypatch.setattr(checkpoint, "draw_samples", lambda *given, **more: used.append(given[-1]) or draw(*given, **more))
    for row, count in (("short", 4), ("long", 3)):
        _, record, requests = sample_row(row, Model(model, data.codec, {1: Still(), 2: Still()}), model.sampling[row], data, table)
        assert (record["row"], record["requested"], len(requests)) == (row, 2 * count, count)
        assert used[-2:] == [model.sampling[row]] * 2
    free = UniMatModel.model_validate({"training": training, "sampling": {"u": {"sampler": "ddim", "steps": 2, "count": 7}}})
    _, record, requests = sample_row("u", Model(free, unimat_data[1].codec, {1: Still()}), free.sampling["u"], None, table)
    assert record["requested"] == 7 and requests is None
