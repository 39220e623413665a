"""A study's numbers: each model's verdicts and rates, gathered into one metrics.json."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen import paths
from crystalgen.config import load_study
from crystalgen.crystals import read_crystals
from crystalgen.evaluate.matching import match_targets
from crystalgen.evaluate.statistics import clustered_bootstrap, rate
from crystalgen.evaluate.validity import structure_validity


def read_samples(folder: Path) -> tuple[pd.DataFrame, dict, pd.DataFrame | None]:
    """The crystals and the record that a sampling stage left, and what was asked of a conditional model."""
    requests = folder / "requests.parquet"
    asked = pd.read_parquet(requests) if requests.is_file() else None
    return read_crystals(folder / "crystals.parquet"), json.loads((folder / "record.json").read_text()), asked


def evaluate_samples(crystals: pd.DataFrame, samples: pd.DataFrame, record: dict, requests: pd.DataFrame | None, draws: int,
                     source: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Verdicts, one row per sample asked for, and the rates for metrics.json.

    Samples of `requests` are matched with their targets; all are checked for structure validity.
    What could not be decoded counts as invalid and as not matched. Intervals redraw whole formulas, all seeds together;
    `by_seed` gives the rate of each training seed.
    """
    seeds = record["seeds"]
    validity = samples[["id", "formula", "seed"]].assign(valid=structure_validity(samples))
    lost = record["requested"] - record["decoded"]
    valid = np.concatenate([validity["valid"].to_numpy(float), np.zeros(lost)])
    clusters = np.concatenate([validity["formula"].to_numpy(str), [f"lost {i}" for i in range(lost)]])
    metrics = {"structure_validity": rate(valid, clusters, draws, seeds, f"{source}/metrics.json")}
    if requests is None:
        return validity, metrics
    verdicts = pd.concat([match_requests(crystals, samples[samples["seed"] == seed], requests).assign(seed=seed) for seed in seeds])
    metrics["match_rate"] = rate(verdicts["matched"], verdicts["formula"], draws, seeds, f"{source}/metrics.json")
    metrics["match_rate"]["n"] = len(requests)
    metrics["match_rate"]["by_seed"] = verdicts.groupby("seed")["matched"].mean().round(6).tolist()
    return verdicts.reset_index(drop=True), metrics


def match_requests(crystals: pd.DataFrame, samples: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """`match_targets` of one seed's samples with what each was asked to be: its columns, request and the requests' own."""
    targets = crystals.set_index("id").loc[requests["target_id"]].reset_index().assign(id=requests["request"].to_numpy())
    verdicts = match_targets(targets, samples.assign(target_id=samples["request"]))
    return verdicts.rename(columns={"target_id": "request"}).merge(requests, on="request", how="left", validate="many_to_one")


def collect_metrics(study: str, crystals: pd.DataFrame) -> dict:
    """All headline numbers of a study: {"<model>.<metric>": {value, low, high, n, seeds, source}}."""
    metrics = {"library.structures": _count(len(crystals), study), "library.groups": _count(crystals["formula"].nunique(), study)}
    for file in sorted(paths.evaluation(study, "").glob("*/*/metrics.json")):
        for name, row in json.loads(file.read_text()).items():
            metrics[f"{file.parent.name}.{name}"] = row
    return metrics


def match_rows(metrics: dict, reference: dict) -> pd.DataFrame:
    """Match rates as rows: model, value, low, high, n, paper_value."""
    rows = []
    for key, row in metrics.items():
        model, _, name = key.rpartition(".")
        if name == "match_rate":
            paper = reference.get(key, {}).get("value", np.nan)
            rows.append({"model": model, **{k: row[k] for k in ("value", "low", "high", "n")}, "paper_value": paper})
    return pd.DataFrame(rows)


def rates_by_size(study: str, draws: int) -> pd.DataFrame:
    """Match rate of each model by number of sites: model, nsites, value, low, high, n."""
    rows = []
    for file in sorted(paths.evaluation(study, "").glob("*/*/verdicts.parquet")):
        verdicts = pd.read_parquet(file)
        if "matched" not in verdicts:
            continue
        for nsites, group in verdicts.groupby("nsites"):
            matched = group["matched"].to_numpy(float)
            low, high = clustered_bootstrap(matched, group["formula"].to_numpy(str), draws)
            rows.append({"model": file.parent.name, "nsites": nsites, "value": matched.mean(), "low": low, "high": high, "n": len(group)})
    return pd.DataFrame(rows)


def shortfalls(study: str, metrics: dict) -> list[str]:
    """What failed and what is missing, in sentences: rejected samples, models below a baseline, what was left out."""
    sentences = []
    for file in sorted(paths.samples(study, "").glob("*/*/record.json")):
        record = json.loads(file.read_text())
        for reason, count in record["rejected"].items():
            sentences.append(
                f"{record['row']}: {count} of {record['requested']} samples could not be decoded ({reason}); they count as failures."
            )
        if missing := record["requested"] - record["decoded"] - sum(record["rejected"].values()):
            sentences.append(f"{record['row']}: {missing} of {record['requested']} targets have no template; they count as failures.")
    rates = {key.removesuffix(".match_rate"): row["value"] for key, row in metrics.items() if key.endswith(".match_rate")}
    config = load_study(study)
    for model in (name for name in rates if name in config.models):
        for baseline in (name for name in rates if name in config.baselines and rates[name] > rates[model]):
            sentences.append(f"{model} matches less often ({rates[model]:.3f}) than the baseline {baseline} ({rates[baseline]:.3f}).")
    if elements := config.representations.unimat_elements:
        sentences.append(f"UniMat was trained on the crystals of {', '.join(elements)} only.")
    sentences.append("Every rate is of one training seed; the intervals cover the choice of formulas, not of the seed.")
    sentences.append("Energies are those of a machine-learned potential, not of density-functional theory.")
    return sentences


def _count(value: int, study: str) -> dict:
    source = str(paths.crystals(study).relative_to(paths.ROOT))
    return {"value": value, "low": value, "high": value, "n": value, "seeds": [], "source": source}
