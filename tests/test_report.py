"""The report: it stands alone, escapes what it shows, puts results before data and names what is missing."""

import re

import pandas as pd
import pytest
from present_case import metric, three_crystals

from crystalgen.report import figures
from crystalgen.report.report import build_report
from crystalgen.report.style import save_figure
from crystalgen.report.tables import HEADLINE_NAME, write_table

table = pytest.fixture(three_crystals)


@pytest.fixture
def report_input(table, tmp_path):
    for name in ("energies", "groups"):
        figure, points = figures.energy_histogram(table)
        folder = tmp_path / "figures" / "demo" / ("10" if name == "energies" else "02")
        save_figure(figure, folder, name, f"The {name} <i>here</i>", f'alt "{name}"', points)
    tables = tmp_path / "reports" / "demo" / "tables"
    write_table(pd.DataFrame({"x": ["<b>", "0.5 [0.4, 0.6]"]}), tables / "02", "one", "The data's table")
    write_table(pd.DataFrame({"x": ["1"]}), tables / "10", "one", "The results' table")
    write_table(pd.DataFrame({"x": ["1"]}), tables / "10", HEADLINE_NAME, "Headline once more")
    return {
        "study": "demo",
        "title": "<script>alert(1)</script> demo",
        "description": "what & why",
        "report_dir": tmp_path / "reports" / "demo",
        "figures_dir": tmp_path / "figures" / "demo",
        "settings": {"seed": 42, "note": "</pre><script>"},
        "metrics": {"template.match_rate": metric(0.5, 0.4, 0.6, baseline=True)},
        "reference": {},
        "notebooks": [tmp_path / "reports" / "demo" / "notebooks" / "01 data.ipynb"],
        "cards": [{"model": "unimat", "seeds": [1, 2], "seconds": [12.5, 13.25], "versions": {"torch": "2.13.0"}}],
        "missing": ["DFT was not run <b>"],
    }


def test_report_stands_alone_and_escapes(report_input):
    path = build_report(**report_input)
    page = path.read_text()
    assert page.count('src="data:image/png;base64,') == 2
    targets = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert not [t for t in targets if re.match(r"(https?:)?//", t)]
    assert "@import" not in page and "url(" not in page
    assert "../../figures/demo/10/energies.pdf" in targets and "notebooks/01%20data.ipynb" in targets
    anchors = {t[1:] for t in targets if t.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]*)"', page))
    assert "<script" not in page and "<b>\n" not in page
    assert "12.5, 13.25" in page and "versions.torch" in page and "DFT was not run &lt;b&gt;" in page
    first = path.read_bytes()
    assert build_report(**report_input).read_bytes() == first


def test_report_has_results_before_data_and_figures_by_folder(report_input):
    page = build_report(**report_input).read_text()
    body = page[page.index("<main>") :]
    assert body.index("The results&#39; table") < body.index("The data&#39;s table") < body.index("The groups") < body.index("The energies")
    assert "Headline once more" not in page
    assert re.findall(r"<h3 id=.figures-\d\d.>(\w+)</h3>", body) == ["Data", "Results"]
    ids = re.findall(r'id="([^"]*)"', page)
    assert len(ids) == len(set(ids))  # tables of one name in two folders
    assert '<td class="number">0.5 [0.4, 0.6]</td>' in body and "<td>&lt;b&gt;</td>" in body


def test_report_names_a_missing_figure_file(report_input):
    (report_input["figures_dir"] / "02" / "groups.pdf").unlink()
    with pytest.raises(FileNotFoundError, match=r"groups\.pdf"):
        build_report(**report_input)


def test_report_of_an_empty_study(report_input, tmp_path):
    empty = {"metrics": {}, "notebooks": [], "cards": [], "missing": [], "settings": {}}
    empty |= {"report_dir": tmp_path / "new", "figures_dir": tmp_path / "none"}
    page = build_report(**(report_input | empty)).read_text()
    assert "No metrics were computed" in page and "Nothing failed" in page
