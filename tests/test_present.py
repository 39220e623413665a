"""Figures are reproducible, pictures complete, verdicts careful, and the report stands alone."""

import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crystalgen import crystals
from crystalgen.present import figures, pictures
from crystalgen.present.report import build_report
from crystalgen.present.style import PALETTE, model_colors, model_label, save_figure
from crystalgen.present.tables import format_interval, headline_table, write_table


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    numbers = [np.array([55, 17]), np.array([55, 17]), np.array([74, 5, 5])]
    return crystals.from_columns(
        [np.eye(3) * 4.1, np.diag([3.0, 3.0, 6.0]), np.eye(3) * 5],
        numbers,
        [rng.random((len(z), 3)) for z in numbers],
        "test",
        space_group=[221, 123, 1],
        split=["train", "val", None],
        formation_energy_per_atom=[-1.0, np.nan, -0.5],
        energy_source=["x", None, "x"],
    )


def _read(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _save_twice(make, tmp_path):
    for folder in ("one", "two"):
        figure, points = make()
        save_figure(figure, tmp_path / folder, "it", "caption", "alt", points)
    return _read(tmp_path / "one"), _read(tmp_path / "two")


def test_saved_figure_is_byte_identical(table, tmp_path):
    one, two = _save_twice(lambda: figures.energy_histogram(table), tmp_path)
    assert sorted(one) == ["it.csv", "it.json", "it.pdf", "it.png"]
    assert one == two
    assert b"CreationDate" not in one["it.pdf"]


def test_saved_gallery_is_byte_identical(table, tmp_path):
    pair = {"title": "CsCl", "target": table.iloc[0], "generated": table.iloc[1], "matched": False}
    points = pictures.site_points([table.iloc[0], table.iloc[1]], ["target", "generated"])
    one, two = _save_twice(lambda: (pictures.gallery([pair]), points), tmp_path)
    assert one == two


@pytest.mark.parametrize(
    ("position", "count"),
    [
        ((0, 0, 0), 8),
        ((0.999, 1.0, -0.001), 8),
        ((0, 0, 0.5), 4),
        ((0.5, 0.5, 0), 2),
        ((0.5, 0.5, 1), 2),
        ((0.5, 0.5, 0.5), 1),
        ((0.5, 0.5, 0.03), 1),
    ],
)
def test_atoms_on_the_boundary_are_repeated(position, count):
    index, coords = pictures.boundary_images(np.array([position, (0.3, 0.3, 0.3)], dtype=float))
    assert (index == 0).sum() == count
    assert (index == 1).sum() == 1
    assert len(np.unique(coords.round(2), axis=0)) == count + 1
    assert (coords > -0.011).all() and (coords < 1.011).all()


@pytest.mark.parametrize("lattice", [np.eye(3) * 3, np.diag([20.0, 3, 3]), [[0, 2, 2], [2, 0, 2], [2, 2, 0]], -np.eye(3) * 3])
def test_view_is_a_proper_rotation(lattice):
    view = pictures._view(np.array(lattice, dtype=float))
    np.testing.assert_allclose(view.T @ view, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) > 0  # a mirror image would be another crystal


@pytest.mark.parametrize("longest", [0, 1, 2])
def test_longest_vector_is_not_along_the_line_of_sight(longest):
    lattice = np.eye(3) * 3
    lattice[longest] = np.roll([1.0, 9.0, 1.0], longest - 1)
    seen = lattice[longest] @ pictures._view(lattice)
    assert np.linalg.norm(seen[:2]) > 0.9 * np.linalg.norm(seen)


def test_unknown_models_keep_their_id_and_share_no_colour_with_known_ones():
    colors = model_colors(["unimat", "mine", "yours", "template"])
    assert len(set(colors.values())) == 4
    assert colors["unimat"] == model_colors(["unimat"])["unimat"]
    assert colors["mine"] in PALETTE
    assert model_label("mine") == "mine"


def test_histograms_count_every_crystal_once(table):
    _, energies = figures.energy_histogram(table)
    assert energies.groupby("split")["count"].sum().to_dict() == {"train": 1, "unassigned": 1}
    _, groups = figures.space_group_bars(table, most=2)
    assert groups["crystals"].sum() == 3
    _, sizes = figures.group_size_histogram(table)
    assert dict(zip(sizes["size"], sizes["groups"], strict=True)) == {1: 1, 2: 1}
    _, elements = figures.element_bars(table)
    assert elements.set_index("element")["share"].round(3).to_dict() == {"Cl": 0.667, "Cs": 0.667, "B": 0.333, "W": 0.333}


def test_coordinates_are_wrapped_into_the_cell(table):
    shifted = table.assign(frac_coords=[x - 3 for x in table["frac_coords"]])
    _, points = figures.coordinate_distribution({"a": table, "b": shifted})
    assert points.groupby(["axis", "crystals"])["count"].sum().eq(7).all()


def test_data_without_energies_still_gives_a_figure(table, tmp_path):
    figure, points = figures.energy_histogram(table.assign(formation_energy_per_atom=np.nan))
    assert points.empty
    assert save_figure(figure, tmp_path, "empty", "c", "a", points).is_file()


def _metric(value, low, high):
    return {"value": value, "low": low, "high": high, "n": 100, "seeds": [1], "source": "x"}


def test_headline_claims_only_what_the_intervals_allow():
    metrics = {
        "library.groups": _metric(1, None, None),
        "template.match_rate": _metric(0.5, 0.4, 0.6),
        "unimat.match_rate": _metric(0.55, 0.45, 0.65),
        "worse.match_rate": _metric(0.2, 0.1, 0.3),
        "overlapping.match_rate": _metric(0.3, 0.15, 0.45),
        "better.rmse": _metric(0.1, 0.05, 0.15),
        "better.match_rate": _metric(0.8, 0.7, 0.9),
        "bare.match_rate": _metric(0.9, None, None),
    }
    reference = {"unimat.match_rate": {"value": 0.8074, "where": "B, Table 1", "data": "AFLOW"}}
    table = headline_table(metrics, reference)
    notes = dict(zip(table["Model"] + " " + table["Metric"], table["Note"], strict=True))
    assert notes == {
        "UniMat, diffusion Match rate": "level with the template baseline",
        "bare Match rate": "not compared: an interval is missing",
        "better Match rate": "above the template baseline",
        "worse Match rate": "below the template baseline",
        "overlapping Match rate": "below the template baseline",
        "Template substitution Match rate": "",
        "better RMSE": "",
    }
    assert list(table["Model"])[5:] == ["Template substitution", "better"]  # baselines last, match rates first
    assert table["Paper"][0] == "0.8074 (B, Table 1)"
    assert table["Paper's data"][0] == "AFLOW"


def test_interval_text():
    assert format_interval(0.612, 0.58, 0.64) == "0.612 [0.58, 0.64]"
    assert format_interval(0.61234, 0.58123, 0.64789) == "0.612 [0.581, 0.648]"
    assert format_interval(0.3, 0.26, 0.34) == "0.300 [0.26, 0.34]"
    assert format_interval(15143.0, None, None) == "15143"
    assert format_interval(5, None, None) == "5"
    assert format_interval(float("nan"), 0.1, 0.2).startswith("–")


def test_table_files_escape_what_their_formats_reserve(tmp_path):
    frame = pd.DataFrame({"a_b": ["50 % | x", None], "v": [0.123456789, np.nan]})
    write_table(frame, tmp_path, "t", "A & B", "note")
    assert r"50 % \| x" in (tmp_path / "t.md").read_text()
    tex = (tmp_path / "t.tex").read_text()
    assert r"a\_b" in tex and r"50 \% | x" in tex and r"A \& B" in tex
    assert pd.read_csv(tmp_path / "t.csv")["v"][0] == pytest.approx(0.123457)


@pytest.fixture
def report_input(table, tmp_path):
    for name in ("energies", "groups"):
        figure, points = figures.energy_histogram(table)
        save_figure(figure, tmp_path / "figures" / "demo", name, f"The {name} <i>here</i>", f'alt "{name}"', points)
    write_table(pd.DataFrame({"x": ["<b>", "1"]}), tmp_path / "reports" / "demo" / "tables", "one", "Table one")
    return {
        "study": "demo",
        "title": "<script>alert(1)</script> demo",
        "description": "what & why",
        "report_dir": tmp_path / "reports" / "demo",
        "figures_dir": tmp_path / "figures" / "demo",
        "settings": {"seed": 42, "note": "</pre><script>"},
        "metrics": {"template.match_rate": _metric(0.5, 0.4, 0.6)},
        "reference": {},
        "notebooks": [tmp_path / "reports" / "demo" / "notebooks" / "01 data.ipynb"],
        "cards": [{"model": "unimat", "seconds": 12.5, "versions": {"torch": "2.13.0"}}],
        "missing": ["DFT was not run <b>"],
    }


def test_report_stands_alone_and_escapes(report_input):
    path = build_report(**report_input)
    page = path.read_text()
    assert page.count('src="data:image/png;base64,') == 2
    targets = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert not [t for t in targets if re.match(r"(https?:)?//", t)]
    assert "@import" not in page and "url(" not in page
    assert "../../figures/demo/energies.pdf" in targets and "notebooks/01%20data.ipynb" in targets
    anchors = {t[1:] for t in targets if t.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]*)"', page))
    assert "<script" not in page and "<b>\n" not in page
    assert "versions.torch" in page and "DFT was not run &lt;b&gt;" in page
    first = path.read_bytes()
    assert build_report(**report_input).read_bytes() == first


def test_report_names_a_missing_figure_file(report_input):
    (report_input["figures_dir"] / "groups.pdf").unlink()
    with pytest.raises(FileNotFoundError, match=r"groups\.pdf"):
        build_report(**report_input)


def test_report_of_an_empty_study(report_input, tmp_path):
    empty = {"metrics": {}, "notebooks": [], "cards": [], "missing": [], "settings": {}}
    empty |= {"report_dir": tmp_path / "new", "figures_dir": tmp_path / "none"}
    page = build_report(**(report_input | empty)).read_text()
    assert "No metrics were computed" in page and "Nothing failed" in page
