"""The README's parts that the pipeline writes."""

import re
from pathlib import Path

from crystalgen.pipeline.readme import results_table, single_table, stage_edges, stage_graph

ROOT = Path(__file__).parents[1]


def test_edges_join_the_runs_of_a_stage_and_leave_other_files_out():
    dot = """strict digraph  {
    "clean-notebooks" -> "sample@demo-a";
    "train@demo-a" -> "sample@demo-a";
    "train@demo-b" -> "sample@demo-b";
    "sample@demo-b" -> "ablations/dvc.yaml:ablation@noise";
    "build" -> "train@demo-a";
    }"""
    assert stage_edges(dot) == [("build", "train"), ("train", "sample")]


def test_the_readmes_tables_are_those_of_the_committed_reports():
    """Results that were run again are not in the README before `crystalgen readme`."""
    text = (ROOT / "README.md").read_text()
    studies = re.findall(r"<!-- results (\w+): begin -->", text)
    assert "library" in studies
    for study in studies:
        assert f"<!-- results {study}: begin -->\n{results_table(study)}\n<!-- results {study}: end -->" in text
    names = re.findall(r"<!-- table (\S+): begin -->", text)
    assert "perov_5_demo/12/01-unconditional" in names
    for name in names:
        assert f"<!-- table {name}: begin -->\n{single_table(name)}\n<!-- table {name}: end -->" in text


def test_the_readme_draws_the_stages_that_dvc_runs():
    assert stage_graph() in (ROOT / "README.md").read_text()
