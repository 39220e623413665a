"""Coverage: how much of the reference was generated, and how much of what was generated is like the reference (CDVAE's COV).

As CDVAE has it, the nearest structure and the nearest composition are looked for apart: a crystal counts as covered if
some crystal of the other set has its structure and some, perhaps another, its composition.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from crystalgen.metrics.fingerprints import Fingerprints

_CHUNK = 1000  # generated crystals whose distances from all of the reference are held at once


@dataclass(frozen=True)
class Cutoffs:
    """Distances of fingerprints within which two crystals are alike; CDVAE's differ between its sets."""

    structure: float
    composition: float


def coverage(generated: Fingerprints, requested: int, reference: Fingerprints, cutoffs: Cutoffs) -> dict[str, pd.Series]:
    """Return what each coverage measure is the mean of, by the crystal's place in its table.

    Args:
        generated: of the crystals that were decoded.
        requested: how many were asked for; what was lost or has no fingerprint counts as not covered.
        reference: of the crystals to be covered; those without a fingerprint are left out.
        cutoffs: of the set.

    Returns:
        coverage_recall, amsd_recall and amcd_recall of the reference crystals; coverage_precision (of all that were asked
        for; lost ones stand last), amsd_precision and amcd_precision of the generated ones. AMSD and AMCD are the
        distances from the nearest structure and the nearest composition.

    Raises:
        ValueError: there is no fingerprint to compare.
    """
    if not len(generated.rows) or not len(reference.rows):
        raise ValueError("no crystal has a fingerprint; expected some generated and some reference crystals")
    structure = _nearest(generated.structure, reference.structure)
    composition = _nearest(generated.composition, reference.composition)
    covered = [(s <= cutoffs.structure) & (c <= cutoffs.composition) for s, c in zip(structure, composition, strict=True)]
    asked = np.zeros(requested)
    asked[: len(generated.rows)] = covered[0]
    lost = -1 - np.arange(requested - len(generated.rows))  # places of none
    return {
        "coverage_recall": pd.Series(covered[1].astype(float), reference.rows),
        "coverage_precision": pd.Series(asked, np.concatenate([generated.rows, lost])),
        "amsd_recall": pd.Series(structure[1], reference.rows),
        "amsd_precision": pd.Series(structure[0], generated.rows),
        "amcd_recall": pd.Series(composition[1], reference.rows),
        "amcd_precision": pd.Series(composition[0], generated.rows),
    }


def _nearest(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of one (k, f) the distance from its nearest of the other (r, f), and the reverse: (k,), (r,)."""
    of_one, of_other = np.empty(len(one)), np.full(len(other), np.inf)
    for start in range(0, len(one), _CHUNK):
        found = cdist(one[start : start + _CHUNK], other)
        of_one[start : start + _CHUNK] = found.min(axis=1)
        of_other = np.minimum(of_other, found.min(axis=0))
    return of_one, of_other
