"""Paper A's Table 1, and match rates given the composition: ours beside what was published on the same data set."""

import numpy as np
import pandas as pd

from crystalgen.metrics.study_results import Row
from crystalgen.metrics.symmetry import SYMPRECS, space_groups, without_symmetry
from crystalgen.metrics.validity import composition_validity, structure_validity
from crystalgen.report.style import model_label
from crystalgen.report.tables import SYMMETRY, format_interval, format_seeds

UNCONDITIONAL = {
    "structure_validity": "Structure validity",
    "composition_validity": "Composition validity",
    "coverage_recall": "Coverage, recall",
    "coverage_precision": "Coverage, precision",
    "wasserstein_density": "Density, Wasserstein (g/cm³)",
    "wasserstein_elements": "Elements, Wasserstein",
    **SYMMETRY,
}
UNCONDITIONAL_NOTE = (
    "Structure validity: no two atoms closer than 0.5 Å. Composition validity: SMACT with its list smact14, alloys and elements pass. "
    "Coverage: of CrystalNN's and Magpie's fingerprints, with CDVAE's cut-offs; the nearest structure and the nearest composition may be "
    "those of two crystals, so that right structures of wrong compositions count. A draw of training crystals is what copying would give. "
    "P1: without symmetry at that symprec. Unique: the first of the samples that StructureMatcher calls alike; novel: unlike every "
    "training crystal by it. Distances are of valid samples from the test crystals; their intervals redraw the samples. Published "
    "rows are for other samples and the set's own test split, and hold no intervals."
)
CSP_NOTE = (
    "StructureMatcher at 0.3/0.5/10 (length, site, angle), root mean square displacement, samples with atoms closer than 0.5 Å do not "
    "match; as CDVAE and DiffCSP count, but for compositions that SMACT rejects, which they drop. The strict column has the matcher's "
    "default tolerances. A cell of several samples counts a target as matched if one of them does. Published rows are for the set's "
    "test split."
)


def unconditional_table(metrics: dict, rows: list[str], test: pd.DataFrame, published: dict) -> pd.DataFrame:
    """Our rows, the test crystals themselves, then the published ones; strings. What no row has makes no column.

    Args:
        metrics: see `tables.headline_table`.
        rows: names of the ways to sample that ask for nothing.
        test: the test crystals.
        published: see `metrics.benchmarks.benchmark`.
    """
    lines = []
    for name in rows:
        ours = {metric: metrics.get(f"{name}.{metric}") for metric in UNCONDITIONAL}
        cells = [format_interval(row["value"], row["low"], row["high"]) if row else "–" for row in ours.values()]
        lines.append([model_label(name), *cells, str(ours["structure_validity"]["n"]), format_seeds(ours["structure_validity"])])
    own = {"structure_validity": structure_validity(test).mean(), "composition_validity": composition_validity(test).mean()}
    own |= {f"p1_{symprec:g}": without_symmetry(groups) for symprec, (_, groups) in zip(SYMPRECS, space_groups(test).items(), strict=True)}
    cells = [format_interval(own[metric], None, None) if metric in own else "–" for metric in UNCONDITIONAL]
    lines.append(["Test crystals", *cells, str(len(test)), "–"])
    for method, values in published.get("unconditional", {}).items():
        lines.append([method, *(_published(values, metric) for metric in UNCONDITIONAL), "", ""])
    table = pd.DataFrame(lines, columns=["Method", *UNCONDITIONAL.values(), "n", "Seeds"])
    return table.loc[:, (table != "–").any()]


def sizes(metrics: dict, rows: dict[str, str], cards: dict[str, dict]) -> pd.DataFrame:
    """For `figures.quality_by_size`: validities and coverage with what each network cost.

    Args:
        metrics: see `tables.headline_table`.
        rows: the model of each unconditional way to sample.
        cards: training cards by model.
    """
    lines = []
    for metric in ("structure_validity", "composition_validity", "coverage_recall", "coverage_precision"):
        for name, model in rows.items():
            if not (found := metrics.get(f"{name}.{metric}")):
                continue
            card = cards[model]
            cost = {"parameters": card["parameters"], "seconds": sum(card["seconds"]) / len(card["seconds"])}
            values = {key: found[key] for key in ("value", "low", "high")}
            lines.append({"label": model_label(name), **cost, "metric": UNCONDITIONAL[metric], **values})
    return pd.DataFrame(lines)


def structure_prediction_table(metrics: dict, rows: dict[str, Row], published: dict) -> pd.DataFrame:
    """Match rates of the rows that were given a composition, then the published ones; strings."""
    asked = [name for name, row in rows.items() if row.task == "composition" and f"{name}.match_rate" in metrics]
    best = sorted({key.rpartition("_")[2] for key in metrics if "match_rate_csp_" in key}, key=int)
    columns = {"match_rate_csp": "1 sample", **{f"match_rate_csp_{k}": f"best of {k}" for k in best}, "match_rate": "1 sample, strict"}
    lines = []
    for name in asked:
        found = [metrics.get(f"{name}.{metric}") for metric in columns]
        cells = [format_interval(row["value"], row["low"], row["high"]) if row else "–" for row in found]
        lines.append([model_label(name), *cells, str(metrics[f"{name}.match_rate"]["n"]), format_seeds(metrics[f"{name}.match_rate"])])
    for method, values in published.get("structure_prediction", {}).items():
        lines.append([method + " (published)", *(_published(values, metric) for metric in columns), "", ""])
    return pd.DataFrame(lines, columns=["Method", *columns.values(), "n", "Seeds"])


def _published(values: dict, metric: str) -> str:
    value = values.get(metric, np.nan)
    return "–" if np.isnan(value) else f"{value:g}"
