"""What the README shows of the pipeline, written between markers: a study's results and the graph of stages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from crystalgen import paths
from crystalgen.present.tables import headline_table


def update_readme(study: str, readme: Path) -> None:
    """Replace what stands between the markers of `results` and of `dag`.

    Raises:
        ValueError: the README lacks a marker.
    """
    text = readme.read_text()
    for name, content in (("results", results_table(study)), ("dag", stage_graph())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if begin not in text or end not in text:
            raise ValueError(f"{readme}: lacks the markers {begin} and {end}")
        head, rest = text.split(begin, 1)
        text = f"{head}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"
    readme.write_text(text)


def results_table(study: str) -> str:
    """Markdown of the study's headline table."""
    metrics = json.loads((paths.REPORTS / study / "metrics.json").read_text())
    reference = yaml.safe_load((paths.REFERENCE / "headline.yaml").read_text())
    return headline_table(metrics, reference).to_markdown(index=False)


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
