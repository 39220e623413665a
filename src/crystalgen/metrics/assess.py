"""All metrics of one set of generated crystals against a reference, whoever generated them."""

import functools
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals.plausibility import without_implausible
from crystalgen.matching.disordered import disordered_verdicts
from crystalgen.matching.match import CSP, FIVEFOLD, TIME_LIMIT, TWICE, Tolerances, match_cells, reduce_table
from crystalgen.matching.novelty import alike_in_content, best_of, corrected_rms, nearest_target, unique_classes
from crystalgen.metrics.coverage import Cutoffs, coverage
from crystalgen.metrics.distributions import PROPERTIES, wasserstein
from crystalgen.metrics.fingerprints import Fingerprints, fingerprints
from crystalgen.metrics.metric_rows import DRAWS, MetricRows
from crystalgen.metrics.paired import pair_by_target, paired_rates
from crystalgen.metrics.symmetry import SYMPRECS, histogram, in_p1, space_groups, without_symmetry
from crystalgen.metrics.validity import composition_validity, validity
from crystalgen.stability.hull import METASTABLE, STABLE

SETTINGS = {
    "0.2/0.3/5": Tolerances(),
    "0.4/0.6/10": TWICE,
    "1.0/1.5/25": FIVEFOLD,
    "0.3/0.5/10, by RMS": CSP,
}  # lengths/sites/angles: B's, twice and five times as wide, and that of crystal structure prediction


@dataclass(frozen=True)
class Options:
    """How to assess.

    Args:
        folder: where fingerprints are kept.
        cutoffs: of coverage; None leaves coverage out.
        settings: of `SETTINGS`, those at which the reference is matched.
        workers: processes.
        limit: s of CPU time for one crystal or pair.
        by_order: align samples with the reference by order where no column does (see `pair_by_target`).
        disordered: look for what is unique and novel by MatterGen's matching of disordered crystals, too.
    """

    folder: Path
    cutoffs: Cutoffs | None = None
    settings: tuple[str, ...] = tuple(SETTINGS)
    workers: int = 2
    limit: float = TIME_LIMIT
    by_order: bool = False
    disordered: bool = False


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
        broken: id and reason of what could not be read; it counts as invalid and as not matched, its composition by `reduced_formula`,
            if that is known.
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
    pairs = pair_by_target(generated, reference, broken, options.by_order)
    rows = MetricRows(len(generated) + len(broken), generated["formula"], broken["id"])
    named = ["id", "formula", "reduced_formula", "nsites", *({"reading_notes"} & set(generated))]
    crystals = generated[named].assign(reason="")
    _LOG.info("reducing %d generated crystals and %d of the reference", len(generated), len(reference))
    cells, known = (reduce_table(table, options.workers, options.limit) for table in (generated, reference))
    crystals["reason"] = [cell if isinstance(cell, str) else "" for cell in cells]

    _LOG.info("validity and properties")
    prints = None
    if options.cutoffs:
        _LOG.info("fingerprints")
        prints = tuple(fingerprints(table, options.folder, options.workers, options.limit) for table in (generated, reference))
        crystals["no_fingerprint"] = [prints[0].failed.get(row, "") for row in range(len(generated))]
    own, theirs = (
        validity(table, prints and functools.partial(np.isin, test_elements=prints[i].rows))
        for i, table in enumerate((generated, reference))
    )
    crystals, lost = crystals.join(own), _lost_compositions(broken)
    for column, meaning in _VALIDITY.items():
        values = pd.concat([own[column], lost]) if column == "valid_composition" else own[column]
        rows.share(column, values, meaning, theirs[column].mean())

    published = own["valid_published"].to_numpy(bool)
    for name, measure in PROPERTIES.items():
        if published.any():
            measured = wasserstein(measure(generated[published]), measure(reference), min(DRAWS, 200))
            note = f"Wasserstein distance of {_UNITS[name]}, of crystals valid by the published definition"
            rows.add(f"wasserstein_{name}", measured, int(published.sum()), note, 0.0)
    valid = own["valid"].to_numpy(bool)
    if "energy_per_atom" in generated and "energy_per_atom" in reference:
        _energies(rows, generated["energy_per_atom"][valid].dropna(), reference["energy_per_atom"].dropna())
    if options.cutoffs:
        _cover(rows, *prints, generated, reference, options.cutoffs)

    _LOG.info("symmetry")
    groups, their_groups = (space_groups(table, options.workers, options.limit) for table in (generated, reference))
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
    if options.disordered:
        _LOG.info("repeats, and what is new, of disordered crystals")
        _disordered(rows, crystals, generated, training, options)
    rows.share("valid_unique_novel", new, "valid by both measures, unique and novel")
    if "e_above_hull" in generated:
        crystals["energy_status"] = generated["status"]
        _stability(rows, crystals, generated["e_above_hull"], crystals["unique"] & crystals["novel"])

    _LOG.info("matching the reference")
    found, verdicts = _matches(rows, cells, known, reference, own, theirs, pairs, options)
    crystals = crystals.join(verdicts)
    crystals = pd.concat([crystals, broken.assign(**dict.fromkeys(_VALIDITY, False) | {"valid_composition": lost})], ignore_index=True)
    crystals["nsites"] = crystals["nsites"].astype("Int64")  # unknown of what is broken
    return Assessment(
        rows.table(), crystals, found, histogram(groups[f"space_group_{SYMPRECS[-1]:g}"], their_groups[f"space_group_{SYMPRECS[-1]:g}"])
    )


_LOG = logging.getLogger(__name__)
_VALIDITY = {
    "valid_structure": "no two atoms within 0.5 Å, an atom and its own image among them, a volume above 0.1 Å^3",
    "valid_structure_published": "the same without an atom's own images, as CDVAE's and DiffCSP's scripts",
    "valid_composition": "neutral by SMACT (list smact14, Pauling test; elements and alloys pass), by composition alone",
    "valid": "by structure and by composition",
    "valid_published": "by CDVAE's definition: distances between different atoms, composition, fingerprints",
}
_UNITS = {"density": "the density (g/cm^3)", "elements": "the number of elements"}


def _lost_compositions(broken: pd.DataFrame) -> pd.Series:
    """Whether the composition of each crystal that could not be read is valid; False where it is not known."""
    known = broken["reduced_formula"].notna() if "reduced_formula" in broken else pd.Series(False, index=broken.index)
    verdicts = pd.Series(False, index=broken.index, dtype=bool)
    if known.any():
        verdicts[known] = composition_validity(broken[known])
    return verdicts


def _cover(
    rows: MetricRows, one: Fingerprints, other: Fingerprints, generated: pd.DataFrame, reference: pd.DataFrame, cutoffs: Cutoffs
) -> None:
    if not len(one.rows) or not len(other.rows):
        return
    at = f"cut-offs {cutoffs.structure:g}/{cutoffs.composition:g}"
    meanings = {"coverage": f"CrystalNN's and Magpie's fingerprints, {at}", "amsd": "nearest structure", "amcd": "nearest composition"}
    for name, values in coverage(one, rows.asked, other, cutoffs).items():
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


def _disordered(rows: MetricRows, crystals: pd.DataFrame, generated: pd.DataFrame, training: pd.DataFrame, options: Options) -> None:
    found = disordered_verdicts(generated, training, options.workers, options.limit)
    crystals["unique_disordered"], crystals["novel_disordered"] = found["unique"].to_numpy(), found["novel"].to_numpy()
    late = f"; {(found['reason'] != '').sum()} had a comparison that failed"
    note = "by MatterGen's matching, for which elements that may replace each other are one"
    rows.share("unique_disordered", found["unique"], f"unique {note}{late}")
    rows.share("novel_disordered", found["novel"], f"novel {note}")


def _energies(rows: MetricRows, generated: pd.Series, reference: pd.Series) -> None:
    if len(generated) and len(reference):
        measured = wasserstein(generated.to_numpy(float), reference.to_numpy(float), min(DRAWS, 200))
        meaning = f"Wasserstein distance of the energy by a potential (eV/atom), of valid crystals; {len(reference)} of the reference"
        rows.add("wasserstein_energy", measured, len(generated), meaning, 0.0)


def _stability(rows: MetricRows, crystals: pd.DataFrame, above: pd.Series, new: pd.Series) -> None:
    crystals["e_above_hull"] = above.to_numpy(float)
    unknown = int(above.isna().sum())
    for name, bound in (("stable", STABLE), ("metastable", METASTABLE)):
        under = (above < bound).to_numpy(bool)
        note = f"less than {bound * 1000:g} meV/atom above the hull; {unknown} of unknown or implausible energy count as not"
        rows.share(name, under, note)
        rows.share(f"{name}_unique_novel", under & new.to_numpy(bool), f"{name}, unique and novel (S.U.N.)")


def _matches(rows: MetricRows, cells: list, known: list, reference: pd.DataFrame, own: pd.DataFrame, theirs: pd.DataFrame,
             pairs: pd.DataFrame | None, options: Options) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """METRe and cRMSE, match rate and RMSE of pairs, at each setting and by each filter.

    Filtered crystals are those of DiffCSP's and OMatG's scripts: sample and target are valid by the published definition; for the best
    of several samples a target DiffCSP asks it of the sample alone. Valid crystals are ours: the sample is, by our definition.

    Returns:
        a row for each of the reference, setting and filter; and columns for the table of samples.
    """
    alike = alike_in_content(cells, known)
    found, columns = [], {}
    for setting in options.settings:
        tolerances = SETTINGS[setting]
        verdicts = match_cells(cells, known, alike, tolerances, options.workers, options.limit)
        for kind, (counts, _) in _filters(own, theirs, *alike.T).items():
            matches = best_of(verdicts[counts], alike[counts, 1], alike[counts, 0], len(known))
            at = f"{setting}, {kind} crystals"
            rows.mean(f"metre, {at}", matches["matched"], reference["formula"], "of the reference, matched by some generated crystal")
            rms = corrected_rms(matches, tolerances)
            rows.mean(f"crmse, {at}", rms, reference["formula"], "least displacement; unmatched ones count as the tolerance of sites")
            names = matches["place"].where(matches["place"] >= 0).astype(float)
            found.append(reference[["id", "formula"]].assign(setting=setting, of=kind, matched=matches["matched"], rms=matches["rms"],
                                                             generated_row=names, reason=matches["reason"]))  # fmt: skip
        if pairs is None:
            continue
        verdicts = match_cells(cells, known, pairs[["sample", "target"]].to_numpy(), tolerances, options.workers, options.limit)
        columns[f"rms, {setting}"] = pd.Series(verdicts["rms"].to_numpy(), pairs["sample"])
        filters = _filters(own, theirs, pairs["sample"], pairs["target"])
        for name, values in paired_rates(pairs, verdicts, filters, len(known)).items():
            measure, kind = name.split(", ")
            meaning = "of the reference, matched by its own sample" if measure.startswith("match") else "mean displacement of those matched"
            rows.mean(f"{measure}, {setting}, {kind} crystals", values, reference["formula"].iloc[values.index], meaning)
    return pd.concat(found, ignore_index=True), pd.DataFrame(columns)


def _filters(own: pd.DataFrame, theirs: pd.DataFrame, samples, targets) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name, whether each pair of places counts for one sample a target, and for the best of several."""
    everything = np.ones(len(samples), bool)
    published, valid = (own[name].to_numpy()[samples] for name in ("valid_published", "valid"))
    both = published & theirs["valid_published"].to_numpy()[targets]
    return {"all": (everything, everything), "filtered": (both, published), "valid": (valid, valid)}
