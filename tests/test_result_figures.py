"""Figures of results and of the model: sampler steps, match rates, training curves, the network's diagram."""

import numpy as np
import pandas as pd
import pytest
import torch
from present_case import REFERENCE, made_up_metrics

from crystalgen.generative.nets.unet1d.model import UNet1d
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.metrics.study_results import match_rows
from crystalgen.report import figures
from crystalgen.report.figures.model import trunk_plan
from crystalgen.report.labels import labelled
from crystalgen.report.tables import steps_table

metrics = pytest.fixture(made_up_metrics)


LABELS = {"flow": "Flow", "ddim": "DDIM"}


def _rates(**rows) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"row": row, "sampler": "euler", "steps": [10, 1, 5], "value": [0.5, 0.0, value], "low": 0.0, "high": 0.6, "n": 8})
        for row, value in rows.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(model=labelled(table["row"], LABELS))


def test_steps_are_drawn_in_order_and_tabulated():
    rates = _rates(ddim=0.2, flow=0.4)
    ax = figures.rates_by_steps(rates).axes[0]
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5", "10"]
    drawn = [line.get_ydata().tolist() for line in ax.get_lines() if len(line.get_ydata()) == 3 and line.get_linestyle() != "None"]
    assert drawn == [[0.0, 0.4, 0.5], [0.0, 0.2, 0.5]]
    table = steps_table(rates, LABELS)
    assert table.columns.tolist() == ["Steps", "Flow", "DDIM"]
    assert table.iloc[1].tolist() == ["5", "0.400 [0, 0.6]", "0.200 [0, 0.6]"]


def test_no_steps_still_make_a_figure():
    assert "no generation model" in figures.rates_by_steps(_rates(a=0.1).head(0)).axes[0].texts[0].get_text()


def test_match_rates_are_shown_with_interval_and_each_seed(metrics):
    rows = match_rows(metrics, REFERENCE, "generation")
    assert rows["model"].tolist() == ["template", "matrix_generation_ddim"]
    ax = figures.match_rates(rows).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == rows["model"].tolist()
    assert [text.get_text() for text in ax.texts] == ["0.500  (n = 100)", "0.550  (n = 100)"]
    offsets = [value for dots in ax.collections for value in dots.get_offsets()[:, 0].tolist()]
    assert {0.56, 0.512, 0.578, 0.82} <= set(offsets), "the seeds and the paper's value"
    ends = {round(float(x), 3) for line in ax.get_lines() for x in line.get_xdata()}
    assert {0.4, 0.5, 0.6, 0.45, 0.55, 0.65} <= ends, "values and the ends of their intervals"


def test_rates_by_size_have_a_panel_per_model_with_the_baselines_in_each():
    rows = pd.DataFrame(
        [
            {"model": model, "baseline": model == "template", "nsites": nsites, "value": 0.1, "low": 0.0, "high": 0.2, "n": nsites}
            for model in ("template", "unimat", "mine", "yours")
            for nsites in (8, 4)
        ]
    )
    figure = figures.rates_by_size(rows)
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == ["unimat", "mine", "yours"]
    for ax in panels:
        assert [label.get_text() for label in ax.get_xticklabels()] == ["4\nn = 4", "8\nn = 8"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["template"]
    alone = figures.rates_by_size(rows[rows["model"] == "mine"])
    assert [ax.get_title() for ax in alone.axes if ax.get_title()] == ["mine"]


def test_training_curves_have_the_mean_of_the_seeds_and_a_band():
    curve = pd.DataFrame({"step": [1, 2, 1, 2], "loss": [4.0, 2.0, 2.0, 1.0], "val_loss": [5.0, np.nan, 3.0, np.nan], "seed": [1, 1, 2, 2]})
    figure = figures.training_curves({"two": curve, "one": curve[curve["seed"] == 1]})
    lines = [line.get_ydata().tolist() for line in figure.axes[0].get_lines() if len(line.get_ydata())]
    assert lines == [[3.0, 1.5], [4.0]]
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1.0, 4.0)
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["2 seeds", "1 seed"]


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
        figure = figures.model_diagram(UNet1dConfig(), 24, tasks)
        return " ".join(t.get_text() for ax in figure.axes for t in ax.texts)

    assert "structure to modify" in text("generation", "modification")
    assert "structure to modify" not in text("generation")
    assert "64 × 24" in text("generation")
