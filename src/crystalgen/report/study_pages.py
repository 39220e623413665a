"""The page of a study, from what its stages left in `reports/` and `figures/`, and an index of the studies that have one."""

import json
from pathlib import Path
from urllib.parse import quote

from crystalgen.config import load_study
from crystalgen.report.references import headline_reference
from crystalgen.report.report import build_report, page_environment
from crystalgen.report.tables import headline_table
from crystalgen.utils import paths
from crystalgen.utils.files import write_json

_RUN = "run.json"  # what a page says besides tables and figures; small, so that pages can be made again where no model is at hand
_INDEX_ROWS = 3  # of a study's headline


def write_run(study: str, cards: list[dict], missing: list[str]) -> None:
    """Keep the result cards, and the sentences on what failed, beside the study's report."""
    write_json({"cards": cards, "missing": missing}, paths.REPORTS / study / _RUN)


def write_study_page(study: str) -> Path:
    """Make `reports/<study>/index.html` of tables, figures, metrics and `run.json`.

    Raises:
        FileNotFoundError: one of these is not there; naming it, and the command that makes it.
    """
    config, folder = load_study(study), paths.REPORTS / study
    for file in (folder / "metrics.json", folder / _RUN):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: missing; `make reproduce STUDIES={study}` writes it")
    metrics, run = (json.loads((folder / name).read_text()) for name in ("metrics.json", _RUN))
    executed = [file for file in _in_order(folder / "notebooks") if file.stem != "report"]
    settings = config.model_dump(mode="json")
    figures = paths.figures(study, "")
    about = (study, config.title, config.description, folder, figures, settings)
    return build_report(*about, metrics, headline_reference(config), executed, run["cards"], run["missing"])


def _in_order(folder: Path) -> list[Path]:
    """Return executed notebooks in the order of running."""
    keys = list(paths.notebooks())
    found = [file for file in folder.glob("*.ipynb") if "failed" not in file.name]
    of = {file: max((key for key in keys if f"{file.stem}-".startswith(f"{key}-")), key=len, default="") for file in found}
    return sorted(found, key=lambda file: (keys.index(of[file]) if of[file] else len(keys), file.name))


def write_index() -> Path:
    """Make `reports/index.html`: the studies that have a page, each with the first rows of its headline, and other pages made here."""
    studies = [_entry(page.parent) for page in sorted(paths.REPORTS.glob("*/index.html")) if _is_study(page.parent.name)]
    others = [{"name": str(page.parent.relative_to(paths.REPORTS)), "link": _link(page)} for page in _other_pages()]
    path = paths.REPORTS / "index.html"
    page = page_environment().get_template("index.html.j2").render(studies=studies, others=others)
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def _is_study(name: str) -> bool:
    return paths.study_file(name).is_file()


def _entry(folder: Path) -> dict:
    config, metrics = load_study(folder.name), json.loads((folder / "metrics.json").read_text())
    headline = headline_table(metrics, headline_reference(config))
    return {
        "study": folder.name,
        "title": config.title,
        "description": config.description,
        "link": _link(folder / "index.html"),
        "columns": list(headline.columns),
        "rows": headline.head(_INDEX_ROWS).values.tolist(),
        "more": max(0, len(headline) - _INDEX_ROWS),
    }


def _other_pages() -> list[Path]:
    """Pages of evaluations of other generators' crystals, and of crystals asked for."""
    return sorted(page for kind in ("evaluate", "generated") for page in (paths.REPORTS / kind).rglob("index.html"))


def _link(page: Path) -> str:
    return quote(page.relative_to(paths.REPORTS).as_posix())
