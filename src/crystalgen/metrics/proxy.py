"""Proxy metrics of crystals of which nothing was asked: validity, distances of properties, coverage (A Table 1; CDVAE's definitions)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.metrics.coverage import Cutoffs, coverage
from crystalgen.metrics.distributions import PROPERTIES, wasserstein
from crystalgen.metrics.fingerprints import fingerprints
from crystalgen.utils.statistics import rate

DISTANCE_DRAWS = 200  # redraws behind the interval of a distance, each of which sorts all samples


@dataclass(frozen=True)
class Coverage:
    """How coverage is counted, and the folder where fingerprints are kept."""

    cutoffs: Cutoffs
    folder: Path


def validity_rate(validity: pd.DataFrame, column: str, record: dict, draws: int, place: dict) -> dict:
    """Share of the samples asked for whose entry in `column` is true; lost ones are not valid."""
    asked, lost = record["requested"] // len(record["seeds"]), record["requested"] - record["decoded"]
    values = np.concatenate([validity[column].to_numpy(float), np.zeros(lost)])
    clusters = np.concatenate([validity["formula"].to_numpy(str), [f"lost {i}" for i in range(lost)]])
    by_seed = validity.groupby("seed")[column].sum().reindex(record["seeds"], fill_value=0) / asked
    return rate(values, clusters, draws, **place) | {"n": asked, "by_seed": by_seed.round(6).tolist()}


def property_distances(generated: pd.DataFrame, reference: pd.DataFrame, draws: int, place: dict) -> dict:
    """Of valid samples' properties, all seeds together, from the reference's; none if either is empty."""
    if generated.empty or reference.empty:
        return {}
    place, draws = {"n": len(generated), **place}, min(draws, DISTANCE_DRAWS)
    measured = {name: (measure(generated), measure(reference)) for name, measure in PROPERTIES.items()}
    return {f"wasserstein_{name}": wasserstein(*values, draws) | place for name, values in measured.items()}


def coverage_rates(samples: pd.DataFrame, reference: pd.DataFrame, record: dict, settings: Coverage, draws: int,
                   place: dict) -> tuple[dict, np.ndarray]:  # fmt: skip
    """Coverage of the reference, each seed's samples alone, and why a sample has no fingerprint (empty if it has), (n,).

    Intervals redraw whole formulas: of the reference for what is a mean over it (recall), of the samples otherwise. Besides
    what `rate` gives, a row counts in `failed` the crystals without a fingerprint.
    """
    seeds = record["seeds"]
    requested = record["requested"] // len(seeds)
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
        failed = len((other if recall else own).failed)
        by_seed = [round(float(part[name].mean()), 6) for part in found]
        metrics[name] = rate(values, clusters, draws, **place) | {"n": len(values) // len(seeds), "by_seed": by_seed, "failed": failed}
    return metrics, reasons
