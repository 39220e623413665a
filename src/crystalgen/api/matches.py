"""Which target each sample is compared with, and the verdicts."""

import numpy as np
import pandas as pd

from crystalgen.api.crystals import as_crystals
from crystalgen.matching.match import Tolerances, match_cells, reduce_table


def match_crystals(samples, targets, tolerances: tuple[float, float, float], by_rms: bool, workers: int) -> pd.DataFrame:
    """See `api.match`."""
    samples, targets = as_crystals(samples).reset_index(drop=True), as_crystals(targets).reset_index(drop=True)
    chosen = _target_of(samples, targets)
    pairs = np.stack([np.arange(len(samples)), chosen], axis=1)
    verdicts = match_cells(reduce_table(samples, workers), reduce_table(targets, workers), pairs, Tolerances(*tolerances, by_rms), workers)
    of = targets.iloc[chosen].reset_index(drop=True)
    return pd.DataFrame({"id": samples["id"], "target_id": of["id"], "formula": of["formula"]}).join(verdicts)


def _target_of(samples: pd.DataFrame, targets: pd.DataFrame) -> np.ndarray:
    """Position of each sample's target, (n,)."""
    if "target_id" in samples:
        found = pd.Index(targets["id"]).get_indexer(samples["target_id"])
        if (found < 0).any():
            raise ValueError(f"samples: target_id {samples['target_id'][found < 0].iloc[0]!r} is none of the targets' ids")
        return found
    if len(targets) == 1:
        return np.zeros(len(samples), dtype=int)
    if len(targets) != len(samples):
        raise ValueError(
            f"{len(samples)} samples and {len(targets)} targets: expected as many of both, one target, or a column target_id in samples"
        )
    return np.arange(len(samples))
