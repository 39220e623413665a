"""What the README and docs/ show of the pipeline, written between markers: studies' results, single tables, the graph of stages."""

import json
import re
import subprocess
import sys
from pathlib import Path

from crystalgen.config import load_study
from crystalgen.report.labels import row_labels
from crystalgen.report.paper_tables import headline_reference
from crystalgen.report.tables import headline_table
from crystalgen.utils import paths


def update_texts(files: list[Path]) -> list[str]:
    """Replace what stands between each pair of markers: `results STUDY`, `table STUDY/STAGE/NAME`, and `dag`. Returns what was written.

    Raises:
        ValueError: a marker is not closed.
        FileNotFoundError: a study named there has no results.
    """
    written = []
    for file in files:
        text = file.read_text()
        for name in re.findall(r"<!-- ((?:results|table|dag)[^:]*): begin -->", text):
            begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
            if end not in text:
                raise ValueError(f"{file}: lacks the marker {end}")
            head, rest = text.split(begin, 1)
            text = f"{head}{begin}\n{_content(name)}\n{end}{rest.split(end, 1)[1]}"
            written.append(f"{file.name}: {name}")
        file.write_text(text)
    return written


def _content(name: str) -> str:
    kind, _, what = name.partition(" ")
    return {"results": results_table, "table": single_table}[kind](what) if what else stage_graph()


def single_table(name: str) -> str:
    """Markdown of a table that a study's report holds, without its caption and note; `name` is STUDY/STAGE/TABLE."""
    study, _, table = name.partition("/")
    lines = (paths.REPORTS / study / "tables" / f"{table}.md").read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def results_table(study: str) -> str:
    """Markdown of the study's headline table."""
    config, metrics = load_study(study), json.loads((paths.REPORTS / study / "metrics.json").read_text())
    return headline_table(metrics, row_labels(config), headline_reference(config)).to_markdown(index=False, disable_numparse=True)


def stage_graph() -> str:
    """DVC's graph of the root's `dvc.yaml` as Mermaid, the stages of one name drawn once."""
    command = [sys.executable, "-m", "dvc", "dag", "--dot"]
    dot = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout
    return "\n".join(["```mermaid", "flowchart LR", *(f"    {a} --> {b}" for a, b in stage_edges(dot)), "```"])


def stage_edges(dot: str) -> list[tuple[str, str]]:
    """Edges of `dvc dag --dot`: stages of one name once, without other files' stages (`ablations/dvc.yaml:ablation`)."""
    edges = {(a.split("@")[0], b.split("@")[0]) for a, b in re.findall(r'"([^"]+)" -> "([^"]+)"', dot)}
    # clean-notebooks feeds every stage, so that its edges say nothing
    return sorted((a, b) for a, b in edges if a != "clean-notebooks" and ":" not in a + b)
