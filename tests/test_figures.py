"""Figures of the data: saved files are reproducible, every crystal is counted once, each model has its colour."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from present_case import three_crystals

from crystalgen.report import figures, pictures
from crystalgen.report.style import PALETTE, model_colors, model_label, save_figure

table = pytest.fixture(three_crystals)


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
    item = {"title": "CsCl", "crystals": {"target": table.iloc[0], "generated": table.iloc[1]}, "matched": False}
    one, two = _save_twice(lambda: (pictures.gallery([item]), pictures.gallery_points([item])), tmp_path)
    assert one == two


def test_a_notebook_shows_a_figure_once(table):
    figures.energy_histogram(table)
    assert plt.get_fignums() == []  # an open one is shown again below the cell that names it


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


def test_coordinates_are_wrapped_and_both_sides_of_the_boundary_are_one_place(table):
    shifted = table.assign(frac_coords=[x - 3 for x in table["frac_coords"]])
    edge = table.assign(frac_coords=[np.where(x > 0.5, 0.999, -1e-9) for x in table["frac_coords"]])
    figure, points = figures.coordinate_distribution(table, {"a": shifted, "b": edge})
    assert points.groupby(["axis", "crystals"])["count"].sum().eq(7).all()
    wide = points.pivot_table(index=["axis", "center"], columns="crystals", values="count")
    assert (wide["a"] == wide["training data"]).all()
    assert wide["b"].xs(0.0, level="center").eq(7).all()
    assert len(figure.axes) == 6


def test_data_without_energies_still_gives_a_figure(table, tmp_path):
    figure, points = figures.energy_histogram(table.assign(formation_energy_per_atom=np.nan))
    assert points.empty
    assert save_figure(figure, tmp_path, "empty", "c", "a", points).is_file()
