"""Proxy metrics of crystals of which nothing was asked: validity, distances of properties, coverage (A Table 1; CDVAE's definitions)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.metrics.coverage import Cutoffs, coverage
from crystalgen.metrics.distributions import PROPERTIES, wasserstein
from crystalgen.metrics.fingerprints import fingerprints
from crystalgen.utils.statistics import Scoring, mean_with_interval

DISTANCE_DRAWS = 200  # redraws behind the interval of a distance, each of which sorts all samples


@dataclass(frozen=True)
class Coverage:
    """How coverage is counted, and the folder where fingerprints are kept."""

    cutoffs: Cutoffs
    folder: Path


def share_of_requested(verdicts: pd.DataFrame, column: str, scoring: Scoring) -> dict:
    """Compute the share of the samples asked for whose entry in `column` is true; for a lost one it is not.

    verdicts: with formula and seed, a row for each sample.
    """
    lost = scoring.requested - len(verdicts)
    values = np.concatenate([verdicts[column].to_numpy(float), np.zeros(lost)])
    clusters = np.concatenate([verdicts["formula"].to_numpy(str), [f"lost {i}" for i in range(lost)]])
    found = verdicts.groupby("seed")[column].sum().reindex(scoring.seeds, fill_value=0)
    return mean_with_interval(values, clusters, scoring, found / (scoring.requested // len(scoring.seeds)))


def property_distances(generated: pd.DataFrame, reference: pd.DataFrame, scoring: Scoring) -> dict:
    """Compute distances of valid samples' properties, all seeds together, from the reference's; none if either is empty."""
    if generated.empty or reference.empty:
        return {}
    facts, draws = {"n": len(generated), **scoring.origin}, min(scoring.draws, DISTANCE_DRAWS)
    measured = {name: (measure(generated), measure(reference)) for name, measure in PROPERTIES.items()}
    return {f"wasserstein_{name}": wasserstein(*values, draws) | facts for name, values in measured.items()}


def coverage_rates(samples: pd.DataFrame, reference: pd.DataFrame, scoring: Scoring, settings: Coverage) -> tuple[dict, np.ndarray]:
    """Compute coverage of the reference by each seed's samples alone, and why a sample has no fingerprint (empty if it has), (n,).

    Intervals redraw whole formulas: of the reference for what is a mean over it (recall), of the samples otherwise. An entry
    counts in `failed` the crystals without a fingerprint.
    """
    seeds, requested = scoring.seeds, scoring.requested // len(scoring.seeds)
    own, other = fingerprints(samples, settings.folder), fingerprints(reference, settings.folder)
    reasons = np.array([own.failed.get(row, "") for row in range(len(samples))], dtype=object)
    of_seed = samples["seed"].to_numpy()
    if not len(other.rows) or not all((of_seed[own.rows] == seed).any() for seed in seeds):
        return {}, reasons
    found = [coverage(own.subset(of_seed == seed), requested, other, settings.cutoffs) for seed in seeds]
    metrics = {}
    for name in found[0]:
        recall = name.endswith("recall")
        formulas = (reference if recall else samples)["formula"].to_numpy(str)
        values = pd.concat([part[name] for part in found])
        places = values.index.to_numpy()
        lost = [f"lost {i}" for i in range(len(places))]
        clusters = np.where(places < 0, lost, formulas[places.clip(min=0)])
        metrics[name] = mean_with_interval(values, clusters, scoring, [part[name].mean() for part in found])
        metrics[name]["failed"] = len((other if recall else own).failed)
    return metrics, reasons
