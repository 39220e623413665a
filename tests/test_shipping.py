"""What took hours comes with the repository: weights and relaxations leave one machine and serve on another."""

import pandas as pd
import pytest
from conftest import generic

from crystalgen.cli import main
from crystalgen.config import load_study
from crystalgen.crystals import from_structures, write_crystals
from crystalgen.experiments.kept_sets import kept_sets
from crystalgen.utils import paths
from crystalgen.utils.cache import compute, pack
from crystalgen.workflow import shipping

OTHERS = ("card.json", "model.json", "scales.safetensors")
MODELS = ("matrix_generation_flow_uniform", "matrix_generation_diffusion", "unimat_composition")  # that `demo` asks


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Set the folders to those of a machine by name; what is shipped is common to all."""

    def switch(name):
        for which in ("MODELS", "INTERIM", "PROCESSED"):
            monkeypatch.setattr(paths, which, tmp_path / name / which.lower())

    monkeypatch.setattr(paths, "SHIPPED", tmp_path / "shipped")
    switch("first")
    return switch


def _prepare(study="demo", tensors=b"tensors"):
    for representation in ("matrix", "unimat"):
        paths.tensors(study, representation).parent.mkdir(parents=True, exist_ok=True)
        paths.tensors(study, representation).write_bytes(tensors)
    write_crystals(from_structures([generic(0, ["Ta", "B"])], "s"), paths.crystals(study))


def _train(study="demo"):
    for name in MODELS:
        folder = paths.model(study, name)
        (folder / "weights").mkdir(parents=True)
        for seed in (42, 43):
            (folder / "weights" / f"{seed}.safetensors").write_bytes(f"{name} {seed}".encode())
        for file in OTHERS:
            (folder / file).write_text(f"{name} {file}")


def _volume(structure, factor):
    return {"volume": structure.volume * factor}


def test_packed_results_are_not_computed_again(tmp_path):
    structures, calls = [generic(seed, ["Ta", "B"]) for seed in range(4)], []

    def relax(structure, factor):
        calls.append(structure)
        return _volume(structure, factor)

    first = compute(relax, structures[:3], {"factor": 2.0}, [1], tmp_path / "here")
    assert pack(relax, tmp_path / "here", tmp_path / "packed") == 3
    assert pack(relax, tmp_path / "here", tmp_path / "packed") == 0
    calls.clear()
    again = compute(relax, structures, {"factor": 2.0}, [1], tmp_path / "there", shipped=tmp_path / "packed")
    assert again[:3] == first and len(calls) == 1
    assert len(list((tmp_path / "there" / "relax").iterdir())) == 1, "only what was new"
    calls.clear()
    compute(relax, structures[:1], {"factor": 3.0}, [1], tmp_path / "there", shipped=tmp_path / "packed")
    assert len(calls) == 1, "other settings are another result"
    assert pack(relax, tmp_path / "there", tmp_path / "packed") == 2
    assert len(list((tmp_path / "packed" / "relax").glob("*.json.gz"))) == 2, "a file per packing, none rewritten"
    pack(relax, tmp_path / "here", tmp_path / "once more")
    packed = next((tmp_path / "once more" / "relax").glob("*.json.gz"))
    assert packed.read_bytes() == (tmp_path / "packed" / "relax" / packed.name).read_bytes()


def test_weights_serve_on_another_machine(machine):
    _prepare(), _train()
    assert main(["ship", "demo"]) == 0
    shipped = sorted(str(file.relative_to(paths.SHIPPED / "demo")) for file in paths.SHIPPED.rglob("*") if file.is_file())
    assert shipped == sorted(f"models/{name}/{file}" for name in MODELS for file in ("weights/42.safetensors", *OTHERS))
    machine("second")
    for _ in range(2):
        assert main(["use-shipped", "demo"]) == 0
    assert sorted(file.name for file in paths.model("demo", MODELS[0]).iterdir()) == sorted((*OTHERS, "weights"))
    weights = paths.model("demo", MODELS[0]) / "weights"
    assert [file.name for file in weights.iterdir()] == ["42.safetensors"]
    assert (weights / "42.safetensors").read_bytes() == f"{MODELS[0]} 42".encode()


def test_sets_serve_on_a_machine_that_rounds_differently(machine, monkeypatch):
    """Where the weights and the request are the same; other weights, another request or other code are asked anew."""
    config, made = load_study("demo"), []

    def make(noise=0.0):
        made.append(noise)
        sets = from_structures([generic(seed, ["Ta", "B"]) for seed in range(3)], "s", composition="Ta1B1", row="flow")
        return sets.assign(frac_coords=[coords + noise for coords in sets["frac_coords"]])

    _prepare(), _train()
    first = kept_sets("demo", config, ["Ta1B1"], make)
    shipping.ship("demo")
    machine("second")
    _prepare(), shipping.use_shipped("demo")
    pd.testing.assert_frame_equal(kept_sets("demo", config, ["Ta1B1"], lambda: make(1e-7)), first)
    assert made == [0.0]
    kept_sets("demo", config, ["Ta1B2"], lambda: make(0.1))
    more = config.model_copy(update={"energies": config.energies.model_copy(update={"per_composition": 9})})
    kept_sets("demo", more, ["Ta1B2"], lambda: make(0.2))
    kept_sets("demo", more, ["Ta1B2"], lambda: make(0.3))
    assert made == [0.0, 0.1, 0.2], "the last is kept here"
    paths.weights("demo", MODELS[0], 42).write_bytes(b"trained anew")
    kept_sets("demo", more, ["Ta1B2"], lambda: make(0.4))
    paths.weights("demo", MODELS[0], 42).unlink()
    with pytest.raises(FileNotFoundError, match="use-shipped"):
        kept_sets("demo", more, ["Ta1B2"], make)
    monkeypatch.setattr("crystalgen.experiments.kept_sets._code", lambda: "other samplers")
    paths.weights("demo", MODELS[0], 42).write_bytes(b"trained anew")
    kept_sets("demo", more, ["Ta1B2"], lambda: make(0.5))
    assert made == [0.0, 0.1, 0.2, 0.4, 0.5]


def test_what_a_machine_has_itself_is_kept(machine, capsys):
    _prepare(), _train()
    shipping.ship("demo")
    own = paths.model("demo", MODELS[1]) / "weights" / "42.safetensors"
    own.write_bytes(b"my own")
    assert main(["use-shipped", "demo"]) == 1
    assert str(own) in capsys.readouterr().err and own.read_bytes() == b"my own"


def test_refusals_name_what_was_expected(machine, monkeypatch, capsys):
    assert main(["use-shipped", "demo"]) == 1 and "no models come with the repository" in capsys.readouterr().err
    assert main(["ship", "perov_5_ablations"]) == 1 and "neither search nor energies" in capsys.readouterr().err
    _prepare()
    assert main(["ship", "demo"]) == 1 and "no trained weights to ship" in capsys.readouterr().err
    _train()
    monkeypatch.setattr(shipping, "MOST_BYTES", 8)
    assert main(["ship", "demo"]) == 1 and "MiB at most" in capsys.readouterr().err
