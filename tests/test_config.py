"""Studies: a mistake in a file is named, with the file."""

import pytest
import yaml
from conftest import ROOT
from pydantic import ValidationError
from study_case import changed, minimal, write

from crystalgen.config import load_study, read_study
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.generative.objectives.settings import Diffusion, Flow
from crystalgen.generative.settings import Training, read_model
from crystalgen.utils import paths
from crystalgen.utils.compose import compose
from crystalgen.utils.strict import StudyError

STUDIES = sorted((ROOT / "studies").glob("*/study.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.parent.name)
def test_every_study_loads_and_its_numbers_are_not_defaults(path):
    study, content = read_study(path), compose(path)
    assert study.models.keys() == content["models"].keys()
    for name, model in study.models.items():
        assert model.training.steps == content["models"][name]["training"]["steps"]
        assert read_model(path, name) == model, "as a training job without the pipeline reads it"
        assert model.objective.name == content["models"][name]["objective"]["name"]
        assert model.sampling.keys() == content["models"][name]["sampling"].keys()
    assert study.data.filter.max_sites == content["data"]["filter"]["max_sites"]


def test_a_minimal_study_takes_the_defaults_of_its_representation(tmp_path):
    study = read_study(write(tmp_path, minimal()))
    assert isinstance(study.models["one"].objective, Flow)
    assert isinstance(study.models["two"].objective, Diffusion)
    assert study.data.split.seed == 42


@pytest.mark.parametrize(
    "where",
    [
        (),
        ("data",),
        ("data", "filter"),
        ("data", "split"),
        ("models", "one"),
        ("models", "one", "training"),
        ("models", "two", "net"),
        ("models", "one", "objective"),
        ("models", "one", "sampling", "one"),
        ("search",),
        ("search", "ladders", "a"),
        ("sampler_steps",),
        ("report",),
    ],
)
def test_a_misspelt_key_is_named_with_the_file(tmp_path, where):
    content = minimal()
    inner = content
    for key in where:
        inner = inner.setdefault(key, {"name": "flow"} if key == "objective" else {})
    inner["lerning_rate"] = 1
    path = write(tmp_path, content)
    with pytest.raises(StudyError) as error:
        read_study(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "lerning_rate" in message
    for key in where:
        assert key in message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"models": {"one": {"representation": "matrx", "training": {"steps": 5}}}}, "matrx"),
        ({"models": {"one": {"representation": "matrix", "training": {}}}}, "steps"),
        ({"models": {"one": {"representation": "matrix", "training": {"steps": "many"}}}}, "steps"),
        ({"models": {"one": {"representation": "matrix", "training": {"steps": 5}, "objective": {"name": "flo"}}}}, "flo"),
        ({"baselines": {"template": {"choice": "best"}}}, "choice"),
        (changed("models.one", net="huge"), "huge"),
        (changed("models.one", sampling={}), "sampling"),
        (changed("models.one.sampling.one", steps=0), "steps"),
        ({"data": {}}, "path"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_the_file(tmp_path, change, named):
    path = write(tmp_path, minimal() | change)
    with pytest.raises(StudyError, match=named) as error:
        read_study(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "a: [1", "- 1\n- 2\n", "just text"])
def test_a_file_that_is_no_study_is_one_error_with_the_path(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(StudyError) as error:
        read_study(path)
    assert str(path) in str(error.value)


# What does not fit together is found out before training


def _refused(tmp_path, content: dict, match: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(StudyError, match=match) as error:
        read_study(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("objective", "sampler", "fits"),
    [
        ("diffusion", "ddpm", True),
        ("diffusion", "ddim", True),
        ("flow", "euler", True),
        ("diffusion", "euler", False),
        ("diffusion", "one_step", False),
        ("flow", "ddpm", False),
        ("flow", "ddim", False),
        ("flow", "one_step", False),
    ],
)
def test_each_row_has_a_sampler_of_its_objective(tmp_path, objective, sampler, fits):
    default = {"diffusion": "ddim", "flow": "euler"}[objective]
    rows = {"one": {"sampler": default, "steps": 5}, "other": {"sampler": sampler, "steps": 1}}
    content = changed("models.one", objective={"name": objective}, sampling=rows)
    if fits:
        assert read_study(write(tmp_path, content)).models["one"].sampling["other"].sampler == sampler
    else:
        _refused(tmp_path, content, f"sampling 'other': sampler '{sampler}' cannot sample a {objective} model")


@pytest.mark.parametrize("sampler", ["euler", "ddpm", "ddim"])
def test_regression_is_sampled_in_one_step(tmp_path, sampler):
    one = {"task": "modification", "objective": {"name": "regression"}}
    content = changed("models.one", **one, sampling={"one": {"sampler": "one_step", "steps": 1}})
    assert read_study(write(tmp_path, content)).models["one"].objective.name == "regression"
    _refused(tmp_path, changed("models.one", **one, sampling={"one": {"sampler": sampler, "steps": 1}}), "cannot sample a regression")


def test_guidance_needs_a_model_that_learnt_to_do_without_the_energy(tmp_path):
    content = changed("models.one.sampling.one", guidance=0.5)
    _refused(tmp_path, content, "sampling 'one': guidance needs .*condition_dropout")
    content["models"]["one"]["training"]["condition_dropout"] = 0.1
    assert read_study(write(tmp_path, content)).models["one"].sampling["one"].guidance == 0.5


def test_unimat_has_no_energy_to_be_guided_by(tmp_path):
    content = changed("models.two.sampling.two", guidance=0.5)
    content["models"]["two"]["training"]["condition_dropout"] = 0.1
    _refused(tmp_path, content, "guidance")


DDIM = {"one": {"sampler": "ddim", "steps": 5}}
FROM_STRUCTURE = {"objective": {"name": "flow", "prior": "structure"}}
FROM_NOISE = {"objective": {"name": "flow", "prior": "normal"}}
DENOISING = {"objective": {"name": "diffusion"}, "sampling": DDIM}


@pytest.mark.parametrize("settings", [FROM_NOISE, DENOISING])
def test_modification_from_noise_must_be_shown_the_structure(tmp_path, settings):
    content = changed("models.one", task="modification", **settings)
    _refused(tmp_path, content, "modification from noise never sees the structure")
    content["models"]["one"]["net"] = {"start": True}
    assert read_study(write(tmp_path, content)).models["one"].net.start


@pytest.mark.parametrize("settings", [FROM_STRUCTURE, {"net": {"start": True}}, DENOISING | {"net": {"start": True}}])
def test_generation_has_no_structure_to_start_from(tmp_path, settings):
    _refused(tmp_path, changed("models.one", task="generation", **settings), "generation has no structure to start from")


def test_modification_may_start_from_the_structure(tmp_path):
    content = changed("models.one", task="modification", **FROM_STRUCTURE)
    assert read_study(write(tmp_path, content)).models["one"].objective.prior == "structure"


def test_unimat_has_no_structure_to_modify(tmp_path):
    _refused(tmp_path, changed("models.two", task="modification"), "models.two.*task")
    _refused(tmp_path, changed("models.two", objective={"name": "regression"}), "regression")


def test_returning_the_input_is_for_modification(tmp_path):
    _refused(tmp_path, changed("baselines.as_is", kind="input"), "generation has no input to return")
    _refused(tmp_path, changed("baselines.as_is", kind="copies"), "expected task null for copies")
    content = changed("baselines.as_is", kind="input", task="modification")
    assert read_study(write(tmp_path, content)).baselines["as_is"].kind == "input"


@pytest.mark.parametrize(
    "content",
    [
        changed("models.two.sampling", one={"sampler": "ddpm", "steps": 5}),
        changed("baselines.one", choice="random"),
    ],
)
def test_a_row_named_twice_is_named(tmp_path, content):
    _refused(tmp_path, content, r"rows \['one'\] are named twice")


def test_the_model_of_a_row_is_the_one_that_samples_it(tmp_path):
    content = changed("models.one.sampling", second={"sampler": "euler", "steps": 9})
    study = read_study(write(tmp_path, content))
    assert [study.model_of(row) for row in ("one", "second", "two")] == ["one", "one", "two"]


@pytest.mark.parametrize("row", ["three", "as_is", "two", "modified"])
def test_the_search_is_for_rows_of_generation_models(tmp_path, row):
    """A baseline has no network, UniMat hears no composition, and modification needs a structure."""
    content = changed("search", rows=["one", row], ladders={"a": {"start": 0.0}})
    content["baselines"] = {"as_is": {"kind": "input", "task": "modification"}}
    sampling = {"modified": {"sampler": "euler", "steps": 3}}
    content["models"]["three_"] = {"representation": "matrix", "task": "modification", "training": {"steps": 5}, "sampling": sampling}
    content["models"]["three_"] |= FROM_STRUCTURE
    _refused(tmp_path, content, f"search.*{row}")


def test_a_preset_is_a_network_by_name(tmp_path):
    study = read_study(write(tmp_path, changed("models.one", net="published")))
    assert study.models["one"].net == UNet1dConfig.preset("published") != UNet1dConfig.preset("lean") == UNet1dConfig()


@pytest.mark.parametrize("seeds", [[], [3, 3]])
def test_training_seeds_are_some_and_distinct(tmp_path, seeds):
    """Two runs of one seed would write one checkpoint and one file of weights."""
    _refused(tmp_path, changed("models.one.training", seeds=seeds), "seeds")


def test_an_unknown_study_lists_the_known_ones(tmp_path, monkeypatch):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.yaml").write_text(yaml.safe_dump(minimal()))
    monkeypatch.setattr(paths, "STUDIES", tmp_path)
    assert load_study("a").title == "t"
    with pytest.raises(StudyError, match=r"no such study; expected one of \['a', 'b'\]"):
        load_study("c")


def test_a_study_cannot_be_changed():
    with pytest.raises(ValidationError):
        Training(steps=1).steps = 2
