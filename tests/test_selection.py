"""Choosing studies: params.yaml lists the stages of each, and no others."""

import re
from pathlib import Path

import pytest
import yaml

from crystalgen.config import load_study
from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError
from crystalgen.workflow.selection import select_studies, stages_of

ROOT = Path(__file__).parents[1]


def test_the_committed_parameters_are_those_of_their_studies():
    """A model added to a study that is selected needs another `crystalgen select`."""
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert parameters == stages_of({name: load_study(name) for name in parameters["studies"]})


def test_every_study_can_be_selected(tmp_path):
    names = sorted(path.stem for path in paths.STUDIES.glob("*.yaml"))
    select_studies(names, tmp_path / "params.yaml")
    read = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert read["studies"] == names == sorted(read["matrix_studies"] + read["unimat_studies"])
    for name in names:
        study = load_study(name)
        models = {f"{name}-{model}" for model in study.models}
        assert {key for key in read["sample"] if read["sample"][key]["study"] == name} == models
        trained = read["train_matrix"] | read["train_unimat"]
        assert {key for key, job in trained.items() if job["study"] == name} == models
        for key in models:
            kind = "matrix" if key in read["train_matrix"] else "unimat"
            assert study.models[trained[key]["model"]].representation == kind
            assert kind in read["representations"][name]["kinds"].split("+")
        baselines = read["baseline_matrix"] | read["baseline_unimat"]
        assert {job["model"] for job in baselines.values() if job["study"] == name} == set(study.baselines)


def test_every_study_has_the_keys_that_its_stages_read(tmp_path):
    """DVC refuses a stage whose parameters its study does not name, hours into a pipeline."""
    select_studies(sorted(path.stem for path in paths.STUDIES.glob("*.yaml")), tmp_path / "params.yaml")
    parameters = yaml.safe_load((tmp_path / "params.yaml").read_text())
    read = 0
    for stage, definition in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if "foreach" not in definition:
            continue
        items = parameters[definition["foreach"].strip("${}")]
        for item in items.values() if isinstance(items, dict) else items:
            for entry in definition["do"].get("params", []):
                for template, keys in entry.items():
                    path = _filled(template, item)
                    study = yaml.safe_load((ROOT / path).read_text())
                    for key in keys:
                        value = study
                        for part in _filled(key, item).split("."):
                            assert part in value, f"{stage}: {path} has no key {_filled(key, item)}"
                            value = value[part]
                        read += 1
    assert read > 100


def _filled(template, item):
    fields = item if isinstance(item, dict) else {}
    return re.sub(r"\$\{item\.?(\w*)\}", lambda found: fields[found[1]] if found[1] else item, template)


def test_an_unknown_study_leaves_the_parameters_alone(tmp_path):
    (tmp_path / "params.yaml").write_text("as it was")
    with pytest.raises(StudyError, match="no such study"):
        select_studies(["demo", "nosuch"], tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == "as it was"
