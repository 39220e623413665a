"""Which crystals are alike: repeats among the generated, copies of a reference, and the reference's that were found."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crystalgen.matching.match import TIME_LIMIT, Tolerances, match_cells
from crystalgen.matching.matcher import compare
from crystalgen.matching.reduction import ReducedCell

ENERGY_WINDOW = 0.1  # eV/atom; alike, but further apart than this as generated, two crystals are two places to start from


def is_same(sample: ReducedCell | str, target: ReducedCell | str) -> bool:
    """Return StructureMatcher's verdict at its default tolerances; False for what has no reduced cell."""
    return not isinstance(sample, str) and not isinstance(target, str) and compare(sample, target, Tolerances(), with_rms=False)[0]


def group_duplicates(cells: Sequence[ReducedCell | str], energies: np.ndarray, window: float = ENERGY_WINDOW) -> np.ndarray:
    """Return for each crystal the place of the lowest one that it is a copy of (its own if there is none), int (n,).

    From the lowest upwards, each crystal joins the first group whose lowest member the matcher finds alike (default
    tolerances, any volume) and whose energy is at most `window` below; otherwise it starts a group. Supercells,
    permuted sites and shifted origins are the same crystal. Crystals without an energy are each their own.

    Comparisons grow with n times the number of groups within a window, not with n^2.

    Args:
        cells: n crystals' of `match.reduce_table`.
        energies: eV/atom (n,).
        window: eV/atom; infinite to compare all.
    """
    energies = np.asarray(energies, dtype=float)
    known = [i for i in np.argsort(energies, kind="stable") if np.isfinite(energies[i]) and not isinstance(cells[i], str)]
    edges = {i: _edges(cells[i].lattice, len(cells[i].numbers)) for i in known}
    groups, lowest = np.arange(len(cells)), []
    for i in known:
        near = [j for j in lowest if energies[i] - energies[j] <= window]
        near.sort(key=lambda j: np.abs(edges[i] - edges[j]).max())  # the likeliest first
        groups[i] = next((j for j in near if is_same(cells[i], cells[j])), i)
        if groups[i] == i:
            lowest.append(i)
    return groups


def _edges(lattice: np.ndarray, sites: int) -> np.ndarray:
    """Logarithms of a cell's sorted edges at one volume per atom, (3,)."""
    return np.log(np.sort(np.linalg.norm(lattice, axis=1)) / np.cbrt(abs(np.linalg.det(lattice)) / sites))


def unique_classes(cells: Sequence[ReducedCell | str], tolerances: Tolerances = Tolerances(), workers: int = 2,
                   limit: float = TIME_LIMIT) -> np.ndarray:  # fmt: skip
    """Return the place of the first crystal that each one matches, or its own, (n,), as `StructureMatcher.group_structures`.

    As there, the earlier crystal comes first in each comparison. A crystal without a reduced cell is alone. Only crystals of the
    same atoms in the reduced cell are compared.

    Args:
        cells: of `match.reduce_table`.
        workers: processes.
        limit: s of CPU time for one pair.
    """
    classes = np.arange(len(cells))
    left = [places for places in _by_content(cells).values() if len(places) > 1]
    while left:  # each group's first crystal is compared with the others; those that are unlike it go on
        pairs = np.array([(first, other) for first, *others in left for other in others])
        same = match_cells(cells, cells, pairs, tolerances, workers, limit, with_rms=False)["matched"].to_numpy()
        classes[pairs[same, 1]] = pairs[same, 0]
        taken = set(pairs[same, 1].tolist())
        left = [rest for _, *others in left if len(rest := [other for other in others if other not in taken]) > 1]
    return classes


def nearest_target(samples: Sequence[ReducedCell | str], targets: Sequence[ReducedCell | str], tolerances: Tolerances = Tolerances(),
                   workers: int = 2, with_rms: bool = True, limit: float = TIME_LIMIT) -> pd.DataFrame:  # fmt: skip
    """Find for each sample the target that it matches best; a sample that matches none of a reference is novel.

    Args:
        samples, targets: of `match.reduce_table`; `targets` are a reference's.
        with_rms: without it, the first target that a sample matches stands for the best.
        limit: s of CPU time for one pair.

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


def alike_in_content(samples: Sequence[ReducedCell | str], targets: Sequence[ReducedCell | str]) -> np.ndarray:
    """Return the places in samples and in targets of all pairs with the same atoms in the reduced cell, int (n, 2)."""
    known = _by_content(targets)
    pairs = [(i, j) for i, cell in enumerate(samples) if not isinstance(cell, str) for j in known.get(cell.kinds, [])]
    return np.array(pairs, dtype=int).reshape(-1, 2)


def best_of(verdicts: pd.DataFrame, own: np.ndarray, others: np.ndarray, count: int) -> pd.DataFrame:
    """Return the best match of each crystal: matched, rms, place (of the other; -1), reason; `count` rows.

    Args:
        verdicts: of `match.match_cells`, n rows.
        own, others: places of the crystals and of what they were compared with, (n,).
    """
    found = verdicts.assign(cell=own, place=others)
    result = pd.DataFrame({"matched": False, "rms": np.nan, "place": -1, "reason": ""}, index=range(count))
    best = found[found["matched"]].sort_values("rms", kind="stable").drop_duplicates("cell").set_index("cell")
    result.loc[best.index, ["rms", "place"]] = best[["rms", "place"]]
    result.loc[best.index, "matched"] = True
    failed = found[found["reason"] != ""].drop_duplicates("cell").set_index("cell")["reason"]
    result.loc[failed.index, "reason"] = failed
    return result.astype({"place": int})


def _nearest(samples: Sequence[ReducedCell | str], targets: Sequence[ReducedCell | str], side: str, tolerances: Tolerances, workers: int,
             with_rms: bool, limit: float) -> pd.DataFrame:  # fmt: skip
    """The best partner of each crystal on one side, `sample` or `target`."""
    pairs = alike_in_content(samples, targets)
    verdicts = match_cells(samples, targets, pairs, tolerances, workers, limit, with_rms)
    own, columns = (samples, (0, 1)) if side == "sample" else (targets, (1, 0))
    result = best_of(verdicts, pairs[:, columns[0]], pairs[:, columns[1]], len(own))
    for i, cell in enumerate(own):
        if isinstance(cell, str):
            result.loc[i, "reason"] = cell
    return result


def _by_content(cells: Sequence[ReducedCell | str]) -> dict[bytes, list[int]]:
    groups: dict[bytes, list[int]] = {}
    for place, cell in enumerate(cells):
        if not isinstance(cell, str):
            groups.setdefault(cell.kinds, []).append(place)
    return groups
