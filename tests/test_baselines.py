"""Baselines are asked what the models are asked: template substitution per request, and the input as it is."""

import numpy as np
import pandas as pd
import pytest

from crystalgen.baselines import run_baseline
from crystalgen.config import Baseline
from crystalgen.crystals import validate


@pytest.fixture
def table(crystals):
    """Formulas with Al or B are tested, the rest is for training."""
    tested = crystals["atomic_numbers"].map(lambda z: bool({13, 5} & set(z.tolist()))).to_numpy(bool)
    energies = np.random.default_rng(0).normal(size=len(crystals)).round(4)
    return crystals.assign(split=np.where(tested, "test", "train"), formation_energy_per_atom=energies, energy_source="made up")


@pytest.fixture
def pairs(table):
    """Requests for the lowest polymorph of each tested formula, from every other one."""
    tested = table[table["split"] == "test"]
    lowest = tested.loc[tested.groupby("formula")["formation_energy_per_atom"].idxmin()].set_index("formula")["id"]
    inputs = tested[~tested["id"].isin(lowest)]
    requests = pd.DataFrame({"target_id": lowest.loc[inputs["formula"]].to_numpy(), "input_id": inputs["id"].to_numpy()})
    assert requests["target_id"].duplicated().any()
    return requests.assign(request=[str(i) for i in range(len(requests))])


def test_the_input_is_returned_as_it_is(table, pairs):
    samples, record = run_baseline("as_is", Baseline(kind="input", task="modification", seed=4), pairs, table)
    inputs = table.set_index("id").loc[pairs["input_id"]]
    for name in ("lattice", "frac_coords", "atomic_numbers"):
        assert all(np.array_equal(a, b) for a, b in zip(samples[name], inputs[name], strict=True))
    assert samples[["request", "target_id"]].to_numpy().tolist() == pairs[["request", "target_id"]].to_numpy().tolist()
    assert record == {
        "row": "as_is",
        "requested": len(pairs),
        "decoded": len(pairs),
        "seeds": [4],
        "sampling_seed": 4,
        "rejected": {},
    }
    validate(samples)
    assert (samples["source"] == "as_is").all() and (samples["seed"] == 4).all()


def test_a_target_asked_for_from_several_inputs_gets_a_template_each_time(table, pairs):
    samples, record = run_baseline("template", Baseline(task="modification"), pairs, table)
    validate(samples)
    assert record["decoded"] == len(samples) <= record["requested"] == len(pairs)
    assert samples["request"].is_unique
    asked = pairs.set_index("request").loc[samples["request"]]
    assert samples["target_id"].tolist() == asked["target_id"].tolist()
    by_id = table.set_index("id")
    assert samples["formula"].tolist() == by_id.loc[samples["target_id"], "formula"].tolist()
    assert set(by_id.loc[samples["template_id"], "split"]) == {"train"}
    repeated = samples[samples["target_id"].duplicated(keep=False)]
    assert len(repeated) > 2
    assert repeated.groupby("target_id")["template_id"].agg(lambda drawn: len(set(drawn)) > 1).any(), "drawn anew for each request"


def test_without_a_template_a_request_has_no_sample(table, pairs):
    few = table[(table["split"] == "test") | (table["prototype"] == "CsCl")]
    samples, record = run_baseline("template", Baseline(task="modification"), pairs, few)
    sizes = table.set_index("id").loc[pairs["target_id"], "atomic_numbers"].map(lambda z: np.unique(z, return_counts=True)[1].tolist())
    expected = [r for r, counts in zip(pairs["request"], sizes, strict=True) if counts == [1, 1]]
    assert samples["request"].tolist() == expected
    assert 0 < record["decoded"] == len(expected) < record["requested"] == len(pairs)
    assert record["rejected"] == {}


def test_a_seed_repeats_and_decides(table, pairs):
    def chosen(**settings):
        return run_baseline("t", Baseline(task="modification", **settings), pairs, table)[0]["template_id"].tolist()

    assert chosen(seed=1) == chosen(seed=1) != chosen(seed=2)
    assert chosen(choice="nearest_energy", seed=1) == chosen(choice="nearest_energy", seed=2)


def test_generation_asks_for_each_target_once(table):
    targets = table["id"][table["split"] == "test"].to_numpy()
    requests = pd.DataFrame({"request": np.arange(len(targets)).astype(str), "target_id": targets})
    samples, record = run_baseline("template", Baseline(), requests, table)
    assert record["requested"] == len(targets)
    assert samples["target_id"].is_unique
    assert requests.set_index("request").loc[samples["request"], "target_id"].tolist() == samples["target_id"].tolist()


def test_where_nothing_is_asked_training_crystals_are_drawn_once_each(table):
    settings = Baseline(kind="copies", task=None, count=6, seed=1)
    samples, record = run_baseline("copies", settings, None, table)
    validate(samples)
    drawn = table.set_index("formula").loc[samples["formula"]]
    assert set(drawn["split"]) == {"train"} and record["requested"] == record["decoded"] == len(samples) == 6
    geometry = {lattice.tobytes() for lattice in table.loc[table["split"] == "train", "lattice"]}
    assert {lattice.tobytes() for lattice in samples["lattice"]} <= geometry
    everything, record = run_baseline("copies", settings.model_copy(update={"count": 10_000}), None, table)
    assert len(everything) == record["requested"] == (table["split"] == "train").sum()
