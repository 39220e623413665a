"""Match rate: how many generated crystals are the crystal that was asked for (B §3.4)."""

from collections.abc import Callable, Sequence
from functools import cache

import joblib
import numpy as np
import pandas as pd

from crystalgen.matching.matcher import CSP, FIVEFOLD, TWICE, Tolerances, compare
from crystalgen.matching.reduction import ReducedCell, reduce_cell
from crystalgen.utils.timeout import TimeLimit, time_limit

__all__ = ["CSP", "FIVEFOLD", "TWICE", "Tolerances", "match_cells", "match_pairs", "match_requests", "match_targets", "reduce_table"]

TIME_LIMIT = 20.0  # s for one crystal's reduction and for one pair
_CHUNK = 256


def match_targets(targets: pd.DataFrame, samples: pd.DataFrame, tolerances: Tolerances = Tolerances(), workers: int = 2) -> pd.DataFrame:
    """Compare each sample with its target; one row per target and sample.

    Args:
        targets: crystals asked for.
        samples: crystals with `target_id`; a target without a sample counts as not matched.
        workers: processes.

    Returns:
        target_id, formula, nsites, sampled (whether there was a sample), and `match_cells`' columns; a further reason is `no sample`.
    """
    asked = targets[["id", "formula", "nsites"]].rename(columns={"id": "target_id"})
    sample_row = pd.DataFrame({"target_id": samples["target_id"].to_numpy(), "sample": np.arange(len(samples))})
    result = asked.assign(target=np.arange(len(targets))).merge(sample_row, on="target_id", how="left", sort=False)
    result["sampled"] = result["sample"].notna()
    pairs = result.loc[result["sampled"], ["target", "sample"]].to_numpy(int)
    found = match_cells(reduce_table(targets, workers), reduce_table(samples, workers), pairs, tolerances, workers)
    result["matched"], result["rms"], result["reason"] = False, np.nan, "no sample"
    for column in found:
        result.loc[result["sampled"], column] = found[column].to_numpy()
    return result.drop(columns=["target", "sample"])


def match_requests(crystals: pd.DataFrame, samples: pd.DataFrame, requests: pd.DataFrame,
                   tolerances: Tolerances = Tolerances()) -> pd.DataFrame:  # fmt: skip
    """`match_targets` of one seed's samples with what each was asked to be: its columns, request, sample_id and the requests' own."""
    targets = crystals.set_index("id").loc[requests["target_id"]].reset_index().assign(id=requests["request"].to_numpy())
    verdicts = match_targets(targets, samples.assign(target_id=samples["request"]), tolerances)
    verdicts = verdicts.rename(columns={"target_id": "request"}).merge(requests, on="request", how="left", validate="many_to_one")
    return verdicts.assign(sample_id=verdicts["request"].map(samples.set_index("request")["id"]))


def match_pairs(first: pd.DataFrame, second: pd.DataFrame, tolerances: Tolerances = Tolerances(), workers: int = 2) -> pd.DataFrame:
    """`match_cells` of each crystal with that in the same row of another table."""
    rows = np.arange(len(first))
    return match_cells(reduce_table(first, workers), reduce_table(second, workers), np.stack([rows, rows], axis=1), tolerances, workers)


def reduce_table(table: pd.DataFrame, workers: int = 2, limit: float = TIME_LIMIT) -> list[ReducedCell | str]:
    """`reduce_cell` of each crystal; of one that has none, the reason.

    limit: s for one crystal.
    """
    rows = list(zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True))
    return _in_parts(_reduce, rows, workers, limit)


def match_cells(first: Sequence[ReducedCell | str], second: Sequence[ReducedCell | str], pairs: np.ndarray,
                tolerances: Tolerances = Tolerances(), workers: int = 2, limit: float = TIME_LIMIT,
                with_rms: bool = True) -> pd.DataFrame:  # fmt: skip
    """Compare pairs of crystals; verdicts and displacements are StructureMatcher's.

    Args:
        first, second: of `reduce_table`.
        pairs: places in `first` and in `second`, (n, 2).
        workers: processes.
        limit: s for one pair.
        with_rms: without it, displacements are NaN, and a match takes less time.

    Returns:
        matched, rms (root mean square displacement in units of (volume / sites)^(1/3); NaN where not matched), reason (empty,
        or why the pair was not compared); n rows.
    """
    cells = [(first[one], second[other]) for one, other in np.asarray(pairs, int).reshape(-1, 2)]
    verdicts = _in_parts(_match, cells, workers, tolerances, limit, with_rms)
    return pd.DataFrame(verdicts, columns=["matched", "rms", "reason"]).astype({"matched": bool, "rms": float, "reason": object})


def _in_parts(function: Callable[..., list], items: list, workers: int, *settings) -> list:
    """`function` of lists of items, by processes, or by what `joblib.parallel_config` names, such as a Dask cluster."""
    parts = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    found = joblib.Parallel(n_jobs=max(1, min(workers, len(parts))))(joblib.delayed(function)(part, *settings) for part in parts)
    return [result for part in found for result in part]


@cache
def _compile() -> None:
    """Compile what reduces and compares, before any crystal's time counts: a first run may take half a minute for it."""
    doubled = np.diag([3.0, 3.1, 6.4]), np.array([5, 5, 6, 6]), np.array([[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.2], [0.5, 0.5, 0.7]])
    cell = reduce_cell(*doubled)
    compare(cell, ReducedCell(cell.lattice * 1.02, cell.numbers, cell.coords + 0.01), Tolerances())


def _reduce(rows: list[tuple], limit: float) -> list[ReducedCell | str]:
    _compile()
    return [_guarded(reduce_cell, row, limit, "no reduced cell") for row in rows]


def _match(cells: list[tuple], tolerances: Tolerances, limit: float, with_rms: bool) -> list[tuple[bool, float, str]]:
    _compile()
    verdicts = []
    for one, other in cells:
        broken = next((cell for cell in (one, other) if isinstance(cell, str)), None)
        found = broken or _guarded(compare, (one, other, tolerances, with_rms), limit, "matcher failed")
        verdicts.append((False, np.nan, found) if isinstance(found, str) else (*found, ""))
    return verdicts


def _guarded(function: Callable, arguments: tuple, limit: float, what: str):
    """Result, or why there is none: a broken crystal is a row with a reason, never the end of the table."""
    try:
        with time_limit(limit):
            return function(*arguments)
    except TimeLimit as error:
        return f"{what}: {error}"
    except Exception as error:
        return f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:80]}"
