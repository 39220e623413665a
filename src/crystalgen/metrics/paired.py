"""Samples beside the crystals that they were generated for: match rate, RMSE and the best of several samples a target.

As DiffCSP's, CDVAE's and OMatG's scripts have it: the rate is of all targets, the RMSE of those that match. Of several samples a target,
the first alone counts for the rates without a number, the best for those with one.
"""

import logging

import numpy as np
import pandas as pd

_LOG = logging.getLogger(__name__)


def pair_by_target(generated: pd.DataFrame, reference: pd.DataFrame, broken: pd.DataFrame, by_order: bool) -> pd.DataFrame | None:
    """Return which sample belongs to which target: sample and target (places in the tables), attempt (from 0); None if nothing says so.

    Args:
        generated: with `target_id`, an id of the reference, or with `target_place`, a place in it, as files of tensors have; `attempt`
            says which of a target's samples it is, by default they count in order.
        reference: the targets.
        broken: what could not be read of the generated.
        by_order: without those columns, sample i belongs to target i; of k times as many samples, each n that follow are one attempt.
            Samples are in the order of the numbers that end their names (`00012.cif`, `samples.extxyz:12`) if these count through, what
            could not be read among them, else as they stand.

    Raises:
        ValueError: a target is unknown, or samples and targets cannot be aligned by order.
    """
    if "target_id" in generated:
        targets = pd.Index(reference["id"]).get_indexer(generated["target_id"])
        if (targets < 0).all() and not by_order:
            _LOG.warning("no target_id of the samples is the reference's: they are not compared pair by pair")
            return None
        if (targets < 0).any():
            raise ValueError(f"target_id {generated['target_id'].to_numpy()[targets < 0][0]!r} is none of the reference's ids")
    elif "target_place" in generated:
        targets = generated["target_place"].to_numpy(int)
        if len(targets) and targets.max() >= len(reference):
            problem = f"the samples are of {targets.max() + 1} or more targets, and the reference has {len(reference)} crystals"
            if by_order:
                raise ValueError(problem)
            _LOG.warning("%s: they are not compared pair by pair", problem)
            return None
    elif by_order:
        places = _counted(generated["id"], broken["id"])
        if places is None or not len(reference) or (len(generated) + len(broken)) % len(reference):
            raise ValueError(
                f"{len(generated)} readable samples, {len(broken)} unreadable ones and {len(reference)} targets: expected as many samples "
                "as targets, or a multiple, to align them by order; or a column 'target_id' in the samples"
            )
        targets = places % len(reference)
        generated = generated.assign(attempt=places // len(reference))
    else:
        return None
    pairs = pd.DataFrame({"sample": np.arange(len(generated)), "target": targets})
    counted = pairs.groupby("target").cumcount()
    return pairs.assign(attempt=generated["attempt"].to_numpy(int) if "attempt" in generated else counted)


def _counted(names: pd.Series, lost: pd.Series) -> np.ndarray | None:
    """Places of the samples in order, (n,); None where what was lost leaves them unknown."""
    numbers = pd.concat([names, lost]).str.extract(r"(\d+)(?:\.[A-Za-z]+)?$")[0].astype(float).to_numpy()
    numbers = numbers - np.min(numbers, initial=np.inf)
    if sorted(numbers) == list(range(len(numbers))):
        return numbers[: len(names)].astype(int)
    return None if len(lost) else np.arange(len(names))


def paired_rates(pairs: pd.DataFrame, verdicts: pd.DataFrame, filters: dict[str, tuple[np.ndarray, np.ndarray]],
                 targets: int) -> dict[str, pd.Series]:  # fmt: skip
    """Return, by name, what each measure is the mean of: `match_rate, <filter>` of all targets and `rmse, <filter>` of those matched.

    With more than one attempt also `match_rate_<k>` and `rmse_<k>`. The index is the target's place.

    Args:
        pairs: of `pair_by_target`.
        verdicts: of `match.match_cells` for these pairs.
        filters: by name, whether each pair counts for the first sample, and for the best of several.
        targets: how many there are.
    """
    attempts = int(pairs["attempt"].max()) + 1 if len(pairs) else 1
    found = {}
    for name, (first, several) in filters.items():
        kinds = {"": first & (pairs["attempt"] == 0).to_numpy()} | ({f"_{attempts}": several} if attempts > 1 else {})
        for suffix, counts in kinds.items():
            chosen = counts & verdicts["matched"].to_numpy()
            rms = verdicts["rms"][chosen].groupby(pairs["target"][chosen].to_numpy()).min()
            found[f"match_rate{suffix}, {name}"] = rms.notna().astype(float).reindex(range(targets), fill_value=0.0)
            found[f"rmse{suffix}, {name}"] = rms
    return found
