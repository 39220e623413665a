"""A trained model is a folder that samples where its training data never were."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from test_jobs import SETTINGS, folder  # noqa: F401  (a fixture: tensors of a few crystals)

from crystalgen.generative.checkpoint import Model
from crystalgen.generative.jobs import load_data, run_job, save_job, trained_model
from crystalgen.generative.settings import MatrixModel, Sampling, UniMatModel
from crystalgen.represent.canonical import composition_numbers
from crystalgen.represent.generate import generate_for_conditions, generate_for_energies, generate_freely
from crystalgen.utils.strict import StudyError

SHIPPED = sorted(file.parent for file in (ROOT / "data/shipped").glob("*/models/*/model.json"))
UNIMAT = {
    "input": {"cell": "token", "composition": "exact", "conditions": ["formation_energy_per_atom", "space_group"]},
    "net": {"name": "places", "channels": 16, "blocks": 1},
    "training": {"steps": 2, "batch_size": 8, "threads": 1, "seeds": [3]},
    "sampling": {"a": {"sampler": "ddim", "steps": 3}},
}
MODELS = {"matrix": MatrixModel.model_validate(SETTINGS), "unimat": UniMatModel.model_validate(UNIMAT)}


def conditions(*compositions: str) -> pd.DataFrame:
    numbers = [composition_numbers(name) for name in compositions]
    return pd.DataFrame({"atomic_numbers": numbers, "space_group": 225, "formation_energy_per_atom": -0.5})


@pytest.fixture(params=MODELS)
def saved(request, folder):  # noqa: F811
    """A trained model, and the folder that it was saved in."""
    settings, file = MODELS[request.param], folder / f"{request.param}.safetensors"
    trained = run_job(settings, file, folder / "states")
    model = trained_model(settings, file, trained)
    save_job(settings, file, trained, folder / "model", folder / "states")
    return model, folder / "model", load_data(settings, file)


def test_a_folder_samples_as_what_was_trained_without_the_data(saved):
    model, home, _ = saved
    loaded = Model.load(home)
    assert loaded.settings == model.settings and list(loaded.nets) == list(model.nets)
    sampling = model.settings.sampling["a"]
    for seed in model.nets:
        asked = conditions("Ta2B2", "W1B1")
        condition = loaded.codec.request(list(asked["atomic_numbers"]), {n: torch.tensor(asked[n].to_numpy()) for n in asked.columns[1:]})
        one, other = (m.sample(condition, sampling, seed) for m in (model, loaded))
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    samples, record = generate_for_conditions(loaded, conditions("Ta2B2", "W1B1"), sampling, "a")
    assert record["requested"] == 2 * len(model.nets) and set(samples["formula"]) <= {"Ta2B2", "B1W1"}


def test_what_the_training_crystals_held_is_kept_and_is_of_them_alone(saved, crystals):
    _, home, data = saved
    seen = Model.load(home).codec.seen
    rows = data.targets(data.items(0)).numpy()
    train = crystals.iloc[rows]
    assert int(seen.elements[5]) == sum(5 in z for z in train["atomic_numbers"])
    assert seen.known_groups == sorted(train["space_group"].unique())
    assert int(seen.space_groups[225]) == (train["space_group"] == 225).sum()
    assert int(seen.max_sites) == crystals["nsites"].max()


def test_a_file_that_is_missing_or_wrong_is_named(saved):
    _, home, _ = saved
    first = next(iter(Model.load(home).nets))
    (home / "weights" / f"{first}.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=f"{first}.safetensors: no trained weights"):
        Model.load(home)
    settings = json.loads((home / "model.json").read_text())
    (home / "model.json").write_text(json.dumps(settings | {"lerning": 1}))
    with pytest.raises(StudyError, match="model.json: .*lerning"):
        Model.load(home)
    (home / "scales.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="scales.safetensors: no trained model; train it first"):
        Model.load(home)


@pytest.mark.parametrize("home", SHIPPED, ids=lambda path: path.name)
def test_shipped_models_hold_their_weights_and_answer(home):
    model, weights = Model.load(home), load_file(home / "weights/42.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in model.nets[42].state_dict().items())
    sampling = Sampling(sampler=model.settings.objective.samplers[-1], steps=8)
    if model.settings.representation == "unimat" and not model.settings.task:
        sampling = sampling.model_copy(update={"sampler": "ddpm", "steps": 64, "count": 8})
        if model.settings.input.conditions:
            samples, record = generate_for_energies(model, np.full(8, -1.0), sampling.model_copy(update={"guidance": 1.0}), "shipped")
        else:
            samples, record = generate_freely(model, sampling, "shipped")
        assert record["requested"] == 8 and len(samples) == 8
        return
    known = {"perov_5": ("Ba1Ti1O3", 221), "carbon_24": ("C8", 227)}  # a formula and a group that the model was trained on
    formula, group = next((asked for start, asked in known.items() if home.parts[-3].startswith(start)), ("Ta1B2", 225))
    asked = conditions(formula).assign(space_group=group)
    if model.settings.task == "modification":
        with pytest.raises(ValueError, match="is asked with the crystals to modify"):
            generate_for_conditions(model, asked, sampling, "shipped")
        return
    samples, record = generate_for_conditions(model, asked, sampling, "shipped")
    assert record["requested"] == 1 and samples["formula"].tolist() == [formula]
    assert 10 < abs(np.linalg.det(samples["lattice"].iloc[0])) < 100, "a cell of three or five atoms, in Å^3"


def test_settings_are_read_without_torch():
    code = "import sys, crystalgen.generative.settings; assert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
