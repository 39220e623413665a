"""Paper B's Tables 1 and 2: match rate by method, ours beside the paper's and the baselines'."""

from dataclasses import dataclass

import pandas as pd

from crystalgen.config import Study
from crystalgen.generative.objectives.settings import Flow
from crystalgen.generative.settings import Sampling
from crystalgen.report.style import BASELINES, baseline_phrase, model_label, model_order
from crystalgen.report.tables import OURS, baseline_verdict, format_interval, format_seeds

COLUMNS = ("Method", f"Match rate: {OURS.lower()}", "n", "Seeds", "Structure validity", "Sampler", "Paper", "Note")
NOT_RUN = "not part of this study"


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper: its number, what it shows, and its methods in its order, by the row that stands for each."""

    number: int
    task: str
    methods: dict[str, str]

    @property
    def caption(self) -> str:
        """For `tables.write_table`."""
        return f"{self.task.capitalize()}: match rate by method (paper B, Table {self.number})"


TABLES = {
    table.task: table
    for table in (
        PaperTable(
            1,
            "generation",
            {
                "matrix_generation_ddpm": "DDPM",
                "matrix_generation_ddim": "DDIM",
                "matrix_generation_flow_normal": "CFM, normal noise",
                "matrix_generation_flow_uniform": "CFM, U(0,1)",
            },
        ),
        PaperTable(
            2,
            "modification",
            {
                "matrix_modification_regression": "Regression",
                "matrix_modification_diffusion": "Diffusion",
                "matrix_modification_flow": "CFM",
            },
        ),
    )
}
_SAMPLERS = {"one_step": "one step", "euler": "Euler", "ddpm": "DDPM", "ddim": "DDIM"}


def tables_of(config: Study) -> dict[str, PaperTable]:
    """The tables whose task the study has matrix models for, by task."""
    tasks = {model.task for model in config.models.values() if model.representation == "matrix"}
    return {task: table for task, table in TABLES.items() if task in tasks}


def paper_table(task: str, metrics: dict, reference: dict, config: Study) -> pd.DataFrame:
    """The paper's methods in its order, the study's own ways to sample, then the baselines of the task.

    Args:
        task: generation (Table 1) or modification (Table 2).
        metrics, reference: see `tables.headline_table`.
        config: the study, for how each row was sampled.

    Returns:
        strings in the columns `COLUMNS`; a method of the paper that the study lacks is said to be lacking.
    """
    methods = TABLES[task].methods
    found = [key.removesuffix(".match_rate") for key, row in metrics.items() if key.endswith(".match_rate") and row["task"] == task]
    others = sorted(set(found) - set(methods), key=lambda name: (metrics[f"{name}.match_rate"]["baseline"], model_order(name)))
    rows = [_row(name, methods.get(name) or _label(name), metrics, reference, config) for name in [*methods, *others]]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def paper_note(task: str, config: Study) -> str:
    """What the table's numbers are and are not, a paragraph below it."""
    sentences = [
        "The paper's values are of another data set (AFLOW) and of its validation set; ours are of formulas held out for testing.",
        "StructureMatcher with its default tolerances, no validity filter, one sample per target and training seed.",
        "The value is the mean over training seeds, Seeds gives their range; the interval redraws whole formulas, all seeds together.",
    ]
    objectives = {model.objective for model in config.models.values() if getattr(model, "task", None) == task}
    for mean, std in sorted({(o.mean, o.std) for o in objectives if isinstance(o, Flow) and o.prior == "normal"} - {(0.0, 1.0)}):
        sentences.append(
            f"Normal noise has mean {mean:g} and standard deviation {std:g} here, those of the scaled data; in the paper 0 and 1."
        )
    if task == "modification":
        sentences.append("Each less stable polymorph of a formula is asked to become the most stable one.")
    return " ".join(sentences)


def _label(name: str) -> str:
    """Without the task: the table has but one."""
    phrase = baseline_phrase(name).removeprefix("the ") if name in BASELINES else model_label(name)
    return name if phrase == name else phrase[:1].upper() + phrase[1:]  # an id stays as it is written


def _row(name: str, label: str, metrics: dict, reference: dict, config: Study) -> list[str]:
    key = f"{name}.match_rate"
    paper = f"{reference[key]['value']:g}" if key in reference else ""
    if key not in metrics:
        return [label, "–", "–", "–", "–", "–", paper, NOT_RUN]
    ours, valid = metrics[key], metrics[f"{name}.structure_validity"]
    return [
        label,
        format_interval(ours["value"], ours["low"], ours["high"]),
        str(ours["n"]),
        format_seeds(ours),
        format_interval(valid["value"], valid["low"], valid["high"]),
        "–" if ours["baseline"] else _sampler(config.models[config.model_of(name)].sampling[name]),
        paper,
        baseline_verdict(key, metrics),
    ]


def _sampler(sampling: Sampling) -> str:
    text = _SAMPLERS[sampling.sampler]
    if sampling.sampler != "one_step":
        text += f", {sampling.steps} steps"
    return text + (f", guidance {sampling.guidance:g}" if sampling.guidance else "")
