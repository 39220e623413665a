"""A study's results gathered: which ways to sample it has, what each left, and all their numbers."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.config import Study, load_study
from crystalgen.crystals import read_crystals
from crystalgen.utils import paths
from crystalgen.utils.statistics import clustered_bootstrap


@dataclass(frozen=True)
class Row:
    """A row of the tables: one way to sample one model, or one baseline.

    model: the folder that it lies in.
    task: generation, modification or composition; None for samples that nothing was asked of.
    """

    model: str
    task: str | None
    baseline: bool


def study_rows(config: Study) -> dict[str, Row]:
    """Return every row that the study names, the models' before the baselines'."""
    rows = {row: Row(name, getattr(model, "task", None), False) for name, model in config.models.items() for row in model.sampling}
    return rows | {name: Row(name, baseline.task, True) for name, baseline in config.baselines.items()}


def read_samples(folder: Path) -> tuple[pd.DataFrame, dict, pd.DataFrame | None]:
    """Read the crystals and the record that a sampling stage left, and what was asked of a conditional model."""
    requests = folder / "requests.parquet"
    asked = pd.read_parquet(requests) if requests.is_file() else None
    return read_crystals(folder / "crystals.parquet"), json.loads((folder / "record.json").read_text()), asked


def row_files(study: str, folder: Callable[[str, str], Path], file: str) -> Iterator[tuple[str, Row, Path]]:
    """Yield name, row and file of each row of the study that has one; `folder` is `paths.samples` or `paths.evaluation`."""
    for name, row in study_rows(load_study(study)).items():
        path = folder(study, row.model) / name / file
        if path.is_file():
            yield name, row, path


def collect_metrics(study: str, crystals: pd.DataFrame) -> dict:
    """Collect all headline numbers of a study: {"<row>.<metric>": {value, low, high, n, seeds, by_seed, source, task, baseline}}.

    A row that was not evaluated has none; `shortfalls` names it. Rows of the studies that stand beside come from their committed
    reports/STUDY/rows.json, which no stage writes, so that no stage of those studies runs for them.

    Raises:
        FileNotFoundError: a study beside has no committed rows.
    """
    metrics = {"library.structures": _count(len(crystals), study), "library.groups": _count(crystals["formula"].nunique(), study)}
    for name, row, file in row_files(study, paths.evaluation, "metrics.json"):
        for metric, values in json.loads(file.read_text()).items():
            metrics[f"{name}.{metric}"] = values | {"task": row.task, "baseline": row.baseline}
    for folder in (paths.retrieval(study), paths.corrector(study)):
        if (file := folder / "metrics.json").is_file():
            metrics |= json.loads(file.read_text())
    for other in load_study(study).beside:
        if not (file := paths.REPORTS / other / "rows.json").is_file():
            raise FileNotFoundError(f"{file}: missing; {study} shows rows of {other}; expected a copy of that study's metrics.json")
        metrics |= {key: value for key, value in json.loads(file.read_text()).items() if "task" in value}
    return metrics


def match_rows(metrics: dict, reference: dict, task: str) -> pd.DataFrame:
    """Return match rates of a task as rows: model (the row's name), value, low, high, n, by_seed (a list), paper_value."""
    rows = []
    for key, row in metrics.items():
        name, _, metric = key.rpartition(".")
        if metric == "match_rate" and row["task"] == task:
            paper = reference.get(key, {}).get("value", np.nan)
            rows.append({"model": name, **{k: row[k] for k in ("value", "low", "high", "n", "by_seed")}, "paper_value": paper})
    return pd.DataFrame(rows, columns=["model", "value", "low", "high", "n", "by_seed", "paper_value"])


def rates_by_size(study: str, draws: int, task: str) -> pd.DataFrame:
    """Compute match rates by number of sites, all seeds together.

    Columns: model (the row's name), baseline, nsites, value, low, high, n (requests).
    """
    rows = []
    for name, row, file in row_files(study, paths.evaluation, "verdicts.parquet"):
        if row.task != task:
            continue
        for nsites, group in pd.read_parquet(file).groupby("nsites"):
            matched = group["matched"].to_numpy(float)
            low, high = clustered_bootstrap(matched, group["formula"].to_numpy(str), draws)
            rates = {"value": matched.mean(), "low": low, "high": high, "n": group["request"].nunique()}
            rows.append({"model": name, "baseline": row.baseline, "nsites": nsites, **rates})
    return pd.DataFrame(rows, columns=["model", "baseline", "nsites", "value", "low", "high", "n"])


def _count(value: int, study: str) -> dict:
    source = str(paths.crystals(study).relative_to(paths.ROOT))
    return {"value": value, "low": value, "high": value, "n": value, "seeds": [], "source": source}
