"""All metrics of one set of generated crystals against a reference, whoever generated them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals.plausibility import without_implausible
from crystalgen.matching.match import CSP, FIVEFOLD, TIME_LIMIT, TWICE, Tolerances, reduce_table
from crystalgen.matching.novelty import corrected_rms, nearest_sample, nearest_target, unique_classes
from crystalgen.metrics.coverage import Cutoffs, coverage
from crystalgen.metrics.distributions import PROPERTIES, wasserstein
from crystalgen.metrics.fingerprints import fingerprints
from crystalgen.metrics.symmetry import SYMPRECS, histogram, in_p1, space_groups, without_symmetry
from crystalgen.metrics.validity import composition_validity, structure_validity
from crystalgen.stability.hull import METASTABLE, STABLE
from crystalgen.utils.statistics import clustered_bootstrap

SETTINGS = {
    "0.2/0.3/5": Tolerances(),
    "0.4/0.6/10": TWICE,
    "1.0/1.5/25": FIVEFOLD,
    "0.3/0.5/10, by RMS": CSP,
}  # lengths/sites/angles: B's, twice and five times as wide, and that of crystal structure prediction
_DRAWS = 1000


@dataclass(frozen=True)
class Options:
    """How to assess.

    Args:
        folder: where fingerprints are kept.
        cutoffs: of coverage; None leaves coverage out.
        settings: of `SETTINGS`, those at which the reference is matched.
        workers: processes.
        limit: s for one crystal or pair.
    """

    folder: Path
    cutoffs: Cutoffs | None = None
    settings: tuple[str, ...] = tuple(SETTINGS)
    workers: int = 2
    limit: float = TIME_LIMIT


@dataclass(frozen=True)
class Assessment:
    """metrics: metric, value, low, high (95 %), n, reference (the reference's own value), meaning.

    crystals: a row for each one generated, with its verdicts and the reasons why one could not be had. found: a row for each
    of the reference and setting. space_groups: shares at the wider symprec.
    """

    metrics: pd.DataFrame
    crystals: pd.DataFrame
    found: pd.DataFrame
    space_groups: pd.DataFrame


def assess(generated: pd.DataFrame, broken: pd.DataFrame, reference: pd.DataFrame, training: pd.DataFrame, options: Options) -> Assessment:
    """Compute every metric of generated crystals.

    Args:
        generated: crystals; columns `e_above_hull` and, in the reference too, `energy_per_atom` (eV/atom) are used where they are
            plausible, whoever wrote them; `status` says why there is none.
        broken: id and reason of what could not be read; it counts as invalid and as not matched.
        reference: crystals to be covered, matched and compared with.
        training: crystals that are not new.
        options: see `Options`.

    Raises:
        ValueError: there is no crystal in the reference.
    """
    if reference.empty:
        raise ValueError("the reference has no crystals; expected some to compare with")
    all_known = training is reference  # then it is reduced once
    generated, reference = (without_implausible(table.reset_index(drop=True)) for table in (generated, reference))
    rows = _Rows(len(generated) + len(broken), generated["formula"], broken["id"])
    named = ["id", "formula", "reduced_formula", "nsites", *({"reading_notes"} & set(generated))]
    crystals = generated[named].assign(reason="")
    _LOG.info("reducing %d generated crystals and %d of the reference", len(generated), len(reference))
    cells, known = (reduce_table(table, options.workers, options.limit) for table in (generated, reference))
    crystals["reason"] = [cell if isinstance(cell, str) else "" for cell in cells]

    _LOG.info("validity and properties")
    crystals["valid_structure"], crystals["valid_composition"] = structure_validity(generated), composition_validity(generated)
    crystals["valid"] = crystals["valid_structure"] & crystals["valid_composition"]
    own = {"valid_structure": structure_validity(reference), "valid_composition": composition_validity(reference)}
    own["valid"] = own["valid_structure"] & own["valid_composition"]
    for column, meaning in _VALIDITY.items():
        rows.share(column, crystals[column], meaning, own[column].mean())

    valid = crystals["valid"].to_numpy(bool)
    for name, measure in PROPERTIES.items():
        if valid.any():
            measured = wasserstein(measure(generated[valid]), measure(reference), min(_DRAWS, 200))
            rows.add(f"wasserstein_{name}", measured, int(valid.sum()), f"Wasserstein distance of {_UNITS[name]}, of valid crystals", 0.0)
    if "energy_per_atom" in generated and "energy_per_atom" in reference:
        _energies(rows, generated["energy_per_atom"][valid].dropna(), reference["energy_per_atom"].dropna())
    if options.cutoffs:
        _LOG.info("fingerprints and coverage")
        _cover(rows, crystals, generated, reference, options)

    _LOG.info("symmetry")
    groups, their_groups = space_groups(generated), space_groups(reference)
    crystals = crystals.join(groups)
    for symprec in SYMPRECS:
        column = f"space_group_{symprec:g}"
        rows.share(f"p1_{symprec:g}", in_p1(groups[column]), f"in P1 at a symprec of {symprec:g} Å, of readable crystals",
                   without_symmetry(their_groups[column]), broken_count=False)  # fmt: skip

    _LOG.info("repeats, and what is new")
    crystals["unique"] = unique_classes(cells, workers=options.workers, limit=options.limit) == np.arange(len(cells))
    old = known if all_known else reduce_table(training, options.workers, options.limit)
    seen = nearest_target(cells, old, workers=options.workers, with_rms=False, limit=options.limit)
    crystals["novel"] = ~seen["matched"].to_numpy(bool) & (crystals["reason"] == "").to_numpy()
    crystals["reason"] = crystals["reason"].where(crystals["reason"] != "", seen["reason"])
    rows.share("unique", crystals["unique"] & (crystals["reason"] == ""), "the first of the crystals that StructureMatcher calls alike")
    rows.share("novel", crystals["novel"], "unlike every training crystal by StructureMatcher")
    new = crystals["unique"] & crystals["novel"] & crystals["valid"]
    rows.share("valid_unique_novel", new, "valid by both measures, unique and novel")
    if "e_above_hull" in generated:
        crystals["energy_status"] = generated["status"]
        _stability(rows, crystals, generated["e_above_hull"], crystals["unique"] & crystals["novel"])

    _LOG.info("matching the reference")
    found = _matches(rows, cells, known, reference, valid, options)
    crystals = pd.concat([crystals, broken.assign(valid_structure=False, valid_composition=False, valid=False)], ignore_index=True)
    crystals["nsites"] = crystals["nsites"].astype("Int64")  # unknown of what is broken
    return Assessment(
        rows.table(), crystals, found, histogram(groups[f"space_group_{SYMPRECS[-1]:g}"], their_groups[f"space_group_{SYMPRECS[-1]:g}"])
    )


_LOG = logging.getLogger(__name__)
_VALIDITY = {
    "valid_structure": "no two atoms within 0.5 Å, a volume above 0.1 Å^3",
    "valid_composition": "neutral by SMACT (list smact14, Pauling test; elements and alloys pass)",
    "valid": "both",
}
_UNITS = {"density": "the density (g/cm^3)", "elements": "the number of elements"}


def _cover(rows: "_Rows", crystals: pd.DataFrame, generated: pd.DataFrame, reference: pd.DataFrame, options: Options) -> None:
    one, other = (fingerprints(table, options.folder, options.workers, options.limit) for table in (generated, reference))
    crystals["no_fingerprint"] = [one.failed.get(row, "") for row in range(len(generated))]
    if not len(one.rows) or not len(other.rows):
        return
    at = f"cut-offs {options.cutoffs.structure:g}/{options.cutoffs.composition:g}"
    meanings = {"coverage": f"CrystalNN's and Magpie's fingerprints, {at}", "amsd": "nearest structure", "amcd": "nearest composition"}
    for name, values in coverage(one, rows.asked, other, options.cutoffs).items():
        kind, _, side = name.partition("_")
        table = reference if side == "recall" else generated
        formulas = [table["formula"].iloc[i] if i >= 0 else f"lost {i}" for i in values.index]
        failed = len((other if side == "recall" else one).failed)
        rows.mean(
            name,
            values,
            formulas,
            f"{side}: {meanings[kind]}; {failed} of the {'reference' if side == 'recall' else 'generated'} without a fingerprint",
        )


def _energies(rows: "_Rows", generated: pd.Series, reference: pd.Series) -> None:
    if len(generated) and len(reference):
        measured = wasserstein(generated.to_numpy(float), reference.to_numpy(float), min(_DRAWS, 200))
        meaning = f"Wasserstein distance of the energy by a potential (eV/atom), of valid crystals; {len(reference)} of the reference"
        rows.add("wasserstein_energy", measured, len(generated), meaning, 0.0)


def _stability(rows: "_Rows", crystals: pd.DataFrame, above: pd.Series, new: pd.Series) -> None:
    crystals["e_above_hull"] = above.to_numpy(float)
    unknown = int(above.isna().sum())
    for name, bound in (("stable", STABLE), ("metastable", METASTABLE)):
        under = (above < bound).to_numpy(bool)
        note = f"less than {bound * 1000:g} meV/atom above the hull; {unknown} of unknown or implausible energy count as not"
        rows.share(name, under, note)
        rows.share(f"{name}_unique_novel", under & new.to_numpy(bool), f"{name}, unique and novel (S.U.N.)")


def _matches(rows: "_Rows", cells: list, known: list, reference: pd.DataFrame, valid: np.ndarray, options: Options) -> pd.DataFrame:
    """METRe and cRMSE at each setting, of all crystals and of the valid ones alone."""
    found = []
    for setting in options.settings:
        for kind, kept in (("all", np.ones(len(cells), bool)), ("valid", valid)):
            chosen = [cell for cell, keep in zip(cells, kept, strict=True) if keep]
            matches = nearest_sample(chosen, known, SETTINGS[setting], options.workers, limit=options.limit)
            at = f"{setting}, {kind} crystals"
            rows.mean(f"metre, {at}", matches["matched"], reference["formula"], "of the reference, matched by some generated crystal")
            rms = corrected_rms(matches, SETTINGS[setting])
            rows.mean(f"crmse, {at}", rms, reference["formula"], "least displacement; unmatched ones count as the tolerance of sites")
            names = pd.Series(np.flatnonzero(kept)).reindex(matches["place"]).to_numpy(float)
            found.append(reference[["id", "formula"]].assign(setting=setting, of=kind, matched=matches["matched"], rms=matches["rms"],
                                                             generated_row=names, reason=matches["reason"]))  # fmt: skip
    return pd.concat(found, ignore_index=True)


class _Rows:
    """Collects metrics; shares are of all that was asked for, what could not be read among it."""

    def __init__(self, asked: int, formulas: pd.Series, lost: pd.Series):
        self.asked = asked
        self._formulas = [*formulas, *(f"lost {name}" for name in lost)]
        self._rows: list[dict] = []

    def add(self, metric: str, interval: dict, n: int, meaning: str, reference: float = np.nan) -> None:
        self._rows.append({"metric": metric, **interval, "n": n, "reference": reference, "meaning": meaning})

    def mean(self, metric: str, values: pd.Series, clusters, meaning: str, reference: float = np.nan) -> None:
        values = np.asarray(values, float)
        if not len(values):
            return
        low, high = clustered_bootstrap(values, np.asarray(clusters, str), _DRAWS)
        self.add(metric, {"value": float(values.mean()), "low": low, "high": high}, len(values), meaning, reference)

    def share(self, metric: str, verdicts, meaning: str, reference: float = np.nan, broken_count: bool = True) -> None:
        values = np.asarray(verdicts, float)
        lost = self.asked - len(values) if broken_count else 0
        clusters = self._formulas if broken_count else self._formulas[: len(values)]
        self.mean(metric, np.concatenate([values, np.zeros(lost)]), clusters, meaning, reference)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows, columns=["metric", "value", "low", "high", "n", "reference", "meaning"])
