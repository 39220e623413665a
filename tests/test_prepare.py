"""Before a notebook runs: what is missing is named with its stage, and overrides leave the study's own files alone."""

import pytest
from conftest import ROOT

from crystalgen.config import load_study
from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError
from crystalgen.workflow.prepare import prepare

MODEL = "matrix_generation_flow_uniform"
FASTER = {"training": {"steps": 7}}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The smoke study with its crystals, tensors and one trained model."""
    for name in ("ROOT", "STUDIES", "INTERIM", "PROCESSED", "MODELS", "FIGURES", "REPORTS", "TRIES"):
        inside = getattr(paths, name).relative_to(ROOT)
        monkeypatch.setattr(paths, name, tmp_path / inside)
    (tmp_path / "studies/smoke").mkdir(parents=True)
    for name in ("presets.yaml", "smoke/study.yaml"):
        (tmp_path / "studies" / name).write_text((ROOT / "studies" / name).read_text())
    trained = [paths.model("smoke", MODEL) / file for file in ("weights/42.safetensors", "model.json", "scales.safetensors")]
    for path in (paths.crystals("smoke"), paths.tensors("smoke", "matrix"), *trained):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("the study's")
    return tmp_path


def test_a_study_whose_inputs_are_there_is_itself(repository):
    assert prepare("train", "smoke", MODEL) == "smoke"
    assert not paths.TRIES.exists()


def test_a_missing_input_names_its_stage_and_the_commands(repository):
    with pytest.raises(FileNotFoundError) as error:
        prepare("train", "smoke", "unimat")
    assert str(error.value) == (
        "data/processed/smoke/tensors/unimat.safetensors: missing; the stage representations makes it: "
        "`dvc repro studies/smoke/dvc.yaml:representations`, or `crystalgen run representations -p study=smoke`"
    )
    paths.tensors("smoke", "unimat").write_text("here")
    with pytest.raises(FileNotFoundError, match="unimat/weights: missing; the stage train@unimat .* train -p study=smoke -p model=unimat`"):
        prepare("sample", "smoke", "unimat")
    with pytest.raises(FileNotFoundError, match="data/library/crystals.parquet: missing; expected with the repository"):
        prepare("data", "smoke")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("train", "smoke", "unmat"), "nothing called 'unmat' for the notebook train; expected one of .*'unimat'"),
        (("results-unimat", "smoke"), "study smoke: its file asks for nothing that the notebook results-unimat does"),
        (("train", "nosuch", MODEL), "no such study"),
        (("train", "smoke", MODEL, {"trainng": {"steps": 3}}), "overrides: unknown key 'trainng'; expected some of .*'training'"),
        (("train", "smoke", MODEL, {"training": {"stps": 3}}), f"overrides of the study smoke: models.{MODEL}.*stps"),
        (("train", "smoke", MODEL, {"objective": "flw"}), "no preset 'flw'"),
        (("train", "smoke", MODEL, ["steps"]), "expected a mapping"),
    ],
)
def test_what_cannot_be_is_one_line(repository, call, said):
    with pytest.raises(ValueError, match=said) as error:
        prepare(*call)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, StudyError) or "study" in str(error.value) or "overrides" in str(error.value)


def test_overrides_make_a_study_of_their_own_that_reads_the_studys_files(repository):
    tried = prepare("train", "smoke", MODEL, FASTER)
    assert tried.startswith("smoke-try-") and tried not in paths.study_names()
    assert load_study(tried).models[MODEL].training.steps == 7
    others = load_study(tried).models | {MODEL: None}
    assert others == load_study("smoke").models | {MODEL: None}
    assert paths.tensors(tried, "matrix").read_text() == "the study's"
    assert not paths.model(tried, MODEL).exists()
    assert prepare("train", tried, MODEL, FASTER) == tried, "a cell that is run again"


def test_a_run_with_overrides_writes_through_no_link(repository):
    """Sampled first from the study's weights, then trained: the training's weights are its own."""
    tried = prepare("sample", "smoke", MODEL, FASTER)
    assert paths.weights(tried, MODEL, 42).read_text() == "the study's"
    assert prepare("train", "smoke", MODEL, FASTER) == tried
    paths.weights(tried, MODEL, 42).parent.mkdir(parents=True)
    paths.weights(tried, MODEL, 42).write_text("tried")
    prepare("sample", "smoke", MODEL, FASTER)
    assert paths.weights(tried, MODEL, 42).read_text() == "tried", "the next notebook goes on from it"
    assert paths.weights("smoke", MODEL, 42).read_text() == "the study's"


def test_overrides_may_be_of_the_study_and_name_presets(repository):
    tried = prepare("train", "smoke", MODEL, {"objective": "flow_normal", "report": {"bootstrap": 9}})
    study = load_study(tried)
    assert study.models[MODEL].objective.std == 0.2887 and study.report.bootstrap == 9
