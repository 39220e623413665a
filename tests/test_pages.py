"""Pages as a reader sees them: they stand alone, escape what they show, link to what is there, and crystals turn without a network."""

import json
import re
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from browser_case import colors_in, open_page
from conftest import ROOT, rocksalt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from present_case import made_up_metrics

from crystalgen.crystals import from_structures
from crystalgen.report.pages import write_index, write_page, write_study_pages
from crystalgen.report.show import figure_html, table_html
from crystalgen.report.structures import gallery, gallery_crystals
from crystalgen.report.style import save_figure
from crystalgen.report.viewer import cell_edges, closed_cell, viewer_data
from crystalgen.utils import paths

REPORTS = sorted(ROOT.glob("reports/*/index.html"))


@pytest.fixture(scope="module")
def salts():
    return from_structures([rocksalt(5.6), rocksalt(4.2, "Li", "F")], "salt")


@pytest.fixture(scope="module")
def figure(salts, tmp_path_factory):
    """A gallery of two crystals as HTML."""
    one, other = (row for _, row in salts.iterrows())
    items = [{"title": "salt", "crystals": {"target": one, "generated": other}, "matched": False}]
    png = save_figure(gallery(items), tmp_path_factory.mktemp("figures"), "gallery")
    return figure_html(png, 'A "gallery" <i>here</i>.', gallery_crystals(items))


def _html(text: str):
    return new_output("display_data", {"text/html": text, "text/plain": "shown"})


@pytest.fixture
def study(tmp_path, monkeypatch, figure):
    """Executed notebooks of the study `smoke` in a repository of their own."""
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    cells = [
        new_markdown_cell("# Results"),
        new_code_cell("show_table(headline)", outputs=[_html(table_html(pd.DataFrame({"x": ["<b>", "0.5 [0.4, 0.6]"]}), "The headline"))]),
        new_markdown_cell("## What this study has"),
        new_code_cell("show_figure(figure)", outputs=[_html(figure)]),
        new_markdown_cell("## What this study lacks"),
        new_code_cell("if False:\n    show_figure(figure)"),
    ]
    folder = tmp_path / "smoke" / "notebooks"
    folder.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells), folder / "results.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Data"), new_code_cell("1")]), folder / "data of a model.ipynb")
    return "smoke"


def test_a_study_has_a_page_of_each_notebook_and_the_results_are_its_index(study, tmp_path):
    page = write_study_pages(study)
    text = page.read_text().replace("\xa0", " ")
    assert page == tmp_path / "smoke" / "index.html"
    assert "The headline" in text and "&lt;b&gt;" in text and "0.5 [0.4, 0.6]" in text
    assert "What this study has" in text and "What this study lacks" not in text
    assert text.count('src="data:image/png;base64,') == 1 and text.count('<details class="code">') == 2
    targets = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', re.sub(r"<script>.*?</script>", "", text, flags=re.S))
    assert "pages/data%20of%20a%20model.html" in targets
    assert not [t for t in targets if re.match(r"(https?:)?//", t)], "it stands alone"
    other = (tmp_path / "smoke/pages/data of a model.html").read_text()
    assert 'href="../index.html"' in other and "3Dmol" not in other
    first = page.read_bytes()
    assert write_study_pages(study).read_bytes() == first


def test_what_is_missing_is_named_with_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="no executed notebook; `make reproduce STUDIES=smoke`"):
        write_study_pages("smoke")


def test_the_index_lists_studies_with_their_headline_and_other_pages(study, tmp_path):
    assert "No study has a report yet" in write_index().read_text()
    write_study_pages(study)
    (tmp_path / "smoke" / "metrics.json").write_text(json.dumps(made_up_metrics()))
    (tmp_path / "generated/Ta1B2").mkdir(parents=True)
    (tmp_path / "generated/Ta1B2/index.html").write_text("an answer")
    text = write_index().read_text()
    assert 'href="smoke/index.html"' in text and "0.550 [0.45,&nbsp;0.65]" in text and "more rows on its page" in text
    assert 'href="generated/Ta1B2/index.html"' in text


@pytest.mark.parametrize("width", [390, 1200])
def test_crystals_turn_in_a_page_that_asks_nothing_of_a_network(figure, tmp_path, width):
    wide = table_html(pd.DataFrame({f"A column with a long name, number {i}": ["0.123 [0.1, 0.2]"] for i in range(14)}), "A wide table")
    page_file = write_page(tmp_path / "page.html", "A study of <salts>", figure + wide)
    with open_page(width) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "wide tables scroll in their own box"
        box = page.locator("details.turn").first
        box.locator("summary").click()
        page.wait_for_selector("details.turn[data-shown]")
        view = box.locator(".view")
        view.screenshot(path=tmp_path / "target.png")
        assert box.get_attribute("data-shown") == "1. salt, target"
        assert colors_in(tmp_path / "target.png") > 200
        view.hover()
        page.mouse.down()
        page.mouse.move(200, 200, steps=5)
        page.mouse.up()
        view.screenshot(path=tmp_path / "turned.png")
        assert (tmp_path / "turned.png").read_bytes() != (tmp_path / "target.png").read_bytes()
        box.locator("select").select_option(label="1. salt, generated")
        assert box.get_attribute("data-shown") == "1. salt, generated"
        assert not page.problems
        assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked


def test_crystals_to_turn_are_closed_cells(salts):
    found = viewer_data({"1": salts.iloc[0], "b\nc": salts.iloc[1]})
    shown = found["crystals"]
    assert [crystal["name"] for crystal in shown] == ["1", "b c"]
    assert len(shown[0]["atoms"]) == 27, "rock salt's closed cell: 8 corners, 12 edges, 6 faces and the middle"
    assert shown[1]["cell"][0] == pytest.approx([4.2, 0, 0])
    assert set(found["styles"]) == {"Na", "Cl", "Li", "F"}


def test_a_supercell_is_closed_at_its_own_faces(salts):
    row = salts.iloc[0]
    numbers, places = closed_cell(row["lattice"], row["atomic_numbers"], row["frac_coords"], (2, 1, 1))
    assert len(places) == 5 * 3 * 3 and places[:, 0].max() == pytest.approx(11.2) and places[:, 1].max() == pytest.approx(5.6)
    assert (numbers == 11).sum() in (22, 23)
    edges = cell_edges(row["lattice"])
    assert edges.shape == (12, 2, 3)
    assert ((edges[:, 1] - edges[:, 0]) ** 2).sum(axis=1) == pytest.approx(5.6**2)


@pytest.mark.parametrize("page", REPORTS, ids=lambda page: page.parent.name)
def test_each_link_of_a_report_leads_to_a_file(page):
    """Committed pages, and those of the studies that were run here."""
    body = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.S)
    links = [unquote(target) for target in re.findall(r'href="([^"#]*)"', body) if target]
    assert not [link for link in links if not (page.parent / link).resolve().is_file()]
