"""The report of a study: one HTML file that opens from disk, with every figure and table inside."""

import base64
import json
import os
import re
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from crystalgen.report.style import PNG_DPI, model_label
from crystalgen.report.tables import HEADLINE_NAME, headline_table
from crystalgen.report.views import crystals_of_points, element_styles

_TEMPLATES = Path(__file__).parent / "templates"
_CSS_DPI = 96  # a figure is shown in the inches it was drawn for, so that letters match the text
_STAGES = {
    "data": "Data",
    "representations": "Representations",
    "sampler-steps": "Sampling steps",
    "search": "Search for new phases",
    "results": "Results",
    "energies": "Energies after relaxation",
    "dft": "Density-functional theory",
}
_TABLES_FIRST = ("results", "energies", "dft", "search", "sampler-steps")  # what was found, then what it was found with
_TABLE_FILES = (".csv", ".md", ".tex")


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
    groups = figure_groups(Path(figures_dir), report_dir)
    page = (
        page_environment()
        .get_template("report.html.j2")
        .render(
            study=study,
            title=title,
            description=description,
            headline=headline_table(metrics, reference),
            figure_groups=groups,
            viewer=_viewer(groups),
            tables=tables_of(report_dir / "tables", report_dir),
            cards=[_card(card) for card in cards],
            settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100),
            notebooks=[{"name": Path(path).name, "link": _link(path, report_dir)} for path in notebooks],
            missing=missing,
        )
    )
    path = report_dir / "index.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def build_folder_page(folder: Path, title: str, summary: str, facts: dict[str, str]) -> Path:
    """Write `folder`/index.html of its `tables/` and `figures/`, with how they came about; returns its path."""
    groups = figure_groups(folder / "figures", folder)
    page = page_environment().get_template("folder.html.j2")
    shown = {"tables": tables_of(folder / "tables", folder), "figure_groups": groups, "viewer": _viewer(groups)}
    text = page.render(title=title, summary=summary, facts=facts, **shown)
    (folder / "index.html").write_text(text, encoding="utf-8", newline="\n")
    return folder / "index.html"


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
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> Markup:
    """Escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def figure_groups(folder: Path, report_dir: Path) -> list[dict]:
    """The figures by the stage that drew them, numbered through."""
    groups: dict[str, dict] = {}
    for number, path in enumerate(sorted(folder.rglob("*.json")), 1):
        stage = path.relative_to(folder).parts[0] if path.parent != folder else ""
        group = groups.setdefault(stage, {"heading": _STAGES.get(stage, stage), "anchor": f"figures-{stage}", "figures": []})
        group["figures"].append(_figure(path, report_dir) | {"anchor": _anchor(path, folder), "number": number})
    return list(groups.values())


def tables_of(folder: Path, report_dir: Path) -> list[dict]:
    """The tables without the headline, which stands at the top, with links to their files."""

    def order(path: Path) -> tuple:
        stage = path.relative_to(folder).parts[0]
        return (_TABLES_FIRST.index(stage) if stage in _TABLES_FIRST else len(_TABLES_FIRST)), path

    found = sorted((path for path in folder.rglob("*.json") if path.stem != HEADLINE_NAME), key=order)
    return [_read_json(path) | {"anchor": _anchor(path, folder), "links": _table_links(path, report_dir)} for path in found]


def _table_links(path: Path, report_dir: Path) -> list[dict]:
    files = [path.with_suffix(suffix) for suffix in _TABLE_FILES]
    return [{"text": file.suffix[1:].upper(), "link": _link(file, report_dir)} for file in files if file.is_file()]


def _viewer(groups: list[dict]) -> Markup | None:
    """3Dmol.js as it may stand inside a script element, where a figure shows crystals."""
    if not any(figure["crystals"] for group in groups for figure in group["figures"]):
        return None
    return Markup((_TEMPLATES / "vendor/3Dmol-min.js").read_text(encoding="utf-8").replace("</script", r"<\/script"))


def _anchor(path: Path, folder: Path) -> str:
    """Of one name in two folders, two anchors."""
    return "-".join(path.relative_to(folder).with_suffix("").parts)


def _is_numeric(cell: str) -> bool:
    """A cell of figures alone, such as `0.612 [0.58, 0.64]`, stays on one line."""
    return bool(cell) and not any(character.isalpha() for character in cell)


def _figure(path: Path, report_dir: Path) -> dict:
    """A figure's card with its PNG as base64, links to its other files and, where it shows crystals, those to turn."""
    card = _read_json(path)
    files = [path.parent / name for name in card["files"]]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: missing, but listed in {path}; draw the figure again")
    picture = next(file for file in files if file.suffix == ".png")
    image = picture.read_bytes()
    width = int.from_bytes(image[16:20], "big") * _CSS_DPI // PNG_DPI  # bytes 16 to 19 of a PNG: its width
    links = [{"text": file.suffix[1:].upper(), "link": _link(file, report_dir)} for file in files if file != picture]
    crystals = [
        crystal for file in files if file.suffix == ".csv" for crystal in crystals_of_points(pd.read_csv(file, dtype={"crystal": str}))
    ]
    shown = {"crystals": crystals, "styles": element_styles(crystals)}
    return {**card, **shown, "image": base64.b64encode(image).decode("ascii"), "width": width, "links": links}


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
