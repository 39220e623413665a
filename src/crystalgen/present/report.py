"""The report of a study: one HTML file that opens from disk, with every figure and table inside."""

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from crystalgen.present.style import PNG_DPI, model_label
from crystalgen.present.tables import HEADLINE_NAME, headline_table

_TEMPLATES = Path(__file__).parent / "templates"
_CSS_DPI = 96  # a figure is shown in the inches it was drawn for, so that letters match the text
_STAGES = {"02": "Data", "03": "Representations", "08": "Sampling steps", "09": "Search for new phases", "10": "Results", "12": "Results"}
_TABLES_FIRST = ("10", "12", "09", "08")  # what was found, then what it was found with


def build_report(
    study: str,
    title: str,
    description: str,
    report_dir: Path,
    figures_dir: Path,
    settings: dict,
    metrics: dict,
    reference: dict,
    notebooks: list[Path],
    cards: list[dict],
    missing: list[str],
) -> Path:
    """Write `report_dir`/index.html and return its path; the same input gives the same bytes.

    Args:
        study: the study's id.
        title, description: of the study, plain text.
        report_dir: where the report goes; its `tables/**/*.json` (from `write_table`) are shown, results before data.
        figures_dir: its `**/*.json` (from `save_figure`) name the figures to show, folder by folder.
        settings: the study's parameters, shown as YAML.
        metrics, reference: see `tables.headline_table`.
        notebooks: the executed notebooks, linked to.
        cards: one result card per run; any keys, `model` is its heading.
        missing: sentences on what failed or was left out.

    Raises:
        FileNotFoundError: naming the figure file that a figure's JSON promises and that is not there.
    """
    report_dir = Path(report_dir)
    report_dir.mkdir(parents=True, exist_ok=True)
    page = (
        page_environment()
        .get_template("report.html.j2")
        .render(
            study=study,
            title=title,
            description=description,
            headline=headline_table(metrics, reference),
            figure_groups=figure_groups(Path(figures_dir), report_dir),
            tables=tables_of(report_dir / "tables"),
            cards=[_card(card) for card in cards],
            settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100),
            notebooks=[{"name": Path(path).name, "link": _link(path, report_dir)} for path in notebooks],
            missing=missing,
        )
    )
    path = report_dir / "index.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def page_environment() -> Environment:
    """Of the pages' templates; what a page lacks is an error, and text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["numeric"] = _is_numeric
    return environment


def figure_groups(folder: Path, report_dir: Path) -> list[dict]:
    """The figures by the stage that drew them, numbered through."""
    groups: dict[str, dict] = {}
    for number, path in enumerate(sorted(folder.rglob("*.json")), 1):
        stage = path.relative_to(folder).parts[0] if path.parent != folder else ""
        group = groups.setdefault(stage, {"heading": _STAGES.get(stage, stage), "anchor": f"figures-{stage}", "figures": []})
        group["figures"].append(_figure(path, report_dir) | {"anchor": _anchor(path, folder), "number": number})
    return list(groups.values())


def tables_of(folder: Path) -> list[dict]:
    """The tables without the headline, which stands at the top."""

    def order(path: Path) -> tuple:
        stage = path.relative_to(folder).parts[0]
        return (_TABLES_FIRST.index(stage) if stage in _TABLES_FIRST else len(_TABLES_FIRST)), path

    found = sorted((path for path in folder.rglob("*.json") if path.stem != HEADLINE_NAME), key=order)
    return [_read_json(path) | {"anchor": _anchor(path, folder)} for path in found]


def _anchor(path: Path, folder: Path) -> str:
    """Of one name in two folders, two anchors."""
    return "-".join(path.relative_to(folder).with_suffix("").parts)


def _is_numeric(cell: str) -> bool:
    """A cell of figures alone, such as `0.612 [0.58, 0.64]`, stays on one line."""
    return bool(cell) and not any(character.isalpha() for character in cell)


def _figure(path: Path, report_dir: Path) -> dict:
    """A figure's card with its PNG as base64 and links to its other files."""
    card = _read_json(path)
    files = [path.parent / name for name in card["files"]]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: missing, but listed in {path}; draw the figure again")
    picture = next(file for file in files if file.suffix == ".png")
    image = picture.read_bytes()
    width = int.from_bytes(image[16:20], "big") * _CSS_DPI // PNG_DPI  # bytes 16 to 19 of a PNG: its width
    links = [{"text": file.suffix[1:].upper(), "link": _link(file, report_dir)} for file in files if file != picture]
    return {**card, "image": base64.b64encode(image).decode("ascii"), "width": width, "links": links}


def _card(card: dict) -> dict:
    """Heading and (key, text) lines of a result card; nested keys are joined by dots."""
    lines = pd.json_normalize(card, max_level=None).iloc[0].to_dict() if card else {}
    shown = [(key.replace("_", " "), _text(value)) for key, value in lines.items() if key != "model"]
    return {"heading": model_label(str(card.get("model", "run"))), "lines": shown}


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(_text(item) for item in value) if isinstance(value, list | tuple) else str(value)


def _link(path: Path, report_dir: Path) -> str:
    """A relative URL from the report to the file, so that the folder can be moved or zipped."""
    return quote(Path(os.path.relpath(path, report_dir)).as_posix())


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
