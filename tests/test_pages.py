"""Pages as a browser shows them: crystals that turn without a network, phone and desktop widths, links that lead somewhere."""

import re
from urllib.parse import unquote

import pandas as pd
import pytest
import yaml
from browser_case import colors_in, open_page
from conftest import ROOT, rocksalt
from present_case import metric

from crystalgen.crystals import from_structures
from crystalgen.report.pictures import crystal_strip, gallery, gallery_points, site_points
from crystalgen.report.report import build_report
from crystalgen.report.style import save_figure
from crystalgen.report.tables import write_table
from crystalgen.report.views import cell_edges, closed_cell, crystals_of_points, element_styles

REPORTS = sorted(ROOT.glob("reports/*/index.html"))


@pytest.fixture(scope="module")
def salts():
    return from_structures([rocksalt(5.6), rocksalt(4.2, "Li", "F")], "salt")


@pytest.fixture(scope="module")
def page_file(salts, tmp_path_factory):
    """A report with a gallery, a strip and a wide table."""
    root = tmp_path_factory.mktemp("page")
    one, other = (row for _, row in salts.iterrows())
    items = [{"title": "salt", "crystals": {"target": one, "generated": other}, "matched": False}]
    figures = root / "figures/x/10"
    save_figure(gallery(items), figures, "01-gallery", "A gallery.", "Two crystals.", gallery_points(items))
    points = site_points([one, other], ["1", "2"])
    save_figure(crystal_strip([one, other], ["1", "2"]), figures, "02-strip", "A strip.", "Two crystals.", points)
    wide = pd.DataFrame({f"A column with a long name, number {i}": ["0.123 [0.1, 0.2]"] for i in range(14)})
    write_table(wide, root / "reports/x/tables/10", "01-wide", "A wide table")
    metrics = {"template.match_rate": metric(0.5, 0.4, 0.6, baseline=True)}
    about = ("x", "A study", "of salts", root / "reports/x", root / "figures/x", {"seed": 1})
    return build_report(*about, metrics, {}, [], [], [])


@pytest.mark.parametrize("width", [390, 1200])
def test_crystals_turn_in_a_page_that_asks_nothing_of_a_network(page_file, tmp_path, width):
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


def test_crystals_come_back_from_a_figures_points(salts):
    rows = [row for _, row in salts.iterrows()]
    shown = crystals_of_points(site_points(rows, ["1", "b\nc"]))
    assert [crystal["name"] for crystal in shown] == ["1", "b, c"]
    assert len(shown[0]["atoms"]) == 27, "rock salt's closed cell: 8 corners, 12 edges, 6 faces and the middle"
    assert shown[1]["cell"][0] == pytest.approx([4.2, 0, 0])
    assert set(element_styles(shown)) == {"Na", "Cl", "Li", "F"}
    assert crystals_of_points(pd.DataFrame({"x": [1], "y": [2]})) == []


def test_a_supercell_is_closed_at_its_own_faces(salts):
    row = salts.iloc[0]
    numbers, places = closed_cell(row["lattice"], row["atomic_numbers"], row["frac_coords"], (2, 1, 1))
    assert len(places) == 5 * 3 * 3 and places[:, 0].max() == pytest.approx(11.2) and places[:, 1].max() == pytest.approx(5.6)
    assert (numbers == 11).sum() in (22, 23)
    edges = cell_edges(row["lattice"])
    assert edges.shape == (12, 2, 3)
    assert ((edges[:, 1] - edges[:, 0]) ** 2).sum(axis=1) == pytest.approx(5.6**2)


@pytest.mark.parametrize("page", REPORTS, ids=lambda page: page.parent.name)
def test_each_link_of_a_report_leads_to_a_file_that_a_stage_writes(page):
    """Committed pages, and those of the studies that were run here."""
    text = page.read_text()
    body = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    links = [unquote(target) for target in re.findall(r'href="([^"#]*)"', body) if target]
    assert links
    assert not [link for link in links if not (page.parent / link).resolve().is_file()]
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    outs = [out if isinstance(out, str) else next(iter(out)) for stage in stages for out in stage.get("do", stage)["outs"]]
    written = [re.sub(r"\$\{item[^}]*\}", "[^/]+", out) for out in outs]
    files = [str((page.parent / link).resolve().relative_to(ROOT)) for link in links]
    astray = [file for file in files if not any(re.match(f"{out}(/|$)", file) for out in written)]
    assert not astray, "figures and tables that no stage of dvc.yaml writes"
