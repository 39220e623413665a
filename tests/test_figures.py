"""Figures of the data: saved files are reproducible, every crystal is counted once, each model has its colour."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from present_case import made_up_study, three_crystals

from crystalgen.report import figures, structures
from crystalgen.report.figures.coordinates import BINS, wrapped_coordinates
from crystalgen.report.labels import model_labels, row_labels
from crystalgen.report.style import PALETTE, palette, save_figure

table = pytest.fixture(three_crystals)


def _read(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _save_twice(make, tmp_path, **options):
    for folder in ("one", "two"):
        save_figure(make(), tmp_path / folder, "it", **options)
    return _read(tmp_path / "one"), _read(tmp_path / "two")


def test_saved_figure_is_byte_identical(table, tmp_path):
    one, two = _save_twice(lambda: figures.energy_histogram(table), tmp_path, pdf=True)
    assert sorted(one) == ["it.pdf", "it.png"]
    assert one == two
    assert b"CreationDate" not in one["it.pdf"]


def test_saved_gallery_is_byte_identical(table, tmp_path):
    item = {"title": "CsCl", "crystals": {"target": table.iloc[0], "generated": table.iloc[1]}, "matched": False}
    one, two = _save_twice(lambda: structures.gallery([item]), tmp_path)
    assert list(one) == ["it.png"]
    assert one == two


def test_a_notebook_shows_a_figure_once(table):
    figures.energy_histogram(table)
    assert plt.get_fignums() == []  # an open one is shown again below the cell that names it


def test_a_name_keeps_its_colour_whatever_else_is_shown():
    names = pd.Series(pd.Categorical(["b", "c"], ["a", "b", "c"]))
    assert palette(names) == {"b": PALETTE[1], "c": PALETTE[2]}
    assert palette(["x", "y", "x"]) == {"x": PALETTE[0], "y": PALETTE[1]}


def test_labels_follow_from_the_settings_and_a_name_in_the_study_stands():
    study = made_up_study()
    labels = row_labels(study)
    assert labels["matrix_generation_ddim"] == "Matrix U-Net, diffusion (DDIM)"
    assert labels["matrix_modification_flow"] == "Matrix U-Net, modification by flow matching"
    assert labels["unimat"] == "UniMat, diffusion"
    assert labels["modification_input"] == "Input structure unchanged"
    assert list(labels)[-1] == "random_search" and len(set(labels.values())) == len(labels)
    same = study.model_copy(update={"models": {"one": study.models["unimat"], "two": study.models["unimat"]}})
    assert model_labels(same) == {"one": "UniMat, diffusion (one)", "two": "UniMat, diffusion (two)"}


def test_histograms_count_every_crystal_once(table):
    legend = figures.energy_histogram(table).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["train (n = 1)", "unassigned (n = 1)"]
    bars = figures.space_group_bars(table, most=2).axes[0]
    assert [patch.get_width() for patch in bars.patches] == [1, 1]
    assert bars.get_title() == "2 of 3 space groups, 67% of n = 3 crystals"
    assert "2 groups, n = 3 crystals" in figures.group_size_histogram(table).axes[0].get_title()
    elements = figures.element_bars(table).axes[0]
    shares = dict(zip([label.get_text() for label in elements.get_xticklabels()], elements.patches, strict=True))
    assert {name: round(patch.get_height(), 3) for name, patch in shares.items()} == {"Cs": 0.667, "Cl": 0.667, "W": 0.333, "B": 0.333}


def test_coordinates_are_wrapped_and_both_sides_of_the_boundary_are_one_place(table):
    shifted = table.assign(frac_coords=[x - 3 for x in table["frac_coords"]])
    edge = table.assign(frac_coords=[np.where(x > 0.5, 0.999, -1e-9) for x in table["frac_coords"]])
    np.testing.assert_allclose(wrapped_coordinates(shifted), wrapped_coordinates(table), atol=1e-9)
    assert (np.abs(wrapped_coordinates(edge)) < 0.5 / BINS).all()
    figure = figures.coordinate_distribution(table, {"a": shifted, "b": edge})
    assert len(figure.axes) == 6 and figure.axes[1].get_title() == "a (n = 7 atoms)"


def test_data_without_energies_still_give_a_figure(table, tmp_path):
    figure = figures.energy_histogram(table.assign(formation_energy_per_atom=np.nan))
    assert "no formation energies" in figure.axes[0].texts[0].get_text()
    assert save_figure(figure, tmp_path, "empty").is_file()
