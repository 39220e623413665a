"""Show what was measured of a generator's crystals, as files and as one page."""

from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.metrics.assess import Assessment
from crystalgen.metrics.catalogue import metric, notes
from crystalgen.metrics.symmetry import SYMPRECS
from crystalgen.report.figures import property_distributions, space_group_shares
from crystalgen.report.pages import write_page
from crystalgen.report.show import figure_html, table_html
from crystalgen.report.style import save_figure
from crystalgen.report.tables import format_interval, write_table
from crystalgen.utils.files import write_json

_REASONS = 20  # kinds of failure that the page lists; crystals.csv names each crystal's
_SHARES = "Shares are of all crystals that the input names; unreadable ones count as failures. 95 % intervals redraw whole formulas."
_MATCHING = (
    "Filtered: sample and target are valid by the published definition (distances, composition, fingerprints), as in DiffCSP's and OMatG's "
    "scripts; valid: the sample is valid by ours. "
)
_PROPERTIES = "Properties of all crystals that could be read, over the reference's: density, number of atoms and of elements."
_GROUPS = f"The commonest space groups of the reference and of the generated crystals, at a symprec of {SYMPRECS[-1]:g} Å."


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
    records = found.metrics.set_index("metric").astype(object)  # JSON has no NaN
    write_json({"facts": facts, "metrics": records.where(records.notna(), None).to_dict(orient="index")}, folder / "metrics.json")
    matching = found.metrics["metric"].str.contains(", ", regex=False)
    counts = found.crystals["reason"][found.crystals["reason"].fillna("") != ""].value_counts().head(_REASONS)
    broken = counts.rename_axis("Reason").reset_index(name="Crystals")
    tables = {
        "metrics": (_readable(found.metrics[~matching]), "Metrics", _SHARES),
        "matching": (_matching(found.metrics[matching]), "The reference found among the generated", _MATCHING + notes(("METRe", "cRMSE"))),
        "failures": (broken, "What could not be read or compared", "crystals.csv names every one."),
    }
    figures = {
        "properties": (property_distributions(reference, {"generated": generated}, "reference"), _PROPERTIES),
        "space-groups": (space_group_shares(found.space_groups), _GROUPS),
    }
    body = []
    for name, (table, caption, note) in tables.items():
        write_table(table, folder / "tables", name, caption, note)
        body.append(table_html(table, caption, note))
    body += [figure_html(save_figure(figure, folder / "figures", name), caption) for name, (figure, caption) in figures.items()]
    body.append(table_html(pd.Series(facts, dtype=object).rename_axis("Setting").reset_index(name="Value"), "How it was measured"))
    summary = f"{len(found.crystals)} crystals, {len(generated)} of them readable, beside {len(reference)} of the reference."
    return write_page(folder / "index.html", title, "".join(body), [summary])


def _matching(metrics: pd.DataFrame) -> pd.DataFrame:
    """METRe and cRMSE, match rate and RMSE of pairs, a row for each setting of the matcher and filter."""
    parts = metrics["metric"].str.extract(r"(?P<measure>\w+), (?P<setting>.*), (?P<of>\w+) crystals")
    rows = parts.assign(shown=[format_interval(r.value, r.low, r.high) for r in metrics.itertuples()])
    wide = rows.pivot_table(index=["setting", "of"], columns="measure", values="shown", aggfunc="first", sort=False).reset_index()
    names = {"setting": "Lengths/sites/angles", "of": "Of crystals"} | {name: metric(name).label for name in parts["measure"].unique()}
    return wide.rename(columns=names).rename_axis(columns=None)[[*names.values()]]


def _readable(metrics: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Metric": [metric(name).heading for name in metrics["metric"]],
            "Value [95 % interval]": [format_interval(r.value, r.low, r.high) for r in metrics.itertuples()],
            "n": metrics["n"],
            "Reference": [format_interval(value, None, None) if np.isfinite(value) else "" for value in metrics["reference"]],
            "What it is": metrics["meaning"],
        }
    )
