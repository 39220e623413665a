"""Studies and recipes: a mistake in a file is named, with the file."""

import pytest
import yaml
from conftest import RECIPE, ROOT
from pydantic import ValidationError

from crystalgen import paths
from crystalgen.config import Diffusion, Flow, StudyError, Training, load_study, read_study
from crystalgen.data.library.recipe import load_recipe

STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


def _minimal() -> dict:
    return {
        "title": "t",
        "description": "d",
        "data": {"path": "p"},
        "models": {
            "one": {"representation": "matrix", "training": {"steps": 5}, "sampling": {"sampler": "euler", "steps": 5}},
            "two": {"representation": "unimat", "training": {"steps": 5}, "sampling": {"sampler": "ddim", "steps": 5}},
        },
    }


def _write(tmp_path, content) -> object:
    path = tmp_path / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_study_loads_and_its_numbers_are_not_defaults(path):
    study = read_study(path)
    content = yaml.safe_load(path.read_text())
    assert study.models.keys() == content["models"].keys()
    for name, model in study.models.items():
        assert model.training.steps == content["models"][name]["training"]["steps"]
        assert model.objective.name == content["models"][name]["objective"]["name"]
    assert study.data.filter.max_sites == content["data"]["filter"]["max_sites"]


def test_a_minimal_study_takes_the_defaults_of_its_representation(tmp_path):
    study = read_study(_write(tmp_path, _minimal()))
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
        ("report",),
    ],
)
def test_a_misspelt_key_is_named_with_the_file(tmp_path, where):
    content = _minimal()
    inner = content
    for key in where:
        inner = inner.setdefault(key, {})
    inner["lerning_rate"] = 1
    path = _write(tmp_path, content)
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
        ({"data": {}}, "path"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_the_file(tmp_path, change, named):
    path = _write(tmp_path, _minimal() | change)
    with pytest.raises(StudyError, match=named) as error:
        read_study(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "a: [1", "- 1\n- 2\n", "just text"])
def test_a_file_that_is_no_study_is_one_error_with_the_path(tmp_path, text):
    path = _write(tmp_path, text)
    with pytest.raises(StudyError) as error:
        read_study(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("objective", "sampler"), [("diffusion", "euler"), ("flow", "ddpm"), ("flow", "ddim"), pytest.param("diffusion", None, id="default")]
)
def test_a_sampler_that_cannot_sample_the_objective_is_refused_before_training(tmp_path, objective, sampler):
    content = _minimal()
    content["models"]["one"]["objective"] = {"name": objective}
    if sampler:
        content["models"]["one"]["sampling"] = {"sampler": sampler, "steps": 10}
    with pytest.raises(StudyError, match="sampl"):
        read_study(_write(tmp_path, content))


def test_an_unknown_study_lists_the_known_ones(tmp_path, monkeypatch):
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(_minimal()))
    monkeypatch.setattr(paths, "STUDIES", tmp_path)
    assert load_study("a").title == "t"
    with pytest.raises(StudyError, match=r"no such study; expected one of \['a', 'b'\]"):
        load_study("c")


def test_a_study_cannot_be_changed():
    with pytest.raises(ValidationError):
        Training(steps=1).steps = 2


@pytest.mark.parametrize("where", [(), ("superstructures",), ("relaxation",)])
def test_a_misspelt_key_of_the_recipe_is_named(tmp_path, where):
    content = yaml.safe_load(RECIPE.read_text())
    inner = content
    for key in where:
        inner = inner[key]
    inner["max_structure"] = 1
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="recipe.yaml.*max_structure"):
        load_recipe(path)


def test_an_error_in_a_recipe_names_the_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("elements: [Ta]\n")
    with pytest.raises(ValueError, match="superstructures") as error:
        load_recipe(path)
    assert str(path) in str(error.value)


def test_the_committed_recipe_loads():
    assert len(load_recipe(RECIPE).elements) >= 10
