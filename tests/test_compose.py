"""Studies composed of presets and of other studies."""

import pytest
import yaml
from study_case import changed, write

from crystalgen.config import read_study
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.generative.objectives.settings import Flow
from crystalgen.utils.compose import files_of
from crystalgen.utils.strict import StudyError


def _composed(tmp_path, presets: dict | None = None, **studies: dict):
    (tmp_path / "presets.yaml").write_text(yaml.safe_dump(presets or {}))
    for name, content in studies.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "study.yaml").write_text(yaml.safe_dump(content))
    return lambda name: read_study(tmp_path / name / "study.yaml")


def test_presets_are_named_or_changed_and_a_studys_own_come_first(tmp_path):
    presets = {"training": {"short": {"steps": 3, "batch_size": 4}}, "objective": {"plain": {"name": "flow"}}}
    content = changed("models.one", training={"preset": "short", "batch_size": 5}, objective="plain", net="published")
    content["models"]["two"]["training"] = "mine"
    content["presets"] = {"training": {"mine": {"preset": "short", "steps": 9}}}
    study = _composed(tmp_path, presets, a=content)("a")
    assert (study.models["one"].training.steps, study.models["one"].training.batch_size) == (3, 5)
    assert (study.models["two"].training.steps, study.models["two"].training.batch_size) == (9, 4)
    assert study.models["one"].objective == Flow() and study.models["one"].net == UNet1dConfig.preset("published")


def test_one_way_to_sample_is_named_as_its_model(tmp_path):
    content = changed("models.one", sampling={"sampler": "euler", "steps": 3})
    assert list(read_study(write(tmp_path, content)).models["one"].sampling) == ["one"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"training": "shrt"}, r"models.one.training: no preset 'shrt'; expected one of \['short'\]"),
        ({"training": {"preset": "shrt"}}, "models.one.training: no preset 'shrt'"),
        ({"net": {"preset": "lan"}}, "models.one.net: no preset 'lan'"),
    ],
)
def test_an_unknown_preset_is_named(tmp_path, values, said):
    with pytest.raises(StudyError, match=said):
        _composed(tmp_path, {"training": {"short": {"steps": 3}}}, a=changed("models.one", **values))("a")


def test_presets_that_build_on_each_other_are_named(tmp_path):
    presets = {"training": {"circle": {"preset": "round"}, "round": {"preset": "circle"}}}
    with pytest.raises(StudyError, match="presets.yaml: training.circle: no preset 'circle'"):
        _composed(tmp_path, presets, a=changed("models.one", training="circle"))("a")


def test_a_study_may_build_on_another(tmp_path):
    base = changed("models.one.training", preset="short") | {"benchmark": "perov_5"}
    variant = {"base": "a", "title": "variant", "benchmark": None, "models": {"two": None, "one": {"training": {"batch_size": 3}}}}
    read = _composed(tmp_path, {"training": {"short": {"warmup": 4}}}, a=base, b=variant)
    study = read("b")
    assert study.title == "variant" and study.benchmark is None and list(study.models) == ["one"]
    training = study.models["one"].training
    assert (training.steps, training.batch_size, training.warmup) == (5, 3, 4)
    assert read("a").benchmark == "perov_5"
    assert [file.parent.name for file in files_of(tmp_path / "b" / "study.yaml")][:2] == ["b", "a"]
    with pytest.raises(StudyError, match="base: no study 'c'"):
        _composed(tmp_path, None, d={"base": "c"})("d")


def test_another_objective_replaces_the_one_before(tmp_path):
    base = changed("models.two", objective={"name": "diffusion", "clip": 1.0})
    variant = {"base": "a", "models": {"two": {"objective": {"name": "flow"}, "sampling": {"two": {"sampler": "euler"}}}}}
    assert _composed(tmp_path, None, a=base, b=variant)("b").models["two"].objective == Flow()
