"""Figures are reproducible, pictures complete, verdicts careful, and the report stands alone."""

import json
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from crystalgen import crystals as crystals_module
from crystalgen import paths
from crystalgen.config import Study, UNet1dConfig
from crystalgen.evaluate import sampler_steps, summary
from crystalgen.nets.unet1d import UNet1d
from crystalgen.present import choose, figures, pictures
from crystalgen.present.figures.model import trunk_plan
from crystalgen.present.paper_tables import NOT_RUN, paper_note, paper_table
from crystalgen.present.report import build_report
from crystalgen.present.style import PALETTE, model_colors, model_label, save_figure
from crystalgen.present.tables import HEADLINE_NAME, format_interval, format_seeds, headline_table, steps_table, write_table
from crystalgen.represent.tensors import matrix_tensors, save_tensors
from crystalgen.tensors import VAL


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    numbers = [np.array([55, 17]), np.array([55, 17]), np.array([74, 5, 5])]
    return crystals_module.from_columns(
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
    item = {"title": "CsCl", "crystals": {"target": table.iloc[0], "generated": table.iloc[1]}, "matched": False}
    one, two = _save_twice(lambda: (pictures.gallery([item]), pictures.gallery_points([item])), tmp_path)
    assert one == two


def test_a_gallery_shows_its_crystals_from_top_to_bottom(table):
    shown = {"input": table.iloc[2], "target": table.iloc[0], "generated": table.iloc[1]}
    items = [{"title": f"item {i}", "crystals": shown, "matched": i == 1} for i in range(7)]
    figure = pictures.gallery(items)
    assert len(figure.axes) == 2 * 3 * 6  # a second block for the seventh
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:18] == [f"item {i}" for i in range(6)] + [""] * 6 + ["no match", "match"] + ["no match"] * 4
    points = pictures.gallery_points(items)
    assert points[points["item"] == 7].groupby("shown").size().to_dict() == {"generated": 2, "input": 3, "target": 2}


def test_a_notebook_shows_a_figure_once(table):
    figures.energy_histogram(table)
    assert plt.get_fignums() == []  # an open one is shown again below the cell that names it


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


# Tables


def _metric(value, low, high, task="generation", baseline=False, by_seed=None):
    return {"value": value, "low": low, "high": high, "n": 100, "seeds": list(range(len(by_seed or [1]))), "source": "x"} | {
        "by_seed": by_seed or [value],
        "task": task,
        "baseline": baseline,
    }


@pytest.fixture
def metrics() -> dict:
    """Made up: a template at 0.5 for generation; for modification the input at 0.2 and a template at 0.7."""
    return {
        "library.groups": {"value": 1, "low": None, "high": None, "n": 1, "seeds": []},
        "template.match_rate": _metric(0.5, 0.4, 0.6, baseline=True),
        "template.structure_validity": _metric(1.0, 1.0, 1.0, baseline=True),
        "modification_input.match_rate": _metric(0.2, 0.1, 0.3, "modification", True),
        "modification_input.structure_validity": _metric(1.0, 1.0, 1.0, "modification", True),
        "modification_template.match_rate": _metric(0.7, 0.6, 0.8, "modification", True),
        "modification_template.structure_validity": _metric(1.0, 1.0, 1.0, "modification", True),
        "matrix_generation_ddim.match_rate": _metric(0.55, 0.45, 0.65, by_seed=[0.56, 0.512, 0.578]),
        "matrix_generation_ddim.structure_validity": _metric(0.9, 0.8, 1.0, by_seed=[0.9, 0.9, 0.9]),
        "matrix_modification_flow.match_rate": _metric(0.5, 0.4, 0.6, "modification", by_seed=[0.4, 0.6]),
        "matrix_modification_flow.structure_validity": _metric(0.8, 0.7, 0.9, "modification", by_seed=[0.8, 0.8]),
        "unimat.structure_validity": _metric(0.7, 0.6, 0.8, task=None),
    }


REFERENCE = {
    "matrix_generation_ddim.match_rate": {"value": 0.82, "where": "B, Table 1", "data": "AFLOW"},
    "matrix_generation_ddpm.match_rate": {"value": 0.8074, "where": "B, Table 1", "data": "AFLOW"},
}


def _notes(metrics: dict) -> dict[str, str]:
    table = headline_table(metrics, {})
    table = table[table["Metric"] == "Match rate"]
    return dict(zip(table["Model"], table["Note"], strict=True))


def test_headline_claims_only_what_the_intervals_allow(metrics):
    metrics |= {
        "worse.match_rate": _metric(0.2, 0.1, 0.3),
        "overlapping.match_rate": _metric(0.3, 0.15, 0.45),
        "better.match_rate": _metric(0.8, 0.7, 0.9),
        "bare.match_rate": _metric(0.9, None, None),
        "better.rmse": _metric(0.1, 0.05, 0.15),
    }
    notes = _notes(metrics)
    assert {model: notes[model] for model in ("worse", "overlapping", "better", "bare", "Template substitution")} == {
        "worse": "below template substitution",
        "overlapping": "below template substitution",
        "better": "above template substitution",
        "bare": "not compared (an interval is missing) with template substitution",
        "Template substitution": "",
    }
    assert notes[model_label("matrix_generation_ddim")] == "level with template substitution"
    table = headline_table(metrics, REFERENCE).set_index(["Model", "Metric"])
    assert table.loc[("better", "RMSE"), "Note"] == ""
    assert table.loc[(model_label("matrix_generation_ddim"), "Match rate"), ["Paper", "Paper's data"]].tolist() == [
        "0.82 (B, Table 1)",
        "AFLOW",
    ]


def test_a_row_is_compared_with_the_baselines_of_its_own_task(metrics):
    """0.5 is level with generation's template, which is no rival of a modification."""
    notes = _notes(metrics)
    assert notes[model_label("matrix_modification_flow")] == "above returning the input; below template substitution"
    metrics["matrix_modification_flow.match_rate"] |= {"value": 0.9, "low": 0.85, "high": 0.95}
    assert _notes(metrics)[model_label("matrix_modification_flow")] == "above returning the input and template substitution"
    del metrics["template.match_rate"]
    assert _notes(metrics)[model_label("matrix_generation_ddim")] == ""


def test_headline_order_and_seeds(metrics):
    table = headline_table(metrics, {})
    rows = ["matrix_generation_ddim", "template", "matrix_modification_flow", "modification_input", "modification_template"]
    assert table["Model"].tolist() == [model_label(row) for row in [*rows, *rows, "unimat"]]
    assert table["Seeds"].tolist()[:5] == ["3: 0.512–0.578", "–", "2: 0.400–0.600", "–", "–"]
    assert table["Seeds"].tolist()[-1] == "1"


def test_metrics_written_before_there_were_seeds_still_make_a_table():
    old = {"unimat.match_rate": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 7}}
    assert headline_table(old, {})[["n", "Seeds", "Note"]].to_numpy().tolist() == [["7", "–", ""]]


def _training(seeds=(1, 2)) -> dict:
    return {"steps": 5, "seeds": list(seeds)}


@pytest.fixture
def study() -> Study:
    return Study.model_validate(
        {
            "title": "t",
            "description": "d",
            "data": {"path": "data/library/crystals.parquet"},
            "models": {
                "matrix_generation_diffusion": {
                    "representation": "matrix",
                    "objective": {"name": "diffusion"},
                    "training": {**_training((1, 2, 3)), "energy_dropout": 0.1},
                    "sampling": {
                        "matrix_generation_ddim": {"sampler": "ddim", "steps": 20},
                        "guided": {"sampler": "ddpm", "steps": 9, "guidance": 0.5},
                    },
                },
                "matrix_generation_flow_normal": {
                    "representation": "matrix",
                    "objective": {"name": "flow", "prior": "normal", "mean": 0.5, "std": 0.25},
                    "training": _training(),
                    "sampling": {"matrix_generation_flow_normal": {"sampler": "euler", "steps": 7}},
                },
                "matrix_modification_flow": {
                    "representation": "matrix",
                    "task": "modification",
                    "objective": {"name": "flow", "prior": "structure"},
                    "training": _training(),
                    "sampling": {"matrix_modification_flow": {"sampler": "euler", "steps": 50}},
                },
                "unimat": {
                    "representation": "unimat",
                    "training": _training((1,)),
                    "sampling": {"unimat": {"sampler": "ddim", "steps": 5}},
                },
            },
            "baselines": {
                "template": {},
                "modification_input": {"kind": "input", "task": "modification"},
                "modification_template": {"task": "modification"},
            },
            "sampler_steps": {"steps": [1, 5], "targets": 8},
            "search": {"rows": ["matrix_generation_ddim"], "ladders": {}},
        }
    )


def test_table_1_has_the_papers_methods_then_our_own_then_the_baselines(metrics, study):
    metrics |= {f"guided.{name}": metrics[f"matrix_generation_ddim.{name}"] for name in ("match_rate", "structure_validity")}
    table = paper_table("generation", metrics, REFERENCE, study).set_index("Method")
    assert table.index.tolist() == ["DDPM", "DDIM", "CFM, normal noise", "CFM, U(0,1)", "Guided", "Template substitution"]
    assert table.loc["DDIM"].tolist() == [
        "0.550 [0.45, 0.65]",
        "100",
        "3: 0.512–0.578",
        "0.900 [0.8, 1]",
        "DDIM, 20 steps",
        "0.82",
        "level with template substitution",
    ]
    assert table.loc["DDPM"].tolist() == ["–", "–", "–", "–", "–", "0.8074", NOT_RUN]
    assert table.loc["Guided", "Sampler"] == "DDPM, 9 steps, guidance 0.5"
    assert table.loc["Template substitution"].tolist() == ["0.500 [0.4, 0.6]", "100", "–", "1.00 [1, 1]", "–", "", ""]
    assert "mean 0.5 and standard deviation 0.25" in paper_note("generation", study)


def test_table_2_is_of_modification_alone(metrics, study):
    table = paper_table("modification", metrics, REFERENCE, study).set_index("Method")
    assert table.index.tolist() == ["Regression", "Diffusion", "CFM", "Returning the input", "Template substitution"]
    assert table.loc["CFM", ["Seeds", "Note"]].tolist() == ["2: 0.400–0.600", "above returning the input; below template substitution"]
    assert table.loc["Template substitution"].iloc[0] == "0.700 [0.6, 0.8]"
    assert "standard deviation" not in paper_note("modification", study)


def test_seeds_text():
    assert format_seeds({"by_seed": [0.5, 0.4, 0.45]}) == "3: 0.400–0.500"
    assert format_seeds({"by_seed": [0.5]}) == "1"
    assert format_seeds({"by_seed": [0.5], "baseline": True}) == "–"


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


# Results


def _rates(**rows) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"row": row, "sampler": "euler", "steps": [10, 1, 5], "value": [0.5, 0.0, value], "low": 0.0, "high": 0.6, "n": 8})
        for row, value in rows.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_steps_are_drawn_in_order_and_tabulated():
    rates = _rates(matrix_generation_ddim=0.2, matrix_generation_flow_uniform=0.4)
    figure, points = figures.rate_by_steps(rates)
    assert points["row"].tolist() == ["matrix_generation_flow_uniform"] * 3 + ["matrix_generation_ddim"] * 3
    assert points["steps"].tolist() == [1, 5, 10] * 2
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5", "10"]
    assert ax.get_ylim()[0] < 0  # a marker at 0 is not cut
    drawn = [line.get_ydata().tolist() for line in ax.get_lines() if len(line.get_ydata()) == 3 and line.get_linestyle() != "None"]
    assert drawn == [[0.0, 0.4, 0.5], [0.0, 0.2, 0.5]]
    table = steps_table(rates)
    assert table.columns.tolist() == ["Steps", model_label("matrix_generation_flow_uniform"), model_label("matrix_generation_ddim")]
    assert table.iloc[1].tolist() == ["5", "0.400 [0, 0.6]", "0.200 [0, 0.6]"]


def test_no_steps_still_make_a_figure():
    assert figures.rate_by_steps(_rates(a=0.1).head(0))[1].empty


def test_match_rates_are_shown_with_each_seed(metrics):
    rows = summary.match_rows(metrics, REFERENCE, "generation")
    assert rows["model"].tolist() == ["template", "matrix_generation_ddim"]
    figure, points = figures.match_rate_bars(rows)
    assert points["by_seed"].tolist() == ["0.56 0.512 0.578", "0.5"]
    assert points["paper_value"].tolist()[0] == 0.82
    dots = next(c for c in figure.axes[0].collections if c.get_label() == "each training seed")
    assert dots.get_offsets()[:, 0].tolist() == [0.56, 0.512, 0.578]


def test_rates_by_size_have_a_panel_per_model_with_the_baselines_in_each():
    rows = pd.DataFrame(
        [
            {"model": model, "baseline": model == "template", "nsites": nsites, "value": 0.1, "low": 0.0, "high": 0.2, "n": nsites}
            for model in ("template", "unimat", "mine", "yours")
            for nsites in (8, 4)
        ]
    )
    figure, points = figures.rate_by_group(rows)
    assert points["nsites"].tolist() == [4, 8] * 4
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == [model_label("unimat"), "mine", "yours"]
    for ax in panels:
        assert len(ax.containers) == 2
        assert [label.get_text() for label in ax.get_xticklabels()] == ["4\nn = 4", "8\nn = 8"]


def test_training_curves_have_a_thin_line_per_seed_and_a_bold_mean():
    curve = pd.DataFrame({"step": [1, 2, 1, 2], "loss": [4.0, 2.0, 2.0, 1.0], "val_loss": [5.0, np.nan, 3.0, np.nan], "seed": [1, 1, 2, 2]})
    figure, points = figures.training_curves({"unimat": curve, "mine": curve[curve["seed"] == 1]})
    lines = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[4, 2], [2, 1], [3, 1.5], [5], [3], [4]]
    assert lines[2].get_linewidth() > lines[0].get_linewidth()
    assert len(figure.axes[1].get_lines()) == 2
    assert points.columns.tolist() == ["model", "seed", "step", "loss", "val_loss"]
    assert len(points) == 6


@pytest.mark.parametrize(
    ("rows", "net"),
    [
        (12, UNet1dConfig(channels=16, multipliers=(1, 1), blocks=1, attention=(1,), heads=2)),
        (9, UNet1dConfig(channels=8, multipliers=(1, 2, 3), blocks=2, attention=(2, 4), heads=2)),
    ],
)
def test_the_diagram_is_of_the_network_that_is_built(rows, net):
    """Channels, rows, blocks and attention of each stage, seen in a run of the network itself."""
    unet = UNet1d(rows, torch.zeros(104, 22), torch.zeros(231, 192, 4, 4), net)
    seen = []

    def watch(stage: str, level) -> None:
        level.register_forward_hook(lambda module, _, out: seen.append((stage, *out.shape[1:], module.attention is not None)))

    for stage, levels in (("down", unet.trunk.down), ("middle", [unet.trunk.middle]), ("up", unet.trunk.up)):
        for depth in levels:
            for level in depth:
                watch(stage, level)
    known = {"atomic_numbers": torch.ones(2, rows, dtype=torch.long), "space_group": torch.ones(2, dtype=torch.long)}
    known |= {"energy": torch.zeros(2), "energy_known": torch.ones(2, dtype=torch.bool)}
    unet(torch.zeros(2, rows, 3), torch.zeros(2), known)
    plan = trunk_plan(net, rows)
    assert seen == [(s.stage, s.channels, s.rows, s.attention) for s in plan.itertuples() for _ in range(s.blocks)]
    assert plan["skips"].sum() == 1 + sum(len(stage) for stage in unet.trunk.down) + len(unet.trunk.shrink)


def test_the_diagram_shows_the_structure_to_modify_only_where_there_is_one():
    def text(*tasks: str) -> str:
        figure, _ = figures.model_diagram(UNet1dConfig(), 24, tasks)
        return " ".join(t.get_text() for ax in figure.axes for t in ax.texts)

    assert "structure to modify" in text("generation", "modification")
    assert "structure to modify" not in text("generation")
    assert "64 × 24" in text("generation")


# A study's results, made up


@pytest.fixture
def evaluated(tmp_path, monkeypatch, study, crystals):
    """Samples and evaluations of the study's rows, except unimat's, and its 59 crystals; 10 requests, two seeds."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "PROCESSED", tmp_path / "processed")
    monkeypatch.setattr(paths, "LIBRARY", tmp_path / "data" / "library")
    for module in (summary, choose):
        monkeypatch.setattr(module, "load_study", lambda _: study)
    rate = {"template": 0.5, "modification_input": 0.0, "modification_template": 0.9, "matrix_modification_flow": 0.4}
    for name, row in summary.study_rows(study).items():
        if row.task is None:
            continue
        seeds = [0] if row.baseline else [2, 1]
        asked = crystals.head(10 if row.baseline else 5)
        verdicts = asked[["formula", "nsites"]].assign(request=[str(i) for i in range(len(asked))], target_id=asked["id"].to_numpy())
        if row.task == "modification":
            verdicts["input_id"] = crystals["id"].to_numpy()[20 : 20 + len(asked)]
        verdicts = pd.concat([verdicts.assign(seed=seed) for seed in seeds], ignore_index=True)
        matched = np.arange(len(verdicts)) < rate.get(name, 0.6) * len(verdicts)
        folder = paths.evaluation("s", row.model) / name
        folder.mkdir(parents=True)
        verdicts.assign(matched=matched, sampled=matched | (np.arange(len(verdicts)) > 0)).to_parquet(folder / "verdicts.parquet")
        by_seed = verdicts.assign(matched=matched).groupby("seed")["matched"].mean().loc[seeds].tolist()
        values = {"value": matched.mean(), "low": 0.0, "high": 1.0, "n": len(asked), "seeds": seeds, "by_seed": by_seed}
        (folder / "metrics.json").write_text(json.dumps({"match_rate": values, "structure_validity": values}))
        generated = crystals[crystals["id"].isin(verdicts["target_id"])].set_index("id").loc[verdicts["target_id"]].reset_index(drop=True)
        generated = generated.assign(seed=verdicts["seed"], request=verdicts["request"], id=[f"{name}-{i}" for i in range(len(verdicts))])
        crystals_module.write_crystals(generated, paths.samples("s", row.model) / name / "crystals.parquet")
        record = {"row": name, "requested": len(verdicts), "decoded": len(verdicts) - 1, "seeds": seeds}
        record["rejected"] = {} if row.baseline else {"no atoms": 1}
        (paths.samples("s", row.model) / name / "record.json").write_text(json.dumps(record))
    return crystals


def test_collected_metrics_know_their_task(evaluated):
    metrics = summary.collect_metrics("s", evaluated)
    assert metrics["library.structures"]["value"] == len(evaluated)
    assert {key.split(".")[0]: row["task"] for key, row in metrics.items() if key.endswith("match_rate")} == {
        "matrix_generation_ddim": "generation",
        "guided": "generation",
        "matrix_generation_flow_normal": "generation",
        "matrix_modification_flow": "modification",
        "template": "generation",
        "modification_input": "modification",
        "modification_template": "modification",
    }
    assert summary.match_rows(metrics, {}, "modification")["model"].tolist() == [
        "matrix_modification_flow",
        "modification_input",
        "modification_template",
    ]
    assert choose.best_row(metrics, "modification") == "matrix_modification_flow"  # not the template, which is better
    with pytest.raises(ValueError, match="modification"):
        choose.best_row({key: row for key, row in metrics.items() if row.get("baseline")}, "modification")


def test_rates_by_size_count_what_was_asked_for_once_for_all_seeds(evaluated):
    rates = summary.rates_by_size("s", 50, "generation")
    assert set(rates["model"]) == {"matrix_generation_ddim", "guided", "matrix_generation_flow_normal", "template"}
    assert rates.groupby("model")["n"].sum().to_dict() == {
        "guided": 5,
        "matrix_generation_ddim": 5,
        "matrix_generation_flow_normal": 5,
        "template": 10,
    }
    assert rates.groupby("model")["baseline"].first()["template"]


def test_shortfalls_say_what_is_below_a_baseline_of_its_task(evaluated):
    metrics = summary.collect_metrics("s", evaluated)
    sentences = summary.shortfalls("s", metrics, label=str.upper)
    below = [s for s in sentences if "matches less often" in s]
    assert below == [
        "MATRIX_MODIFICATION_FLOW: matches less often (0.400, n = 5, 2 seeds from 0.000 to 0.800) than the modification baseline "
        "MODIFICATION_TEMPLATE (0.900)."
    ]
    assert "UNIMAT: not evaluated." in sentences
    assert "GUIDED: 1 of 10 samples could not be decoded (no atoms); they count as failures." in sentences
    assert "TEMPLATE: 1 of 10 targets have no template; they count as failures." in sentences
    draws = next(s for s in sentences if s.startswith("Asked for a draw"))
    assert "GUIDED (5 of 10)" in draws and "MATRIX_MODIFICATION_FLOW (5 of 10)" in draws and "TEMPLATE" not in draws
    spread = next(s for s in sentences if "between the seeds" in s)
    assert "up to 0.800" in spread
    assert not any("one training seed" in s for s in sentences)
    metrics["guided.match_rate"] |= {"seeds": [1], "by_seed": [0.6]}
    assert "guided: one training seed only." in summary.shortfalls("s", metrics)


def test_a_gallery_is_a_repeatable_draw_of_the_first_seed(evaluated):
    items = choose.gallery_items("s", "matrix_modification_flow", evaluated, 3)
    assert len(items) == 3
    for item in items:
        assert list(item["crystals"]) == ["input", "target", "generated"]
        assert item["crystals"]["generated"]["seed"] == 2
        assert item["title"] == item["crystals"]["target"]["formula"] == item["crystals"]["generated"]["formula"]
    again = choose.gallery_items("s", "matrix_modification_flow", evaluated, 3)
    assert [i["crystals"]["target"]["id"] for i in items] == [i["crystals"]["target"]["id"] for i in again]
    everything = choose.gallery_items("s", "matrix_generation_ddim", evaluated, 99)
    assert list(everything[0]["crystals"]) == ["target", "generated"]
    assert len(everything) == 5


class _PerfectFromFiveSteps:
    """An objective whose samples are the validation crystals, or nothing like them in fewer than five steps."""

    def __init__(self, data):
        self.x = data.x[data.items(VAL)]

    def sample(self, model, shape, condition, sampling, generator, device):
        return self.x.clone() if sampling.steps >= 5 else torch.full(shape, 0.5)


def test_steps_are_counted_on_validation_crystals(evaluated, study, monkeypatch):
    split = np.where(np.arange(len(evaluated)) < 40, "train", np.where(np.arange(len(evaluated)) < 48, "val", "test"))
    table = evaluated.assign(split=split, formation_energy_per_atom=0.1, energy_source="made up")
    save_tensors(matrix_tensors(table), paths.tensors("s", "matrix"))
    loaded = []
    monkeypatch.setattr("crystalgen.jobs.load_net", lambda model, data, path: loaded.append(path) or torch.nn.Linear(1, 1))
    data = sampler_steps.load_task("generation", paths.tensors("s", "matrix"))
    monkeypatch.setattr(sampler_steps, "build_objective", lambda settings: _PerfectFromFiveSteps(data))
    monkeypatch.setattr("crystalgen.sampling.batch_size", lambda *_: 99)
    rates = sampler_steps.rates_by_steps("s", study, table)
    assert rates["row"].unique().tolist() == ["matrix_generation_ddim", "guided", "matrix_generation_flow_normal"]
    assert rates["steps"].tolist() == [1, 5] * 3
    assert rates["value"].tolist() == [0.0, 1.0] * 3
    assert rates["n"].eq(8).all()
    assert {path.name for path in loaded} == {"1.safetensors"}  # the first training seed


# Report


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
        "metrics": {"template.match_rate": _metric(0.5, 0.4, 0.6, baseline=True)},
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
