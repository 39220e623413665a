"""What the README and docs/ show of the pipeline, written between markers: studies' results, single tables, the graph of stages."""

import json
import re
from pathlib import Path

from crystalgen.config import load_study
from crystalgen.report.labels import row_labels
from crystalgen.report.paper_tables import headline_reference
from crystalgen.report.tables import headline_table
from crystalgen.utils import paths
from crystalgen.workflow.stages import concrete, study_stages


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


def stage_graph(study: str = "demo") -> str:
    """Markdown of the graph of a study's stages, as Mermaid, those of several models drawn once."""
    stages = study_stages(study, load_study(study), [])
    return "\n".join(["```mermaid", "flowchart LR", *(f"    {a} --> {b}" for a, b in stage_edges(stages)), "```"])


def stage_edges(stages: dict[str, dict]) -> list[tuple[str, str]]:
    """Edges between stages whose outputs others depend on; `settings` feeds every stage, so that its edges say nothing."""
    spelt_out = concrete(stages)
    made = {out: stage.split("@")[0] for stage, what in spelt_out.items() for out in what["outs"]}
    edges = set()
    for stage, what in spelt_out.items():
        for dep in what["deps"]:
            edges |= {(made[out], stage.split("@")[0]) for out in made if out == dep or f"{dep}/".startswith(f"{out}/")}
            edges |= {(made[out], stage.split("@")[0]) for out in made if out.startswith(f"{dep}/")}
    return sorted(edge for edge in edges if edge[0] != "settings")
