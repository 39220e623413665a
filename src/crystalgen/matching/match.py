"""Match rate: how many generated crystals are the crystal that was asked for (B §3.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd

from crystalgen.matching.matcher import CSP, FIVEFOLD, TWICE, Tolerances, compare
from crystalgen.matching.reduction import ReducedCell, reduce_cell
from crystalgen.utils.limited_map import map_limited
from crystalgen.utils.timeout import TimeLimit

__all__ = ["CSP", "FIVEFOLD", "TWICE", "RequestedPairs", "Tolerances", "match_cells", "match_pairs", "pair_requests", "reduce_table"]

TIME_LIMIT = 20.0  # s of CPU time for one crystal's reduction and for one pair
_CRYSTALS, _PAIRS = 64, 256  # that go to a process at once


@dataclass(frozen=True)
class RequestedPairs:
    """Samples beside the crystals that they were asked to be, each crystal reduced once for all comparisons.

    table: a row for each training seed and request: the request's columns, seed, sample_id (None of a lost sample), sampled, and
        formula and nsites of the target.
    targets: the crystals asked for, each once.
    samples, target_cells: reduced cells, see `reduce_table`; after the last sample stands the reason of a lost one.
    places: in `samples` (-1 of a lost one) and in `targets`, of each row of the table, (n, 2).
    """

    table: pd.DataFrame
    targets: pd.DataFrame
    samples: list[ReducedCell | str]
    target_cells: list[ReducedCell | str]
    places: np.ndarray

    def match(self, tolerances: Tolerances = Tolerances(), workers: int = 2, with_rms: bool = True) -> pd.DataFrame:
        """Return the table with `match_cells`' columns; a further reason is `no sample`."""
        return self.table.join(match_cells(self.samples, self.target_cells, self.places, tolerances, workers, with_rms=with_rms))

    def samples_of(self, seed: int) -> list[ReducedCell | str]:
        """Return the reduced cells of one training seed's samples, in the order of the requests."""
        return [self.samples[place] for place in self.places[self.table["seed"] == seed, 0]]


def pair_requests(crystals: pd.DataFrame, samples: pd.DataFrame, requests: pd.DataFrame, seeds: Sequence[int],
                  workers: int = 2) -> RequestedPairs:  # fmt: skip
    """Pair each seed's samples with their targets; the pair of a request without a sample does not match.

    Args:
        crystals: with the targets.
        samples: crystals with `request` and `seed`, at most one of each request and seed.
        requests: request and target_id.
        seeds: of training.
        workers: processes.
    """
    targets = crystals.set_index("id", drop=False).loc[requests["target_id"].unique()].reset_index(drop=True)
    table = pd.concat([requests.assign(seed=seed) for seed in seeds], ignore_index=True)
    keys = [pd.MultiIndex.from_frame(part[["seed", "request"]]) for part in (samples, table)]
    places = np.stack([keys[0].get_indexer(keys[1]), pd.Index(targets["id"]).get_indexer(table["target_id"])], axis=1)
    ids = pd.Series(samples["id"].to_numpy()).reindex(places[:, 0]).to_numpy()
    asked = targets.loc[places[:, 1], ["formula", "nsites"]].reset_index(drop=True)
    table = table.assign(sample_id=ids, sampled=places[:, 0] >= 0).join(asked)
    return RequestedPairs(table, targets, [*reduce_table(samples, workers), "no sample"], reduce_table(targets, workers), places)


def match_pairs(samples: pd.DataFrame, targets: pd.DataFrame, tolerances: Tolerances = Tolerances(), workers: int = 2) -> pd.DataFrame:
    """Compare each sample with the target in the same row; see `match_cells`."""
    rows = np.arange(len(samples))
    return match_cells(reduce_table(samples, workers), reduce_table(targets, workers), np.stack([rows, rows], axis=1), tolerances, workers)


def reduce_table(table: pd.DataFrame, workers: int = 2, limit: float = TIME_LIMIT) -> list[ReducedCell | str]:
    """`reduce_cell` of each crystal; of one that has none, the reason.

    limit: s of CPU time for one crystal.
    """
    rows = list(zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True))
    found = map_limited(_reduce, rows, workers, limit, _CRYSTALS, _compile)
    return [f"no reduced cell: {cell}" if isinstance(cell, TimeLimit) else cell for cell in found]


def match_cells(samples: Sequence[ReducedCell | str], targets: Sequence[ReducedCell | str], pairs: np.ndarray,
                tolerances: Tolerances = Tolerances(), workers: int = 2, limit: float = TIME_LIMIT,
                with_rms: bool = True) -> pd.DataFrame:  # fmt: skip
    """Compare samples with targets; verdicts and displacements are those of StructureMatcher, asked with the sample first.

    Args:
        samples, targets: of `reduce_table`.
        pairs: places in `samples` and in `targets`, (n, 2).
        workers: processes.
        limit: s of CPU time for one pair.
        with_rms: without it, displacements are NaN, and a match takes less time.

    Returns:
        matched, rms (root mean square displacement in units of (volume / sites)^(1/3); NaN where not matched), reason (empty,
        or why the pair was not compared); n rows.
    """
    cells = [(samples[one], targets[other]) for one, other in np.asarray(pairs, int).reshape(-1, 2)]
    verdicts = map_limited(partial(_match, tolerances, with_rms), cells, workers, limit, _PAIRS, _compile)
    verdicts = [(False, np.nan, f"matcher failed: {found}") if isinstance(found, TimeLimit) else found for found in verdicts]
    return pd.DataFrame(verdicts, columns=["matched", "rms", "reason"]).astype({"matched": bool, "rms": float, "reason": object})


@cache
def _compile() -> None:
    """Compile what reduces and compares, before any crystal's time counts: a first run may take half a minute for it."""
    doubled = np.diag([3.0, 3.1, 6.4]), np.array([5, 5, 6, 6]), np.array([[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.2], [0.5, 0.5, 0.7]])
    cell = reduce_cell(*doubled)
    compare(ReducedCell(cell.lattice * 1.02, cell.numbers, cell.coords + 0.01), cell, Tolerances())


def _reduce(row: tuple) -> ReducedCell | str:
    return _guarded(reduce_cell, row, "no reduced cell")


def _match(tolerances: Tolerances, with_rms: bool, cells: tuple) -> tuple[bool, float, str]:
    found = next((cell for cell in cells if isinstance(cell, str)), None) or _guarded(
        compare, (*cells, tolerances, with_rms), "matcher failed"
    )
    return (False, np.nan, found) if isinstance(found, str) else (*found, "")


def _guarded(function: Callable, arguments: tuple, what: str):
    """Result, or why there is none: a broken crystal is a row with a reason, never the end of the table."""
    try:
        return function(*arguments)
    except Exception as error:
        return f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:80]}"
