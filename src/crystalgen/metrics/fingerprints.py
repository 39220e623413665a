"""Fingerprints of structure and composition as CDVAE has them: CrystalNN's order parameters and Magpie's statistics."""

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import spglib
from pymatgen.core import Composition, Structure

from crystalgen.crystals import to_structures
from crystalgen.utils import paths
from crystalgen.utils.cache import compute, versions
from crystalgen.utils.timeout import TimeLimit, time_limit

TIME_LIMIT = 20.0  # s for one crystal's neighbours
_BATCH = 16
_SITE_FEATURES = 61
_SYMPREC = 1e-5  # Å; sites that symmetry makes one to this have one environment


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
        limit: s for one crystal.
    """
    outcomes = compute(order_parameters, to_structures(table), {"limit": limit}, versions("matminer", "pymatgen"), folder, workers, _BATCH)
    failed = {row: outcome["status"] for row, outcome in enumerate(outcomes) if outcome["values"] is None}
    rows = np.array([row for row in range(len(outcomes)) if row not in failed], dtype=int)
    structure = np.array([outcomes[row]["values"] for row in rows]).reshape(len(rows), _SITE_FEATURES)
    return Fingerprints(rows, structure, magpie(table["reduced_formula"].iloc[rows]), failed)


def order_parameters(structure: Structure, limit: float) -> dict:
    """status (empty, or why there are none) and values: the mean over sites of CrystalNN's order parameters, 61 numbers."""
    try:
        with time_limit(limit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            distinct, multiplicity = _distinct_sites(structure)
            sites = [_site_featurizer().featurize(structure, site) for site in distinct.tolist()]
            values = np.average(sites, axis=0, weights=multiplicity)
    except TimeLimit as error:
        return {"status": f"neighbours: {error}", "values": None}
    except Exception as error:  # CrystalNN raises types of its own; a broken crystal is a row with a reason
        return {"status": f"neighbours: {type(error).__name__}: {' '.join(str(error).split())[:80]}", "values": None}
    if not np.isfinite(values).all():
        return {"status": "neighbours: no finite order parameters", "values": None}
    return {"status": "", "values": values.round(8).tolist()}


def magpie(reduced_formulas: pd.Series) -> np.ndarray:
    """Magpie's statistics of each composition, standardised as CDVAE does, (n, 132); what is not known is 0, its mean."""
    scale = _scaling()
    known = {formula: _composition_featurizer().featurize(Composition(formula)) for formula in pd.unique(reduced_formulas)}
    values = np.array([known[formula] for formula in reduced_formulas], dtype=float).reshape(len(reduced_formulas), len(scale))
    return np.nan_to_num((values - scale["mean"].to_numpy()) / scale["std"].to_numpy())


def _distinct_sites(structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """One site of each orbit, and how many it stands for; every site for itself where there is no symmetry."""
    cell = structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=_SYMPREC)
    except Exception:  # spglib raises types of its own for cells that it cannot read
        dataset = None
    if dataset is None:
        return np.arange(len(structure)), np.ones(len(structure))
    return np.unique(dataset.equivalent_atoms, return_counts=True)


@functools.cache
def _site_featurizer():
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint  # seconds to import; a study without coverage needs none

    return CrystalNNFingerprint.from_preset("ops")


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
