"""Every metric by name: its label, its unit and, in a sentence, what it is. Tables and figures take their words from here."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Words for a metric."""

    label: str
    note: str = ""
    unit: str = ""

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


_COVERAGE = "by the fingerprints of CrystalNN and Magpie at CDVAE's cut-offs"
METRICS = {
    "match_rate": Metric(
        "Match rate",
        "the share of targets that match the sample generated for them, by StructureMatcher with its default tolerances 0.2/0.3/5 "
        "(lengths, sites, angles) and without a filter",
    ),
    "match_rate_csp": Metric("Match rate (0.3/0.5/10)", "the match rate with the wider tolerances of CDVAE and DiffCSP, without a filter"),
    "match_rate_csp_filtered": Metric(
        "Filtered (0.3/0.5/10)",
        "the same with the filter of DiffCSP's script: what is not valid by distances, SMACT and fingerprints does not match, sample or "
        "target, of several samples the sample alone",
    ),
    "match_rate_csp_valid": Metric(
        "Match rate (0.3/0.5/10), valid", "the same with our filter: no two atoms of the sample are closer than 0.5 Å"
    ),
    "match_rate_csp_seen_prototype": Metric("Prototype seen", "targets that match a training crystal with its elements exchanged"),
    "match_rate_csp_unseen_prototype": Metric("Prototype unseen", "all other targets: no training crystal can be copied for them"),
    "match_rate_csp_seen_formula": Metric("Formula seen", "targets whose formula a training crystal has"),
    "match_rate_csp_unseen_formula": Metric("Formula unseen", "all other targets"),
    "rmse_csp": Metric("RMSE (0.3/0.5/10)", "the mean displacement of matched samples, in units of (volume / sites)^(1/3)"),
    "metre_csp": Metric("METRe (0.3/0.5/10)", "the share of targets that match any target's sample"),
    "crmse_csp": Metric("cRMSE (0.3/0.5/10)", "the displacement of METRe's matches; an unmatched target counts with 0.5"),
    "match_rate_valid": Metric("Matched and valid", "matched, and no two atoms closer than 0.5 Å"),
    "match_rate_x2": Metric("Match rate, ×2", "the match rate with tolerances twice as wide"),
    "match_rate_x5": Metric(
        "Match rate, ×5", "the match rate with tolerances five times as wide, at which crystals match that nobody would call alike"
    ),
    "rmse": Metric("RMSE of the matched", "the mean displacement of matched samples, in units of (volume / sites)^(1/3)"),
    "metre": Metric("METRe", "the share of targets that match any sample, so that another polymorph of the formula is no failure"),
    "crmse": Metric("cRMSE", "the displacement of METRe's matches; an unmatched target counts with the tolerance of sites"),
    "structure_validity": Metric("Structure validity", "no two atoms are closer than 0.5 Å"),
    "composition_validity": Metric(
        "Composition validity", "the composition can be neutral by SMACT with its list smact14; alloys and elements pass"
    ),
    "valid": Metric("Both valid", "valid by structure and by composition"),
    "coverage_recall": Metric("Coverage, recall", f"the share of real crystals with a generated one nearby, {_COVERAGE}"),
    "coverage_precision": Metric("Coverage, precision", f"the share of generated crystals with a real one nearby, {_COVERAGE}"),
    "amsd_recall": Metric("Nearest structure (AMSD), recall"),
    "amsd_precision": Metric("Nearest structure (AMSD), precision"),
    "amcd_recall": Metric("Nearest composition (AMCD), recall"),
    "amcd_precision": Metric("Nearest composition (AMCD), precision"),
    "wasserstein_density": Metric("Density, Wasserstein", "the distance of valid samples' densities from those of real crystals", "g/cm³"),
    "wasserstein_elements": Metric("Elements, Wasserstein", "the distance of their numbers of different elements"),
    "wasserstein_energy": Metric("Energy, Wasserstein", "the distance of their energies by a potential", "eV/atom"),
    "p1_0.01": Metric("P1 at 0.01 Å", "the share of crystals without symmetry at that symprec"),
    "p1_0.1": Metric("P1 at 0.1 Å"),
    "unique": Metric("Unique", "the first of the samples that StructureMatcher calls alike"),
    "novel": Metric("Novel", "unlike every training crystal by StructureMatcher"),
}
METRICS |= {
    "valid_structure": METRICS["structure_validity"],
    "valid_structure_published": Metric("Structure validity, published", "the same without an atom's own images"),
    "valid_composition": METRICS["composition_validity"],
    "valid_published": Metric("Valid, published", "valid by CDVAE's definition: distances, composition and fingerprints"),
    "unique_disordered": Metric("Unique, disordered", "unique where elements that may replace each other are one"),
    "novel_disordered": Metric("Novel, disordered", "novel where elements that may replace each other are one"),
}
MEASURES = ("match_rate", "match_rate_valid", "match_rate_x2", "match_rate_x5", "rmse", "metre", "crmse")
VALIDITY = ("structure_validity", "composition_validity", "coverage_recall", "coverage_precision")
DE_NOVO = (*VALIDITY, "wasserstein_density", "wasserstein_elements", "p1_0.01", "p1_0.1", "unique", "novel")


def metric(name: str) -> Metric:
    """Return what is known of a metric; `match_rate_csp_20` is the best of 20 samples, an unknown one stands by its name."""
    stem, _, samples = name.rpartition("_")
    if stem in METRICS and samples.isdigit():
        return Metric(f"{METRICS[stem].label}, best of {samples}")
    return METRICS.get(name, Metric(name.replace("_", " ").capitalize()))


def notes(headings: Collection[str]) -> str:
    """Return a sentence for each of a table's columns that is a metric and needs one, for the note below the table."""
    known = {found.heading: f"{found.label}: {found.note}." for found in METRICS.values() if found.note}
    told = [known.get(heading, "") for heading in headings]
    best = (
        ["Best of several: a target counts as matched if one of its samples matches."] if any(", best of " in h for h in headings) else []
    )
    return " ".join([text for text in told if text] + best)
