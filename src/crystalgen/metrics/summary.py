"""A study's numbers: each row's verdicts and rates, gathered into one metrics.json."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.config import Study, load_study
from crystalgen.crystals import read_crystals
from crystalgen.matching.match import CSP, Tolerances, match_requests
from crystalgen.metrics.measures import asked_measures, free_measures
from crystalgen.metrics.proxy import Coverage, coverage_rates, property_distances, validity_rate
from crystalgen.metrics.validity import composition_validity, structure_validity
from crystalgen.utils import paths
from crystalgen.utils.statistics import clustered_bootstrap, rate


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
    """Every row that the study names, the models' before the baselines'."""
    rows = {row: Row(name, getattr(model, "task", None), False) for name, model in config.models.items() for row in model.sampling}
    return rows | {name: Row(name, baseline.task, True) for name, baseline in config.baselines.items()}


def read_samples(folder: Path) -> tuple[pd.DataFrame, dict, pd.DataFrame | None]:
    """The crystals and the record that a sampling stage left, and what was asked of a conditional model."""
    requests = folder / "requests.parquet"
    asked = pd.read_parquet(requests) if requests.is_file() else None
    return read_crystals(folder / "crystals.parquet"), json.loads((folder / "record.json").read_text()), asked


def evaluate_samples(crystals: pd.DataFrame, samples: pd.DataFrame, record: dict, requests: pd.DataFrame | None, draws: int,
                     source: str, task: str | None = None, coverage: Coverage | None = None) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Verdicts, one row per sample asked for, and the rates for metrics.json.

    Samples of `requests` are matched with their targets; of others, compositions and properties are compared with those
    of the test crystals. All are checked for structure validity.
    With `coverage`, the test crystals are covered, too, by samples of which nothing was asked.
    What could not be decoded counts as invalid and as not matched. Intervals redraw whole formulas, all seeds together;
    `by_seed` gives the rate of each training seed, and `n` counts what each was asked for.
    """
    seeds = record["seeds"]
    place = {"seeds": seeds, "source": f"{source}/metrics.json"}
    validity = samples[["id", "formula", "seed"]].assign(valid=structure_validity(samples))
    metrics = {"structure_validity": validity_rate(validity, "valid", record, draws, place)}
    if requests is None:
        validity["composition_valid"] = composition_validity(samples)
        metrics["composition_validity"] = validity_rate(validity, "composition_valid", record, draws, place)
        both, test = samples[(validity["valid"] & validity["composition_valid"]).to_numpy()], crystals[crystals["split"] == "test"]
        metrics |= property_distances(both, test, draws, place)
        measures, found = free_measures(samples, crystals[crystals["split"] == "train"], record, draws, place)
        metrics, validity = metrics | measures, pd.concat([validity.reset_index(drop=True), found], axis=1)
        if coverage:
            rates, validity["no_fingerprint"] = coverage_rates(samples, test, record, coverage, draws, place)
            metrics |= rates
        return validity, metrics

    def matched(tolerances: Tolerances) -> pd.DataFrame:
        parts = (match_requests(crystals, samples[samples["seed"] == seed], requests, tolerances).assign(seed=seed) for seed in seeds)
        return pd.concat(parts, ignore_index=True)

    def match_rate(verdicts: pd.DataFrame) -> dict:
        by_seed = verdicts.groupby("seed")["matched"].mean().loc[seeds].round(6).tolist()
        n = len(verdicts) // len(seeds)
        return rate(verdicts["matched"], verdicts["formula"], draws, **place) | {"n": n, "by_seed": by_seed}

    verdicts = matched(Tolerances())
    metrics["match_rate"] = match_rate(verdicts)
    valid = validity.set_index("id")["valid"]
    metrics |= asked_measures(crystals, samples, requests, verdicts, valid, seeds, draws, place)
    if task == "composition":
        csp = matched(CSP).merge(validity[["id", "valid"]], left_on="sample_id", right_on="id", how="left").drop(columns="id")
        csp["matched"] &= csp.pop("valid").eq(True)  # as CDVAE and DiffCSP count, who ask SMACT too
        verdicts = verdicts.assign(csp_matched=csp["matched"], csp_rms=csp["rms"].where(csp["matched"]))
        metrics["match_rate_csp"] = match_rate(csp)
        best = csp.groupby(["seed", "target_id"], as_index=False).agg(matched=("matched", "any"), formula=("formula", "first"))
        if len(best) < len(csp):
            metrics[f"match_rate_csp_{len(csp) // len(best)}"] = match_rate(best)
    return verdicts, metrics


def collect_metrics(study: str, crystals: pd.DataFrame) -> dict:
    """All headline numbers of a study: {"<row>.<metric>": {value, low, high, n, seeds, by_seed, source, task, baseline}}.

    A row that was not evaluated has none; `shortfalls` names it.
    """
    metrics = {"library.structures": _count(len(crystals), study), "library.groups": _count(crystals["formula"].nunique(), study)}
    for name, row, file in _files(study, paths.evaluation, "metrics.json"):
        for metric, values in json.loads(file.read_text()).items():
            metrics[f"{name}.{metric}"] = values | {"task": row.task, "baseline": row.baseline}
    return metrics


def match_rows(metrics: dict, reference: dict, task: str) -> pd.DataFrame:
    """Match rates of a task as rows: model (the row's name), value, low, high, n, by_seed (a list), paper_value."""
    rows = []
    for key, row in metrics.items():
        name, _, metric = key.rpartition(".")
        if metric == "match_rate" and row["task"] == task:
            paper = reference.get(key, {}).get("value", np.nan)
            rows.append({"model": name, **{k: row[k] for k in ("value", "low", "high", "n", "by_seed")}, "paper_value": paper})
    return pd.DataFrame(rows, columns=["model", "value", "low", "high", "n", "by_seed", "paper_value"])


def rates_by_size(study: str, draws: int, task: str) -> pd.DataFrame:
    """Match rate by number of sites, all seeds together: model (the row's name), baseline, nsites, value, low, high, n (requests)."""
    rows = []
    for name, row, file in _files(study, paths.evaluation, "verdicts.parquet"):
        if row.task != task:
            continue
        for nsites, group in pd.read_parquet(file).groupby("nsites"):
            matched = group["matched"].to_numpy(float)
            low, high = clustered_bootstrap(matched, group["formula"].to_numpy(str), draws)
            rates = {"value": matched.mean(), "low": low, "high": high, "n": group["request"].nunique()}
            rows.append({"model": name, "baseline": row.baseline, "nsites": nsites, **rates})
    return pd.DataFrame(rows, columns=["model", "baseline", "nsites", "value", "low", "high", "n"])


def shortfalls(study: str, metrics: dict, label: Callable[[str], str] = str) -> list[str]:
    """What failed and what is missing, in sentences: rows below a baseline of their task, lost samples, what was left out.

    label: what a reader calls a row.
    """
    config = load_study(study)
    rates = {key.removesuffix(".match_rate"): row for key, row in metrics.items() if key.endswith(".match_rate")}
    sentences = [f"{label(name)}: not evaluated." for name in study_rows(config) if f"{name}.structure_validity" not in metrics]
    drawn = []
    for name, ours in rates.items():
        rivals = {label(other): theirs for other, theirs in rates.items() if theirs["baseline"] and theirs["task"] == ours["task"]}
        if not ours["baseline"]:
            sentences += _below(label(name), ours, rivals)
            most = max((theirs["n"] for theirs in rivals.values()), default=0)
            drawn += [f"{label(name)} ({ours['n']} of {most})"] if ours["n"] < most else []
    if drawn:
        sentences.append(f"Asked for a draw of the test items that their baselines were asked for: {'; '.join(drawn)}.")
    for name, row, file in _files(study, paths.samples, "record.json"):
        sentences += _lost(label(name), row, json.loads(file.read_text()))
    sentences += _unseen(metrics, label)
    sentences += _spread(metrics, label)
    if elements := config.representations.unimat_elements:
        sentences.append(f"UniMat was trained on the crystals of {', '.join(elements)} only.")
    if (paths.ROOT / config.data.path).is_relative_to(paths.LIBRARY):
        sentences.append("Energies are those of a machine-learned potential, not of density-functional theory.")
    return sentences


def _files(study: str, folder: Callable[[str, str], Path], file: str) -> Iterator[tuple[str, Row, Path]]:
    """Name, row and file of each row of the study that has one; `folder` is `paths.samples` or `paths.evaluation`."""
    for name, row in study_rows(load_study(study)).items():
        path = folder(study, row.model) / name / file
        if path.is_file():
            yield name, row, path


def _lost(name: str, row: Row, record: dict) -> list[str]:
    sentences = [
        f"{name}: {count} of {record['requested']} samples could not be decoded ({reason}); they count as failures."
        for reason, count in record["rejected"].items()
    ]
    if missing := record["requested"] - record["decoded"] - sum(record["rejected"].values()):
        why = "targets have no template" if row.baseline else "samples are missing"
        sentences.append(f"{name}: {missing} of {record['requested']} {why}; they count as failures.")
    return sentences


def _unseen(metrics: dict, label: Callable[[str], str]) -> list[str]:
    """Samples that have no fingerprint."""
    found = {key.split(".")[0]: row for key, row in metrics.items() if key.endswith(".coverage_precision") and row["failed"]}
    return [
        f"{label(name)}: {row['failed']} of {row['n'] * len(row['seeds'])} samples have no fingerprint; they count as not covered."
        for name, row in found.items()
    ]


def _below(name: str, ours: dict, rivals: dict[str, dict]) -> list[str]:
    """A model's match rate beside the baselines of its task that are better."""
    better = {other: theirs for other, theirs in rivals.items() if theirs["value"] > ours["value"]}
    if not better:
        return []
    against = " and ".join(f"{other} ({theirs['value']:.3f})" for other, theirs in better.items())
    baselines = f"the {ours['task']} baseline{'s' if len(better) > 1 else ''}"
    return [f"{name}: matches less often ({ours['value']:.3f}, n = {ours['n']}, {_seeds(ours)}) than {baselines} {against}."]


def _seeds(row: dict) -> str:
    by_seed = row["by_seed"]
    return f"{len(by_seed)} seeds from {min(by_seed):.3f} to {max(by_seed):.3f}" if len(by_seed) > 1 else "one seed"


def _spread(metrics: dict, label: Callable[[str], str]) -> list[str]:
    """How far the training seeds of one row lie apart, and which rows have but one."""
    trained = {key: row for key, row in metrics.items() if not row.get("baseline", True)}  # counts of the data have no such key
    repeated = {key: row["by_seed"] for key, row in trained.items() if key.endswith(".match_rate") and len(row["seeds"]) > 1}
    single = dict.fromkeys(key.split(".")[0] for key, row in trained.items() if len(row["seeds"]) == 1)
    sentences = []
    if repeated:
        widest = max(repeated, key=lambda key: max(repeated[key]) - min(repeated[key]))
        low, high = min(repeated[widest]), max(repeated[widest])
        sentences.append(
            f"Rates are means over training seeds; between the seeds of one row the match rate differs by up to {high - low:.3f} "
            f"({label(widest.removesuffix('.match_rate'))}: {low:.3f} to {high:.3f})."
        )
    sentences += [f"{label(name)}: one training seed only." for name in single]
    sentences.append("The 95 % intervals cover the choice of formulas, not of the training seed.")
    return sentences


def _count(value: int, study: str) -> dict:
    source = str(paths.crystals(study).relative_to(paths.ROOT))
    return {"value": value, "low": value, "high": value, "n": value, "seeds": [], "source": source}
