"""Why a generated crystal is not the one that was asked for: which of StructureMatcher's questions it fails."""

import pandas as pd

from crystalgen.matching.match import reduce_table
from crystalgen.matching.matcher import Tolerances, compare
from crystalgen.matching.reduction import ReducedCell

_ANYWHERE = 100.0  # atomic spacings: sites may lie anywhere


def explain_verdicts(samples: pd.DataFrame, targets: pd.DataFrame, tolerances: Tolerances = Tolerances()) -> list[str]:
    """Say of each sample and the target in the same row why they match or do not, see `explain`."""
    cells = zip(reduce_table(samples, workers=1), reduce_table(targets, workers=1), strict=True)
    return [explain(sample, target, tolerances) for sample, target in cells]


def explain(sample: ReducedCell | str, target: ReducedCell | str, tolerances: Tolerances = Tolerances()) -> str:
    """Say why two crystals of `reduce_table` match or do not: the atoms, then the cell, then the sites.

    Displacements are root mean squares in units of (volume / sites)^(1/3), about the distance of neighbours.
    """
    for cell in (sample, target):
        if isinstance(cell, str):
            return cell
    if sample.kinds != target.kinds:
        return f"other atoms in the primitive cell: {len(sample.numbers)} in place of {len(target.numbers)}"
    matched, rms = compare(sample, target, tolerances)
    if matched:
        return f"match: atoms {rms:.2f} of their spacing off"
    fits, rms = compare(sample, target, Tolerances(tolerances.ltol, _ANYWHERE, tolerances.angle_tol))
    if fits:
        return f"the cell fits, the atoms do not: {rms:.2f} of their spacing off as a mean, and one by more than {tolerances.stol:g}"
    return f"the cell does not fit: no lengths within {tolerances.ltol:.0%} and angles within {tolerances.angle_tol:g}° of the target's"
