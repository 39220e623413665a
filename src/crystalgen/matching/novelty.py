"""Which crystals are alike: repeats among the generated, copies of a reference, and the reference's that were found."""

from collections.abc import Sequence

import joblib
import numpy as np
import pandas as pd

from crystalgen.matching.match import TIME_LIMIT, Tolerances, match_cells
from crystalgen.matching.reduction import ReducedCell

_GROUPS = 32  # groups of a formula that one process takes at once


def unique_classes(cells: Sequence[ReducedCell | str], tolerances: Tolerances = Tolerances(), workers: int = 2,
                   limit: float = TIME_LIMIT) -> np.ndarray:  # fmt: skip
    """The place of the first crystal that each one matches, its own if it is the first, (n,), as `StructureMatcher.group_structures`.

    As there, the earlier crystal comes first in each comparison. A crystal without a reduced cell is alone. Only crystals of the
    same atoms in the reduced cell are compared.

    Args:
        cells: of `matching.reduce_table`.
        workers: processes.
        limit: s for one pair.
    """
    groups = [places for places in _by_content(cells).values() if len(places) > 1]
    parts = [groups[i : i + _GROUPS] for i in range(0, len(groups), _GROUPS)]
    jobs = (joblib.delayed(_classes)([[cells[i] for i in places] for places in part], tolerances, limit) for part in parts)
    classes = np.arange(len(cells))
    for part, found in zip(parts, joblib.Parallel(n_jobs=max(1, min(workers, len(parts))))(jobs), strict=True):
        for places, firsts in zip(part, found, strict=True):
            classes[places] = np.array(places)[firsts]
    return classes


def nearest_target(samples: Sequence[ReducedCell | str], targets: Sequence[ReducedCell | str], tolerances: Tolerances = Tolerances(),
                   workers: int = 2, with_rms: bool = True, limit: float = TIME_LIMIT) -> pd.DataFrame:  # fmt: skip
    """Find for each sample the target that it matches best; a sample that matches none of a reference is novel.

    Args:
        samples, targets: of `matching.reduce_table`; `targets` are a reference's.
        with_rms: without it, the first target that a sample matches stands for the best.
        limit: s for one pair.

    Returns:
        matched, rms (the least, NaN where not matched or without `with_rms`), place (of that target; -1), reason (why a pair
        could not be compared; empty), a row for each sample.
    """
    return _nearest(samples, targets, "sample", tolerances, workers, with_rms, limit)


def nearest_sample(samples: Sequence[ReducedCell | str], targets: Sequence[ReducedCell | str], tolerances: Tolerances = Tolerances(),
                   workers: int = 2, limit: float = TIME_LIMIT) -> pd.DataFrame:  # fmt: skip
    """Find for each target the sample that matches it best: METRe's question, "match everyone to reference".

    `matched.mean()` is METRe, the mean of `corrected_rms(...)` its cRMSE (Martirossyan et al., arXiv:2509.12178).

    Returns:
        the columns of `nearest_target`, with the sample's `place`, a row for each target.
    """
    return _nearest(samples, targets, "target", tolerances, workers, True, limit)


def corrected_rms(matches: pd.DataFrame, tolerances: Tolerances) -> pd.Series:
    """Displacements, in which what was not matched counts with the tolerance of sites, in place of being left out; their mean is cRMSE."""
    return matches["rms"].fillna(tolerances.stol)


def _nearest(samples: Sequence[ReducedCell | str], targets: Sequence[ReducedCell | str], side: str, tolerances: Tolerances, workers: int,
             with_rms: bool, limit: float) -> pd.DataFrame:  # fmt: skip
    """The best partner of each crystal on one side, `sample` or `target`."""
    own, others, order = (samples, targets, [0, 1]) if side == "sample" else (targets, samples, [1, 0])
    known = _by_content(others)
    pairs = [(i, j) for i, cell in enumerate(own) if not isinstance(cell, str) for j in known.get(cell.kinds, [])]
    pairs = np.array(pairs, dtype=int).reshape(-1, 2)
    found = match_cells(samples, targets, pairs[:, order], tolerances, workers, limit, with_rms)
    found["cell"], found["place"] = pairs.T
    result = pd.DataFrame({"matched": False, "rms": np.nan, "place": -1, "reason": ""}, index=range(len(own)))
    best = found[found["matched"]].sort_values("rms", kind="stable").drop_duplicates("cell").set_index("cell")
    result.loc[best.index, ["rms", "place"]] = best[["rms", "place"]]
    result.loc[best.index, "matched"] = True
    failed = found[found["reason"] != ""].drop_duplicates("cell").set_index("cell")["reason"]
    result.loc[failed.index, "reason"] = failed
    for i, cell in enumerate(own):
        if isinstance(cell, str):
            result.loc[i, "reason"] = cell
    return result.astype({"place": int})


def _by_content(cells: Sequence[ReducedCell | str]) -> dict[bytes, list[int]]:
    groups: dict[bytes, list[int]] = {}
    for place, cell in enumerate(cells):
        if not isinstance(cell, str):
            groups.setdefault(cell.kinds, []).append(place)
    return groups


def _classes(groups: list[list[ReducedCell]], tolerances: Tolerances, limit: float) -> list[list[int]]:
    """Of each group, the place of each member's first match within it."""
    found = []
    for cells in groups:
        left, firsts = list(range(len(cells))), [0] * len(cells)
        while left:
            first, *others = left
            pairs = np.array([(first, other) for other in others]).reshape(-1, 2)
            same = match_cells(cells, cells, pairs, tolerances, 1, limit, with_rms=False)["matched"].to_numpy()
            firsts[first] = first
            for other, alike in zip(others, same, strict=True):
                if alike:
                    firsts[other] = first
            left = [other for other, alike in zip(others, same, strict=True) if not alike]
        found.append(firsts)
    return found
