"""The README's table of results, generated between two markers from a study's metrics.json."""

import json
from pathlib import Path

import yaml

from crystalgen import paths
from crystalgen.present.tables import headline_table

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def update_readme(study: str, readme: Path) -> None:
    """Replace what stands between the markers.

    Raises:
        ValueError: the README lacks a marker.
    """
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{readme}: lacks the markers {BEGIN} and {END}")
    head, rest = text.split(BEGIN, 1)
    readme.write_text(f"{head}{BEGIN}\n{results_table(study)}\n{END}{rest.split(END, 1)[1]}")


def results_table(study: str) -> str:
    """Markdown of the study's headline table."""
    metrics = json.loads((paths.REPORTS / study / "metrics.json").read_text())
    reference = yaml.safe_load((paths.REFERENCE / "headline.yaml").read_text())
    return headline_table(metrics, reference).to_markdown(index=False)
