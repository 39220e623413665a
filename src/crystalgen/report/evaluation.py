"""What was measured of a generator's crystals, as files and as one page."""

from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.metrics.assess import Assessment
from crystalgen.metrics.symmetry import SYMPRECS
from crystalgen.report.figures.evaluation import space_group_bars
from crystalgen.report.figures.unimat import property_distributions
from crystalgen.report.report import build_folder_page
from crystalgen.report.style import save_figure
from crystalgen.report.tables import METRICS, SYMMETRY, format_interval, write_table
from crystalgen.utils.files import write_json

_LABELS = METRICS | SYMMETRY | {"valid": "Both valid", "valid_structure": "Structure validity", "valid_composition": "Composition validity"}
_MATCHING_NOTE = (
    "METRe: share of the reference's crystals that some generated crystal matches; cRMSE: its least displacement, in units of "
    "(volume / sites)^(1/3), with the tolerance of sites for the unmatched. At wide tolerances crystals match that nobody would call alike."
)
_REASONS = 20  # kinds of failure that the page lists; crystals.csv names each crystal's


def write_assessment(found: Assessment, generated: pd.DataFrame, reference: pd.DataFrame, folder: Path, title: str, facts: dict) -> Path:
    """Write index.html, metrics.json, crystals.csv, reference.csv, `tables/` and `figures/` below `folder`; return the page.

    Args:
        found: of `assess`.
        generated, reference: the crystals, for the figures.
        title: plain text.
        facts: how it was measured, name by name; plain values.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found.crystals.to_csv(folder / "crystals.csv", index=False, lineterminator="\n")
    found.found.to_csv(folder / "reference.csv", index=False, float_format="%.6g", lineterminator="\n")
    write_json({"facts": facts, "metrics": _records(found.metrics)}, folder / "metrics.json")
    note = "Shares are of all crystals that the input names; what could not be read counts as a failure. Intervals redraw whole formulas."
    matching = found.metrics["metric"].str.startswith(("metre, ", "crmse, "))
    write_table(_readable(found.metrics[~matching]), folder / "tables", "01-metrics", "Metrics", note)
    write_table(
        _matching(found.metrics[matching]), folder / "tables", "02-matching", "The reference found among the generated", _MATCHING_NOTE
    )
    counts = found.crystals["reason"][found.crystals["reason"].fillna("") != ""].value_counts().head(_REASONS)
    broken = counts.rename_axis("Reason").reset_index(name="Crystals")
    write_table(broken, folder / "tables", "03-failures", "What could not be read or compared", "crystals.csv names every one.")
    figure, points = property_distributions(reference, {"generated": generated}, "reference")
    save_figure(figure, folder / "figures", "01-properties", "Properties of the crystals, all that could be read, over the reference's.",
                "Histograms of density, number of atoms and number of elements, generated beside reference.", points)  # fmt: skip
    figure, points = space_group_bars(found.space_groups)
    caption = f"The commonest space groups of the reference and of the generated crystals, at a symprec of {SYMPRECS[-1]:g} Å."
    save_figure(
        figure, folder / "figures", "02-space-groups", caption, "Bars: share of each space group, generated beside reference.", points
    )
    summary = f"{len(found.crystals)} crystals, {len(generated)} of them readable, beside {len(reference)} of the reference."
    return build_folder_page(folder, title, summary, facts)


def _matching(metrics: pd.DataFrame) -> pd.DataFrame:
    """METRe and cRMSE, a row for each setting of the matcher."""
    parts = metrics["metric"].str.extract(r"(?P<measure>\w+), (?P<setting>.*), (?P<of>\w+) crystals")
    shown = pd.Series([format_interval(r.value, r.low, r.high) for r in metrics.itertuples()], index=metrics.index)
    rows = parts.assign(shown=shown, n=metrics["n"])
    wide = rows.pivot_table(index=["setting", "of", "n"], columns="measure", values="shown", aggfunc="first", sort=False).reset_index()
    names = {"setting": "Lengths/sites/angles", "of": "Of crystals", "metre": "METRe", "crmse": "cRMSE"}
    return wide.rename(columns=names).rename_axis(columns=None)[[*names.values(), "n"]]


def _readable(metrics: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Metric": [_LABELS.get(name, name.replace("_", " ").capitalize()) for name in metrics["metric"]],
            "Value [95 % interval]": [format_interval(r.value, r.low, r.high) for r in metrics.itertuples()],
            "n": metrics["n"],
            "Reference": [format_interval(value, None, None) if np.isfinite(value) else "" for value in metrics["reference"]],
            "What it is": metrics["meaning"],
        }
    )


def _records(metrics: pd.DataFrame) -> dict:
    """By metric; what is unknown is None, since JSON has no NaN."""
    rows = metrics.set_index("metric").astype(object)
    return rows.where(rows.notna(), None).to_dict(orient="index")
