"""Studies selected and compiled: each has a pipeline of its own that is up to date, and settings that its stages depend on."""

import json

import pytest
import yaml
from conftest import ROOT

from crystalgen.config import load_study, read_selection
from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError
from crystalgen.workflow.compile import compile_studies, compiled, settings_parts, write_settings
from crystalgen.workflow.digests import MODULES
from crystalgen.workflow.selection import select_studies
from crystalgen.workflow.stages import ABLATIONS, concrete, study_stages

NAMES = paths.study_names()


@pytest.mark.parametrize("name", [*NAMES, ABLATIONS])
def test_the_committed_pipelines_are_those_of_their_studies(name):
    """What was changed in a study, or in the compiler, needs another `crystalgen compile`."""
    file = ROOT / (f"studies/{name}/dvc.yaml" if name != ABLATIONS else "ablations/dvc.yaml")
    assert file.read_text() == compiled(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_finds_what_it_depends_on(name):
    """In the repository, or as an output of the study's stages or of the shared ones."""
    stages = concrete(study_stages(name, load_study(name), [str(paths.study_file(name).relative_to(ROOT))]))
    made = [out for what in stages.values() for out in what["outs"]]
    parts = {f"data/interim/settings/{name}/{part}.json" for part in settings_parts(load_study(name))}
    keys = {*paths.notebooks(), *MODULES}
    for stage, what in stages.items():
        assert len(what["deps"]) == len(set(what["deps"])), stage
        for dep in what["deps"]:
            if dep.startswith("data/interim/settings/"):
                assert dep in parts, f"{stage}: {dep}"
            elif dep.startswith(("data/interim/notebooks/", "data/interim/code/")):
                assert dep.split("/")[-1].split(".")[0] in keys, f"{stage}: {dep}"
            elif not dep.startswith("data/raw/"):
                inside = any(dep == out or dep.startswith(f"{out}/") or out.startswith(f"{dep}/") for out in made)
                assert inside or (ROOT / dep).exists(), f"{stage}: {dep}"
    assert len(made) == len(set(made))
    assert {stage.split("@")[1] for stage in stages if stage.startswith("train@")} == set(load_study(name).models)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of the smoke study alone."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for name in ("STUDIES", "INTERIM", "FIGURES", "REPORTS"):
        monkeypatch.setattr(paths, name, tmp_path / getattr(paths, name).relative_to(ROOT))
    monkeypatch.setattr(paths, "TRIES", tmp_path / "data/interim/tries")
    (tmp_path / "studies/smoke").mkdir(parents=True)
    for name in ("presets.yaml", "smoke/study.yaml"):
        (tmp_path / "studies" / name).write_text((ROOT / "studies" / name).read_text())
    (tmp_path / "data/library").mkdir(parents=True)
    (tmp_path / "data/library/crystals.parquet").touch()
    return tmp_path


def test_selecting_writes_the_selection_and_compiles(repository):
    select_studies(["smoke"])
    assert yaml.safe_load((repository / "params.yaml").read_text()) == {"studies": ["smoke"]}
    assert read_selection() == ["smoke"]
    assert (repository / "studies/smoke/dvc.yaml").read_text() == (ROOT / "studies/smoke/dvc.yaml").read_text()
    assert compile_studies(["smoke"]) == [], "up to date"


def test_an_unknown_study_leaves_the_selection_alone(repository):
    (repository / "params.yaml").write_text("as it was")
    with pytest.raises(StudyError, match=r"no such study; expected one of \['smoke'\]"):
        select_studies(["smoke", "nosuch"])
    assert (repository / "params.yaml").read_text() == "as it was" and not (repository / "studies/smoke/dvc.yaml").exists()


def test_settings_are_written_for_what_is_compiled_only(repository):
    with pytest.raises(StudyError, match="smoke/dvc.yaml: out of date with study.yaml; run `crystalgen compile smoke`"):
        write_settings("smoke")
    select_studies(["smoke"])
    write_settings("smoke")
    part = json.loads((paths.settings("smoke") / "models/unimat/training.json").read_text())
    assert part["steps"] == 40 and part["weight_decay"] == 0.0, "a default is spelt out"


def test_what_a_model_is_and_how_it_is_sampled_are_parts_of_their_own():
    """Nothing that decides training changes with sampling or labels, and nothing of one model with another."""
    study = load_study("smoke")

    def differing(**changes) -> set[str]:
        model = study.models["unimat"].model_copy(update=changes)
        one, other = (settings_parts(s) for s in (study, study.model_copy(update={"models": study.models | {"unimat": model}})))
        return {part for part in one if one[part] != other[part]}

    training, sampling = study.models["unimat"].training, study.models["unimat"].sampling
    everything = {"results", "report"}
    assert differing(training=training.model_copy(update={"steps": 9})) == everything | {"models/unimat/training"}
    moved = {"models/unimat/training", "models/unimat/model"}
    assert differing(training=training.model_copy(update={"seeds": (7,)})) == everything | moved
    other = sampling["unimat"].model_copy(update={"steps": 5})
    assert differing(sampling={"unimat": other}) == everything | {"models/unimat/sampling"}
    assert differing(label="x") == everything | {"search", "energies", "sampler-steps"}
