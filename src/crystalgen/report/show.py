"""A table or a figure with its caption: saved in the study's folders, and shown in a notebook as it stands on a page."""

import base64
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from crystalgen.report.style import PNG_DPI, save_figure
from crystalgen.report.tables import as_shown, write_table
from crystalgen.report.viewer import viewer_data

_CSS_DPI = 96  # a figure is shown in the inches it was drawn for, so that letters match the text
_TURN = """<details class="turn" hidden><summary>Turn these crystals</summary>
<label>Crystal <select aria-label="Crystal"></select></label>
<div class="view" role="img" aria-label="The chosen crystal in three dimensions; drag to turn it"></div>
<p class="note">{dots}</p>
<script type="application/json">{data}</script></details>"""
_DOT = '<span data-element="{0}"><span class="dot" style="background: {1}"></span> {0}</span> '


def show_figure(figure: Figure, folder: Path, name: str, caption: str, crystals: Mapping[str, pd.Series] | None = None) -> None:
    """Save `name`.png in the folder and display it with its caption.

    Args:
        figure: to show.
        folder: of the stage's figures (see `paths.figures`).
        name: of the file.
        caption: full sentences; what the figure shows, of what, and how it was measured.
        crystals: rows of the crystals table by name, which a reader of the study's page can turn.
    """
    _display(figure_html(save_figure(figure, folder, name), caption, crystals), caption)


def show_table(frame: pd.DataFrame, folder: Path, name: str, caption: str, note: str = "", latex: bool = False) -> None:
    """Write the table (see `tables.write_table`) and display it with its caption and note."""
    write_table(frame, folder, name, caption, note, latex)
    _display(table_html(frame, caption, note), f"{caption}\n{as_shown(frame).to_string(index=False)}")


def show_folded(heading: str, content: pd.DataFrame | str) -> None:
    """Display a table or preformatted text that a reader unfolds."""
    inner = table_html(content) if isinstance(content, pd.DataFrame) else f"<pre>{escape(content)}</pre>"
    _display(f"<details><summary>{escape(heading)}</summary>{inner}</details>", heading)


def figure_html(png: Path, caption: str, crystals: Mapping[str, pd.Series] | None = None) -> str:
    """Return a `<figure>` that stands alone: the picture as base64, its caption, and crystals for `templates/turn.js`."""
    image = png.read_bytes()
    width = int.from_bytes(image[16:20], "big") * _CSS_DPI // PNG_DPI  # bytes 16 to 19 of a PNG: its width
    source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    picture = f'<div class="wide"><img src="{source}" alt="{escape(caption)}" width="{width}"></div>'
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption>{_turn(crystals) if crystals else ''}</figure>"


def table_html(frame: pd.DataFrame, caption: str = "", note: str = "") -> str:
    """Return the table as a reader sees it, its caption above and its note below."""
    text = as_shown(frame).to_html(index=False, border=0) if len(frame) else "<p>None.</p>"
    text = re.sub(r"(\[[^\]<]+), ([^\]<]+\])", r"\1,&nbsp;\2", text)  # an interval stays on one line
    above = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    return f'{above}<div class="wide">{text}</div>' + (f'<p class="note">{escape(note)}</p>' if note else "")


def _turn(crystals: Mapping[str, pd.Series]) -> str:
    data = viewer_data(crystals)
    dots = "".join(_DOT.format(symbol, style["color"]) for symbol, style in data["styles"].items())
    return _TURN.format(dots=dots, data=json.dumps(data).replace("</", r"<\/"))


def _display(html: str, text: str) -> None:
    display({"text/html": html, "text/plain": text}, raw=True)
