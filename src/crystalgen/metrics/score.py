"""Scores of one way to sample: a verdict on each sample, and the rates for its metrics.json.

What could not be decoded counts as a failure. Intervals redraw whole formulas, all training seeds together; `by_seed` gives the
rate of each seed, and `n` counts what each was asked for.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.matching.match import CSP, FIVEFOLD, TWICE, Tolerances, pair_requests, reduce_table
from crystalgen.matching.novelty import corrected_rms, nearest_sample, nearest_target, unique_classes
from crystalgen.metrics.fingerprints import has_fingerprint
from crystalgen.metrics.proxy import Coverage, coverage_rates, property_distances, share_of_requested
from crystalgen.metrics.symmetry import SYMPRECS, in_p1, space_groups
from crystalgen.metrics.validity import composition_validity, structure_validity, validity
from crystalgen.utils import paths
from crystalgen.utils.statistics import Scoring, mean_with_interval

WIDER = {"match_rate_x2": TWICE, "match_rate_x5": FIVEFOLD}


def score_conditional(crystals: pd.DataFrame, samples: pd.DataFrame, requests: pd.DataFrame, scoring: Scoring,
                      csp: bool = False, folder: Path = paths.FINGERPRINTS) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Match samples with the crystals that they were asked to be.

    Args:
        crystals: with the targets.
        samples: crystals with `request` and `seed`.
        requests: request and target_id, for each of which every seed was asked for one sample.
        scoring: see `Scoring`.
        csp: whether to match at the tolerances of crystal structure prediction, too, where a target counts if one of its
            samples matches.
        folder: where fingerprints are kept, of which the filter of crystal structure prediction asks.

    Returns:
        verdicts, a row for each seed and request (see `pair_requests`; with `csp` also csp_matched and csp_rms), and rates:
        structure_validity, match_rate, match_rate_valid (the sample is valid, too), match_rate_x2 and match_rate_x5 (tolerances
        so many times as wide), rmse (of the matched; none if a seed has no match), metre and crmse (of the targets, by whichever
        sample of the seed). With `csp`, match_rate_csp, without a filter; match_rate_csp_filtered, as DiffCSP's script counts: sample
        and target are valid by the published distances, by SMACT and by their fingerprints; match_rate_csp_valid, with a filter
        of ours: no two atoms of the sample are too close. Each with _<k>, of k samples a target, where DiffCSP's filter asks the sample
        alone.
    """
    sound = samples[["id", "formula", "seed"]].assign(valid=structure_validity(samples))
    pairs = pair_requests(crystals, samples, requests, scoring.seeds)
    verdicts = pairs.match()
    valid = verdicts["sample_id"].map(sound.set_index("id")["valid"]).eq(True)  # a lost sample has no entry
    metrics = {
        "structure_validity": share_of_requested(sound, "valid", scoring),
        "match_rate": _mean(verdicts["matched"], verdicts, scoring),
        "match_rate_valid": _mean(verdicts["matched"] & valid, verdicts, scoring),
    }
    for name, tolerances in WIDER.items():
        metrics[name] = _mean(pairs.match(tolerances, with_rms=False)["matched"], verdicts, scoring)
    matched = verdicts[verdicts["matched"]]
    if set(matched["seed"]) == set(scoring.seeds):
        metrics["rmse"] = _mean(matched["rms"], matched, scoring)
    found = [
        nearest_sample(pairs.samples_of(seed), pairs.target_cells).assign(seed=seed, formula=pairs.targets["formula"])
        for seed in scoring.seeds
    ]
    everyone = pd.concat(found, ignore_index=True)
    metrics["metre"] = _mean(everyone["matched"], everyone, scoring)
    metrics["crmse"] = _mean(corrected_rms(everyone, Tolerances()), everyone, scoring)
    if csp:
        lax = pairs.match(CSP)
        published, targets_too = (
            verdicts[name].map(pd.Series(published_validity(table, folder), table["id"])).eq(True)
            for name, table in (("sample_id", samples), ("target_id", pairs.targets))
        )
        verdicts = verdicts.assign(csp_matched=lax["matched"], csp_rms=lax["rms"].where(lax["matched"]))
        every = pd.Series(True, index=lax.index)
        filters = {"": (every, every), "_filtered": (published & targets_too, published), "_valid": (valid, valid)}
        for name, (one, several) in filters.items():
            metrics[f"match_rate_csp{name}"] = _mean(lax["matched"] & one, lax, scoring)
            tried = lax.assign(matched=lax["matched"] & several).groupby(["seed", "target_id"], as_index=False)
            best = tried.agg(matched=("matched", "any"), formula=("formula", "first"))
            if len(best) < len(lax):
                metrics[f"match_rate_csp{name}_{len(lax) // len(best)}"] = _mean(best["matched"], best, scoring)
    return verdicts, metrics


def score_unconditional(crystals: pd.DataFrame, samples: pd.DataFrame, scoring: Scoring,
                        coverage: Coverage | None = None) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Compare samples of which nothing was asked with the test crystals, and look for those that are repeats or not new.

    Args:
        crystals: with `split`; the test crystals are compared with, the training crystals are not new.
        samples: crystals with `seed`.
        scoring: see `Scoring`.
        coverage: how to count coverage of the test crystals; None leaves it out.

    Returns:
        verdicts, a row for each sample, and rates: structure_validity, composition_validity, wasserstein_<property> (of valid
        samples), p1_<symprec>, unique (within a seed's samples), novel, and what `coverage_rates` gives.
    """
    train, test = (crystals[crystals["split"] == split] for split in ("train", "test"))
    verdicts = samples[["id", "formula", "seed"]].reset_index(drop=True)
    verdicts = verdicts.assign(valid=structure_validity(samples), composition_valid=composition_validity(samples))
    verdicts = verdicts.join(space_groups(samples).reset_index(drop=True))
    cells = reduce_table(samples)
    reduced = np.array([not isinstance(cell, str) for cell in cells], dtype=bool)
    verdicts["unique"] = _unique(cells, verdicts["seed"].to_numpy()) & reduced
    verdicts["novel"] = ~nearest_target(cells, reduce_table(train), with_rms=False)["matched"].to_numpy(bool) & reduced
    p1 = [f"p1_{symprec:g}" for symprec in SYMPRECS]
    for name, symprec in zip(p1, SYMPRECS, strict=True):
        verdicts[name] = in_p1(verdicts[f"space_group_{symprec:g}"])
    metrics = {
        "structure_validity": share_of_requested(verdicts, "valid", scoring),
        "composition_validity": share_of_requested(verdicts, "composition_valid", scoring),
    }
    both = (verdicts["valid"] & verdicts["composition_valid"]).to_numpy()
    metrics |= property_distances(samples[both], test, scoring)
    metrics |= {name: share_of_requested(verdicts, name, scoring) for name in (*p1, "unique", "novel")}
    if coverage:
        rates, verdicts["no_fingerprint"] = coverage_rates(samples, test, scoring, coverage)
        metrics |= rates
    return verdicts, metrics


def published_validity(table: pd.DataFrame, folder: Path = paths.FINGERPRINTS, workers: int = 2) -> np.ndarray:
    """Return whether each crystal is valid by CDVAE's and DiffCSP's definition (see `validity`), bool (n,).

    folder: where fingerprints are kept.
    """
    found = validity(table, lambda places: has_fingerprint(table.iloc[places], folder, workers))
    return found["valid_published"].to_numpy()


def _mean(values: pd.Series, rows: pd.DataFrame, scoring: Scoring) -> dict:
    """An entry of metrics.json of values that stand in rows with formula and seed."""
    by_seed = values.astype(float).groupby(rows["seed"]).mean().reindex(scoring.seeds)
    return mean_with_interval(values, rows["formula"], scoring, by_seed)


def _unique(cells: list, seeds: np.ndarray) -> np.ndarray:
    """Whether each crystal is the first of its kind among its seed's samples, bool (n,)."""
    unique = np.zeros(len(cells), dtype=bool)
    for seed in np.unique(seeds):
        places = np.flatnonzero(seeds == seed)
        unique[places] = unique_classes([cells[i] for i in places]) == np.arange(len(places))
    return unique
