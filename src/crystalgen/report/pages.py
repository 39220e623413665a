"""Pages that open from disk: a study's executed notebooks, an index of them, and pages of tables and figures."""

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from crystalgen.config import load_study
from crystalgen.report.labels import row_labels
from crystalgen.report.paper_tables import headline_reference
from crystalgen.report.show import table_html
from crystalgen.report.tables import headline_table
from crystalgen.utils import paths

_TEMPLATES = Path(__file__).parent / "templates"
_INDEX_ROWS = 3  # of a study's headline


def write_page(path: Path, title: str, body: str, paragraphs: Sequence[str] = (), links: Sequence[tuple[str, str]] = (),
               heading: bool = True) -> Path:  # fmt: skip
    """Write one HTML file that needs nothing else; return its path. The same input gives the same bytes.

    Args:
        path: of the file; its folder is made.
        title: plain text, the heading too unless the body has one.
        body: HTML, such as `show.table_html` and `show.figure_html` give.
        paragraphs: plain text above the body.
        links: texts and relative URLs of other pages.
        heading: whether the title stands above the body.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    code_style = HtmlFormatter().get_style_defs(".highlight") if 'class="highlight' in body else ""
    viewer = (_TEMPLATES / "vendor/3Dmol-min.js").read_text(encoding="utf-8").replace("</script", r"<\/script")
    shown = {"title": title, "heading": title if heading else "", "paragraphs": paragraphs, "links": links, "body": body}
    text = environment.get_template("page.html.j2").render(**shown, viewer=viewer, code_style=code_style)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def notebook_html(path: Path, only_shown: bool = False) -> str:
    """Return an executed notebook as HTML, its code folded; `only_shown` leaves out sections of cells that show nothing."""
    notebook = nbformat.read(path, as_version=4)
    sections: list[list] = [[]]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            sections.append([])
        sections[-1].append(cell)
    if only_shown:
        sections = [cells for cells in sections if cells is sections[1] or any(cell.get("outputs") for cell in cells)]
    notebook.cells = [cell for cells in sections for cell in cells]
    return _exporter().from_notebook_node(notebook)[0]


def write_study_pages(study: str) -> Path:
    """Make a page of each executed notebook below `reports/<study>`; return `index.html`, that of the notebook of results.

    Raises:
        FileNotFoundError: there is no executed notebook; naming the command that makes one.
    """
    folder = paths.REPORTS / study
    order = {key: place for place, key in enumerate(paths.notebooks())}
    notebooks = [path for path in sorted((folder / "notebooks").glob("*.ipynb")) if "failed" not in path.name]
    notebooks.sort(key=lambda path: max((place for key, place in order.items() if path.stem.startswith(key)), default=len(order)))
    if not notebooks:
        raise FileNotFoundError(f"{folder / 'notebooks'}: no executed notebook; `make reproduce STUDIES={study}` writes them")
    first = next((path for path in notebooks if path.stem == "results"), notebooks[0])
    (folder / "pages").mkdir(exist_ok=True)
    for stale in {path.stem for path in (folder / "pages").glob("*.html")} - {path.stem for path in notebooks}:
        (folder / "pages" / f"{stale}.html").unlink()
    title = load_study(study).title if _is_study(study) else study
    for path in notebooks:
        up, name = ("", "index.html") if path == first else ("../", f"pages/{path.stem}.html")
        links = [(_words(other.stem), up + ("index.html" if other == first else f"pages/{quote(other.stem)}.html")) for other in notebooks]
        write_page(
            folder / name, f"{title}: {_words(path.stem)}", notebook_html(path, only_shown=path == first), links=links, heading=False
        )
    return folder / "index.html"


def write_index() -> Path:
    """Make `reports/index.html`: the studies that have a page, each with the first rows of its headline, and other pages made here."""
    found = sorted(paths.REPORTS.glob("*/index.html"))
    parts = [_entry(page) for page in found if _is_study(page.parent.name)]
    others = [page for page in found if not _is_study(page.parent.name)]
    others += sorted(page for kind in ("evaluate", "generate", "generated") for page in (paths.REPORTS / kind).glob("*/index.html"))
    if others:
        parts.append("<h2>Other pages</h2><ul>" + "".join(f"<li>{_link(page)}</li>" for page in others) + "</ul>")
    about = "One page for each study that was run here or came with the repository. Values are ours, with 95 % intervals."
    missing = "No study has a report yet; `make reproduce` makes one."
    return write_page(paths.REPORTS / "index.html", "Reports", "".join(parts), [about] if parts else [missing])


@cache
def _exporter() -> HTMLExporter:
    template = (_TEMPLATES / "notebook.html.j2").read_text(encoding="utf-8")
    return HTMLExporter(raw_template=template, exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True)


def _is_study(name: str) -> bool:
    return paths.study_file(name).is_file()


def _entry(page: Path) -> str:
    config, metrics = load_study(page.parent.name), page.parent / "metrics.json"
    head = f"<h2>{_link(page, escape(config.title))}</h2><p>{escape(config.description)}</p>"
    if not metrics.is_file():
        return head
    headline = headline_table(json.loads(metrics.read_text()), row_labels(config), headline_reference(config))
    more = f"and {len(headline) - _INDEX_ROWS} more rows on its page" if len(headline) > _INDEX_ROWS else ""
    return head + table_html(headline.head(_INDEX_ROWS), note=more)


def _link(page: Path, text: str = "") -> str:
    where = page.relative_to(paths.REPORTS)
    return f'<a href="{quote(where.as_posix())}">{text or where.parent}</a>'


def _words(stem: str) -> str:
    """A notebook's key for readers."""
    return stem.replace("-", " ").replace("_", " ")
