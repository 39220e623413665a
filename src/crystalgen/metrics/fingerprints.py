"""Fingerprints of structure and composition as CDVAE has them: CrystalNN's order parameters and Magpie's statistics."""

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Structure

from crystalgen.crystals import to_structures
from crystalgen.metrics.crystal_nn import prepare, site_fingerprint
from crystalgen.utils import paths
from crystalgen.utils.cache import Limited, compute, versions

TIME_LIMIT = 20.0  # s of CPU time for one crystal's neighbours
_BATCH = 16
_SITE_FEATURES = 61


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of n crystals, of which k succeeded.

    Args:
        rows: places of these k in the table, (k,).
        structure: order parameters, the mean over sites, (k, 61).
        composition: Magpie's statistics in the units of CDVAE's scaler, (k, 132).
        failed: reason by place, of the others.
    """

    rows: np.ndarray
    structure: np.ndarray
    composition: np.ndarray
    failed: dict[int, str]

    def subset(self, chosen: np.ndarray) -> "Fingerprints":
        """Return the fingerprints of the crystals whose entry in the mask (n,) is true; places stay those of the whole table."""
        keep = chosen[self.rows]
        failed = {row: reason for row, reason in self.failed.items() if chosen[row]}
        return Fingerprints(self.rows[keep], self.structure[keep], self.composition[keep], failed)


def fingerprints(table: pd.DataFrame, folder: Path, workers: int = 2, limit: float = TIME_LIMIT) -> Fingerprints:
    """Return both fingerprints of each crystal; a crystal that has none is counted with the reason.

    Args:
        table: crystals.
        folder: where finished ones are kept by content; a second run, or a second table with the same crystals, only reads.
        workers: processes.
        limit: s of CPU time for one crystal; a process that takes longer is ended.
    """
    outcomes = _outcomes(table, folder, workers, limit)
    failed = {row: outcome["status"] for row, outcome in enumerate(outcomes) if outcome["values"] is None}
    rows = np.array([row for row in range(len(outcomes)) if row not in failed], dtype=int)
    structure = np.array([outcomes[row]["values"] for row in rows]).reshape(len(rows), _SITE_FEATURES)
    return Fingerprints(rows, structure, magpie(table["reduced_formula"].iloc[rows]), failed)


def has_fingerprint(table: pd.DataFrame, folder: Path, workers: int = 2, limit: float = TIME_LIMIT) -> np.ndarray:
    """Return whether each crystal has fingerprints, bool (n,); see `fingerprints`."""
    return np.array([outcome["values"] is not None for outcome in _outcomes(table, folder, workers, limit)], dtype=bool)


def _outcomes(table: pd.DataFrame, folder: Path, workers: int, limit: float) -> list[dict]:
    limited, basis = Limited(limit, _without, prepare), versions("matminer", "pymatgen", "scipy")
    return compute(order_parameters, to_structures(table), {}, basis, folder, workers, _BATCH, limited=limited)


def order_parameters(structure: Structure) -> dict:
    """status (empty, or why there are none) and values: the mean over sites of CrystalNN's order parameters, 61 numbers."""
    try:
        values = np.mean([site_fingerprint(structure, site) for site in range(len(structure))], axis=0)
    except Exception as error:  # Qhull raises types of its own; a broken crystal is a row with a reason
        return _without(f"{type(error).__name__}: {' '.join(str(error).split())[:80]}")
    if not np.isfinite(values).all():
        return _without("no finite order parameters")
    return {"status": "", "values": values.round(8).tolist()}


def _without(reason: str) -> dict:
    return {"status": f"neighbours: {reason}", "values": None}


def magpie(reduced_formulas: pd.Series) -> np.ndarray:
    """Magpie's statistics of each composition, standardised as CDVAE does, (n, 132); what is not known is 0, its mean."""
    scale = _scaling()
    known = {formula: _composition_featurizer().featurize(Composition(formula)) for formula in pd.unique(reduced_formulas)}
    values = np.array([known[formula] for formula in reduced_formulas], dtype=float).reshape(len(reduced_formulas), len(scale))
    return np.nan_to_num((values - scale["mean"].to_numpy()) / scale["std"].to_numpy())


@functools.cache
def _composition_featurizer():
    from matminer.featurizers.composition.composite import ElementProperty

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that unknown properties stay unknown: they are dealt with here
        return ElementProperty.from_preset("magpie")


@functools.cache
def _scaling() -> pd.DataFrame:
    scale = pd.read_csv(paths.REFERENCE / "composition_scaling.csv", comment="#")
    labels = _composition_featurizer().feature_labels()
    if scale["feature"].tolist() != labels:
        raise ValueError(f"composition_scaling.csv: expected matminer's {len(labels)} Magpie features in their order")
    return scale
