"""The README and docs: what the pipeline writes into them, and that links, commands and targets exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from present_case import made_up_metrics, made_up_study, metric

from crystalgen.workflow.readme import brief_rows, results_table, single_table, stage_edges, stage_graph

ROOT = Path(__file__).parents[1]


def test_edges_join_the_runs_of_a_stage():
    def stage(deps, outs, **more):
        return {"cmd": "", "deps": deps, "outs": outs, **more}

    runs = {"foreach": ["a", "b"], "do": stage(["build/file", "settings/x.json"], ["${item}/weights"])}
    stages = {"settings": stage([], ["settings"]), "build": stage([], ["build"]), "train": runs, "sample": stage(["a/weights"], [])}
    assert stage_edges(stages) == [("build", "train"), ("train", "sample")]


TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_the_tables_shown_are_those_of_the_committed_reports(file):
    """Results that were run again are not there before `crystalgen readme`; those that are not committed may be of this machine."""
    text = file.read_text()
    for kind, table in (("results", results_table), ("table", single_table)):
        for name in re.findall(rf"<!-- {kind} (\S+): begin -->", text):
            if is_committed(f"reports/{name.split('/')[0]}"):
                assert f"<!-- {kind} {name}: begin -->\n{table(name)}\n<!-- {kind} {name}: end -->" in text


def is_committed(folder: str) -> bool:
    return not subprocess.run(["git", "ls-files", "--error-unmatch", folder], cwd=ROOT, capture_output=True).returncode


def test_a_brief_table_has_each_tasks_first_models_and_its_best_baseline():
    metrics = made_up_metrics() | {f"template_energy.{name}": metric(0.7, 0.6, 0.8, baseline=True) for name in ("match_rate", "metre")}
    study = made_up_study()
    study = study.model_copy(update={"baselines": study.baselines | {"template_energy": study.baselines["template"]}})
    rows = brief_rows(study, metrics)
    assert rows == ["matrix_generation_ddim", "template_energy", "matrix_modification_flow", "modification_template", "unimat"]


def test_the_table_of_a_study_without_results_names_the_command_that_computes_them():
    with pytest.raises(FileNotFoundError, match="make reproduce STUDIES=carbon_24_gpu"):
        results_table("carbon_24_gpu")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_links_lead_to_files_and_commands_exist(file):
    text = file.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http", "#"))]
    assert not [link for link in links if link and not (file.parent / link).exists()]
    commands = set(re.findall(r"(?<!import )crystalgen ([a-z]+(?:-[a-z]+)*)\b(?= |`|$)", text)) & set(
        re.findall(r"`?crystalgen ([a-z-]+)", text)
    )
    known = set(re.findall(r"^  ([a-z-]+)", help_text(), re.M))
    assert commands <= known, commands - known
    targets = set(re.findall(r"^make ([a-z-]+)", text, re.M)) | set(re.findall(r"`make ([a-z-]+)", text))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_the_walkthrough_names_files_and_functions_that_exist():
    text = (ROOT / "docs/walkthrough.md").read_text()
    named = re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`(?:(?:,\s| \()`([A-Za-z_]+)`)?", text)
    assert len(named) > 30
    for path, name in named:
        file = next((base / path for base in (ROOT / "src/crystalgen", ROOT) if (base / path).is_file()), None)
        assert file, path
        assert not name or re.search(rf"^(def|class) {name}\b|^{name}\b", file.read_text(), re.M), (path, name)


def help_text() -> str:
    return subprocess.run([sys.executable, "-m", "crystalgen", "--help"], capture_output=True, text=True).stdout


def test_the_docs_draw_the_stages_that_dvc_runs():
    assert stage_graph() in (ROOT / "docs/reproducibility.md").read_text()
