"""The papers' tables with ours: B's Tables 1 and 2 by task, A's Table 1 and match rates beside published ones."""

import pandas as pd
import yaml

from crystalgen.config import Study
from crystalgen.generative.objectives.settings import Flow
from crystalgen.generative.settings import Sampling
from crystalgen.metrics.benchmarks import benchmark
from crystalgen.metrics.catalogue import DE_NOVO, metric, notes
from crystalgen.metrics.symmetry import SYMPRECS, space_groups, without_symmetry
from crystalgen.metrics.validity import composition_validity, structure_validity
from crystalgen.report.tables import UNKNOWN, baseline_verdict, ordered, paper_value, results_table, rows_of_task
from crystalgen.utils import paths

NUMBERS = {"generation": "paper B, Table 1", "modification": "paper B, Table 2"}
_SAMPLERS = {"one_step": "one step", "euler": "Euler", "ddpm": "DDPM", "ddim": "DDIM", "unmask": "unmasking"}
_OURS = {"unconditional": ("unimat", "UniMat (paper)", "A, Table 1"), "structure_prediction": ("unimat_composition", "DiffCSP", "DiffCSP")}


def headline_reference(config: Study) -> dict:
    """Return `<row>.<metric>` -> value, where and data, for `tables.headline_table`; a benchmark's values are of its own data."""
    if not (published := benchmark(config)):
        return yaml.safe_load((paths.REFERENCE / "headline.yaml").read_text())
    return {
        f"{row}.{name}": {"value": value, "where": where, "data": published["data"]}
        for kind, (row, method, where) in _OURS.items()
        for name, value in published[kind].get(method, {}).items()
        if name != "recalled"
    }


def paper_table(task: str, metrics: dict, labels: dict[str, str], reference: dict, config: Study) -> pd.DataFrame:
    """Return match rate and validity of every row of a task, how it was sampled, the paper's value and the baselines beside it."""
    rows = ordered(rows_of_task(metrics, task), labels)
    table = results_table(metrics, labels, rows, ("match_rate", "structure_validity"))
    ways = {row: sampling for model in config.models.values() for row, sampling in model.sampling.items()}
    table["Sampler"] = [_sampler(ways[row]) if row in ways else UNKNOWN for row in rows]
    table["Paper"] = [paper_value(row, reference) for row in rows]
    table["Beside the baselines"] = [baseline_verdict(row, metrics, labels) for row in rows]
    return table


def paper_note(task: str, config: Study) -> str:
    """Return what the numbers of `paper_table` are and are not, a paragraph below it."""
    sentences = [
        "The paper's values are of another data set (AFLOW) and of its validation set; ours are of formulas held out for testing.",
        "One sample is drawn for each target and training seed.",
        "The value is the mean over training seeds, Seeds gives their range; the 95 % interval redraws whole formulas, all seeds together.",
    ]
    objectives = {model.objective for model in config.models.values() if model.task == task}
    for mean, std in sorted({(o.mean, o.std) for o in objectives if isinstance(o, Flow) and o.prior == "normal"} - {(0.0, 1.0)}):
        sentences.append(f"Normal noise has the scaled data's mean {mean:g} and standard deviation {std:g}; in the paper 0 and 1.")
    if task == "modification":
        sentences.append("Each less stable polymorph of a formula is to become the most stable one.")
    return " ".join([*sentences, notes(("Match rate", "Structure validity"))])


def de_novo_table(metrics: dict, labels: dict[str, str], rows: list[str], test: pd.DataFrame, published: dict) -> pd.DataFrame:
    """Return A's Table 1: samples without a target, then the test crystals themselves, then published values.

    Args:
        metrics, labels, rows: see `tables.results_table`.
        test: the test crystals.
        published: see `metrics.benchmarks.benchmark`.
    """
    groups = space_groups(test).items()
    own = {f"p1_{symprec:g}": without_symmetry(found) for symprec, (_, found) in zip(SYMPRECS, groups, strict=True)}
    own |= {"structure_validity": structure_validity(test).mean(), "composition_validity": composition_validity(test).mean()}
    return results_table(metrics, labels, rows, DE_NOVO, {"Test crystals": own} | published.get("unconditional", {}))


def prediction_table(metrics: dict, labels: dict[str, str], published: dict) -> pd.DataFrame:
    """Return match rates of samples conditioned on the composition beside published ones."""
    stems = ("match_rate_csp", "match_rate_csp_filtered")
    found = {key.partition(".")[2] for key in metrics}.union(*published.get("structure_prediction", {}).values())
    names = [
        name for stem in stems for name in (stem, *sorted((n for n in found if _is_best(n, stem)), key=lambda n: int(n.rpartition("_")[2])))
    ]
    names.append("match_rate")
    theirs = {f"{method} (published)": values for method, values in published.get("structure_prediction", {}).items()}
    return results_table(metrics, labels, rows_of_task(metrics, "composition"), names, theirs)


def _is_best(name: str, stem: str) -> bool:
    start, _, samples = name.rpartition("_")
    return start == stem and samples.isdigit()


def quality_by_size(metrics: dict, labels: dict[str, str], models: dict[str, str], cards: dict[str, dict]) -> pd.DataFrame:
    """Return validity and coverage of each network with its cost, for `figures.quality_by_size`.

    Args:
        metrics, labels: see `tables.results_table`.
        models: the model of each row without a target.
        cards: training cards by model.
    """
    lines = []
    for name in DE_NOVO[:4]:
        for row, model in models.items():
            if found := metrics.get(f"{row}.{name}"):
                minutes = sum(cards[model]["seconds"]) / len(cards[model]["seconds"]) / 60
                cost = {"parameters": cards[model]["parameters"], "model": f"{labels[row]} ({minutes:.0f} min)"}
                lines.append(cost | {"metric": metric(name).label} | {key: found[key] for key in ("value", "low", "high")})
    return pd.DataFrame(lines, columns=["parameters", "model", "metric", "value", "low", "high"])


def _sampler(sampling: Sampling) -> str:
    steps = "" if sampling.sampler == "one_step" else f", {sampling.steps} steps"
    return _SAMPLERS[sampling.sampler] + steps + (f", guidance {sampling.guidance:g}" if sampling.guidance else "")
