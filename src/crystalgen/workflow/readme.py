"""What the README and docs/ show of the pipeline, written between markers: studies' results, single tables, the graph of stages."""

import json
import re
from pathlib import Path

from crystalgen.config import Study, load_study
from crystalgen.report.labels import row_labels
from crystalgen.report.paper_tables import headline_reference
from crystalgen.report.tables import TASKS, UNKNOWN, headline_table, rows_of_task
from crystalgen.utils import paths
from crystalgen.workflow.stages import concrete, study_stages

_MOST = 2  # models of one task in a brief table
_RANKED = ("match_rate", "structure_validity")  # what the best baseline is best in
_COLUMNS = {  # of the headline table, by their names in a brief one
    "Task": "Task",
    "Method": "Method",
    "Match rate": "Match rate [95 %]",
    "Structure validity": "Structure validity",
    "Paper": "Published, other data",
    "Beside the baselines": "Against the task's baseline",
}


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
    """Return as Markdown a table that a study's report holds, without its caption and note; `name` is STUDY/STAGE/TABLE."""
    study, _, table = name.partition("/")
    lines = (paths.REPORTS / study / "tables" / f"{table}.md").read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def results_table(study: str) -> str:
    """Return as Markdown the study's headline table in brief, the rows of `brief_rows`.

    Raises:
        FileNotFoundError: the study has no results here.
    """
    file = paths.REPORTS / study / "metrics.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: the study has no results here; `make reproduce STUDIES={study}` computes them")
    config, metrics = load_study(study), json.loads(file.read_text())
    rows = brief_rows(config, metrics)
    metrics = {key: found for key, found in metrics.items() if key.partition(".")[0] in rows}
    table = headline_table(metrics, row_labels(config), headline_reference(config))
    table["Structure validity"] = table["Structure validity"].str.partition(" [")[0]
    if "Beside the baselines" in table:  # each task shows one, so that its name is clear
        table["Beside the baselines"] = table["Beside the baselines"].str.extract("^(above|level|below|not compared)")[0].fillna("")
    table = table[[name for name in _COLUMNS if name in table]].replace("", UNKNOWN).rename(columns=_COLUMNS)
    return table.to_markdown(index=False, disable_numparse=True)


def brief_rows(config: Study, metrics: dict) -> list[str]:
    """Choose rows by a rule that no result decides, but for the baseline, which is each task's best.

    Of each task these are the first two models, in the order of the study's file, that differ in their objective, each sampled in the
    first way; and the baseline that matches most.
    """
    rows = []
    for task in TASKS:
        found = rows_of_task(metrics, task)
        models = {}
        for model in config.models.values():
            for row in model.sampling:
                if row in found:
                    models.setdefault(model.objective.name, row)
        baselines = [row for row in found if row in config.baselines]
        best = max(baselines, key=lambda row: [metrics.get(f"{row}.{name}", {}).get("value", 0) for name in _RANKED], default=None)
        rows += [*list(models.values())[:_MOST], *([best] if best else [])]
    return rows


def stage_graph(study: str = "demo") -> str:
    """Return as Markdown the graph of a study's stages in Mermaid, those of several models drawn once."""
    stages = study_stages(study, load_study(study), [])
    return "\n".join(["```mermaid", "flowchart LR", *(f"    {a} --> {b}" for a, b in stage_edges(stages)), "```"])


def stage_edges(stages: dict[str, dict]) -> list[tuple[str, str]]:
    """Return the edges between stages whose outputs others depend on; `settings` feeds every stage, so that its edges say nothing."""
    spelt_out = concrete(stages)
    made = {out: stage.split("@")[0] for stage, what in spelt_out.items() for out in what["outs"]}
    edges = set()
    for stage, what in spelt_out.items():
        for dep in what["deps"]:
            edges |= {(made[out], stage.split("@")[0]) for out in made if out == dep or f"{dep}/".startswith(f"{out}/")}
            edges |= {(made[out], stage.split("@")[0]) for out in made if out.startswith(f"{dep}/")}
    return sorted(edge for edge in edges if edge[0] != "settings")
