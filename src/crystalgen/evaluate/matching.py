"""Match rate: how many generated crystals are the crystal that was asked for (B §3.4)."""

import warnings
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalgen.crystals import to_structures


@dataclass(frozen=True)
class Tolerances:
    """StructureMatcher's; its defaults, which B uses.

    by_rms: two crystals match if the root mean square displacement is within `stol`, not the largest one.
    """

    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5.0
    by_rms: bool = False


CSP = Tolerances(ltol=0.3, stol=0.5, angle_tol=10.0, by_rms=True)  # of crystal structure prediction (CDVAE, DiffCSP)


def match_targets(targets: pd.DataFrame, samples: pd.DataFrame, tolerances: Tolerances = Tolerances(), workers: int = 2,
                  chunk: int = 64) -> pd.DataFrame:  # fmt: skip
    """Compare each sample with its target; one row per target and sample.

    Args:
        targets: crystals asked for.
        samples: crystals with `target_id`; a target without a sample counts as not matched.
        workers: processes.

    Returns:
        target_id, formula, nsites, sampled (whether there was a sample), matched, rms (StructureMatcher's
        normalised displacement; NaN where not matched), reason (empty, `no sample`, or what the matcher raised).
    """
    asked = targets[["id", "formula", "nsites"]].rename(columns={"id": "target_id"})
    sample_row = pd.DataFrame({"target_id": samples["target_id"].to_numpy(), "sample": np.arange(len(samples))})
    result = asked.assign(target=np.arange(len(targets))).merge(sample_row, on="target_id", how="left", sort=False)
    result["sampled"] = result["sample"].notna()
    pairs = result.loc[result["sampled"], ["target", "sample"]].to_numpy(int)
    jobs = (
        joblib.delayed(_match_pairs)(targets.iloc[part[:, 0]], samples.iloc[part[:, 1]], tolerances)
        for part in (pairs[i : i + chunk] for i in range(0, len(pairs), chunk))
    )
    verdicts = [v for part in joblib.Parallel(n_jobs=workers)(jobs) for v in part]
    result["matched"], result["rms"], result["reason"] = False, np.nan, "no sample"
    where = result.index[result["sampled"]]
    if len(where):
        matched, rms, reason = zip(*verdicts, strict=True)
        result.loc[where, "matched"], result.loc[where, "rms"], result.loc[where, "reason"] = matched, rms, reason
    return result.drop(columns=["target", "sample"])


def _match_pairs(targets: pd.DataFrame, samples: pd.DataFrame, tolerances: Tolerances) -> list[tuple[bool, float, str]]:
    matcher = StructureMatcher(tolerances.ltol, tolerances.stol, tolerances.angle_tol)
    verdicts = []
    same = [a == b for a, b in zip(targets["formula"], samples["formula"], strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for target, sample, alike in zip(to_structures(targets), to_structures(samples), same, strict=True):
            if not alike:
                verdicts.append((False, np.nan, "another composition"))
                continue
            try:
                matched = tolerances.by_rms or matcher.fit(target, sample)  # by the largest displacement
                found = matcher.get_rms_dist(target, sample) if matched else None
                matched, rms = found is not None, np.nan if found is None else found[0]
            except Exception as error:  # a broken sample is a row with a reason, never the end of the table
                verdicts.append((False, np.nan, f"matcher failed: {type(error).__name__}"))
            else:
                verdicts.append((bool(matched), float(rms), ""))
    return verdicts
