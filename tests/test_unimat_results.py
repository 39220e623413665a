"""Tables and figures of paper A: what they show follows from what they were given."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from crystalgen.config import Guidance
from crystalgen.experiments import guidance
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.jobs import load_data
from crystalgen.generative.objectives.settings import Diffusion
from crystalgen.generative.sample import draw_samples, draw_trajectory
from crystalgen.generative.settings import Sampling, UniMatModel
from crystalgen.potentials import single_point
from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.report import figures, galleries
from crystalgen.report.paper_tables import de_novo_table, prediction_table, quality_by_size
from crystalgen.represent.tensors import save_tensors, unimat_tensors
from crystalgen.stability.hull import Hull


class Halves(nn.Module):
    """Says the noise is half of what it sees."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, t, condition):
        return self.gain * x


@pytest.mark.parametrize("frames", [2, 4, 9])
def test_a_trajectory_goes_from_the_noise_to_the_sample(frames):
    objective, sampling = Diffusion(clip=1.0).build(), Sampling(sampler="ddim", steps=8)
    states = draw_trajectory(Halves(), objective, (5, 3), {}, 2, sampling, frames)
    assert states.shape == (frames, 2, 5, 3)
    torch.testing.assert_close(states[-1], draw_samples(Halves(), objective, (5, 3), {}, 2, sampling))
    noise = torch.stack([torch.randn(5, 3, generator=torch.Generator().manual_seed(number)) for number in range(2)])
    torch.testing.assert_close(states[0], noise)
    assert len({tuple(state.flatten().tolist()) for state in states}) == frames


def test_the_denoising_figure_counts_atoms():
    states = np.full((2, 3, 2, 1, 2), -1.0)
    states[0] = 0.5
    states[1, :, 0, 0, 1] = 0.25
    figure = figures.denoising(states, np.array([[0, 5]]), [0, 8])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["after 0 steps: 2 atoms", "after 8 steps: 1 atoms"]
    assert [text.get_text() for text in figure.axes[1].texts] == ["B"]


def test_distributions_are_shares_of_each_set(crystals):
    figure = figures.property_distributions(crystals, {"made": crystals.head(7), "none": crystals.head(0)})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"test crystals (n = {len(crystals)})", "made (n = 7)"]
    for ax in figure.axes[1:]:
        for line in ax.get_lines():
            assert line.get_ydata().max() <= 1


def test_energies_obtained_are_summed_up_by_weight_and_asked_energy():
    found = pd.DataFrame({"asked": [-1.0] * 5 + [0.0] * 4, "weight": 2.0, "energy": [-2, -1, 0, -1, np.nan, 0, 0, 1, 1]})
    ax = figures.energies_obtained(found).axes[0]
    assert [-1.0, 0.5] in [list(line.get_ydata()) for line in ax.get_lines()], "the medians"
    assert ax.get_legend().get_title().get_text() == "n = 4 to 4 a point"
    assert "no sample" in figures.energies_obtained(found.assign(energy=np.nan)).axes[0].texts[0].get_text()


def test_pairs_have_one_composition_and_come_in_the_order_of_sampling(crystals):
    samples = crystals.iloc[[9, 9, 30, 2, 40]].assign(id=list("abcde"))
    items = galleries.formula_pairs(samples, crystals.iloc[:31], 3)
    assert [item["crystals"]["generated"]["id"] for item in items] == ["a", "c", "d"]
    assert all(item["crystals"]["real"]["formula"] == item["crystals"]["generated"]["formula"] for item in items)


def _metric(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 50, "by_seed": [value], "baseline": False}


def test_published_rows_stand_below_ours_and_the_data_themselves(crystals):
    metrics = {"mine.structure_validity": _metric(0.9), "mine.composition_validity": _metric(0.8), "mine.wasserstein_density": _metric(0.2)}
    published = {"unconditional": {"CDVAE": {"structure_validity": 1.0, "wasserstein_density": 0.125}}}
    table = de_novo_table(metrics, {"mine": "Mine"}, ["mine"], crystals, published)
    assert table["Method"].tolist() == ["Mine", "Test crystals", "CDVAE"]
    assert table["Density, Wasserstein (g/cm³)"].tolist() == ["0.200 [0.1, 0.3]", "–", "0.125"]
    assert "Elements, Wasserstein" not in table and "Coverage, recall" not in table  # nothing known of them


def test_sizes_have_a_panel_for_each_measure_that_was_taken():
    metrics = {f"{name}.structure_validity": _metric(0.9) for name in ("small", "large")} | {"large.coverage_recall": _metric(0.7)}
    cards = {"a": {"parameters": 1000, "seconds": [60.0, 120.0]}, "b": {"parameters": 9000, "seconds": [600.0]}}
    labels = {"small": "Small", "large": "Large"}
    found = quality_by_size(metrics, labels, {"small": "a", "large": "b"}, cards)
    figure = figures.quality_by_size(found)
    assert found[["model", "parameters", "metric"]].to_numpy().tolist() == [
        ["Small (2 min)", 1000, "Structure validity"],
        ["Large (10 min)", 9000, "Structure validity"],
        ["Large (10 min)", 9000, "Coverage, recall"],
    ]
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == ["structure validity", "coverage, recall"]


def test_rates_given_a_composition_have_a_column_for_each_number_of_samples():
    metrics = {
        f"mine.{name}": _metric(0.5)
        for name in ("match_rate", "match_rate_csp", "match_rate_csp_4", "match_rate_csp_20", "match_rate_csp_filtered")
    }
    metrics = {key: found | {"task": "composition"} for key, found in metrics.items()} | {"free.match_rate": _metric(0.1) | {"task": None}}
    published = {
        "structure_prediction": {"DiffCSP": {"match_rate_csp_filtered": 0.52, "match_rate_csp_filtered_20": 0.986, "recalled": True}}
    }
    table = prediction_table(metrics, {"mine": "Mine"}, published)
    wide, filtered = "Match rate (0.3/0.5/10)", "Filtered (0.3/0.5/10)"
    rates = [wide, f"{wide}, best of 4", f"{wide}, best of 20", filtered, f"{filtered}, best of 20"]
    assert table.columns.tolist() == ["Method", *rates, "Match rate", "n", "Seeds"]
    assert table.iloc[1].tolist() == ["DiffCSP (published)", "–", "–", "–", "0.52", "0.986", "–", "", ""]
    assert len(table) == 2


def test_every_energy_is_asked_for_at_every_weight_and_rated_on_the_hulls_scale(library, crystals, tmp_path, monkeypatch):
    table = crystals[crystals["atomic_numbers"].map(lambda z: set(z) <= {5, 73, 74})].assign(split="train").reset_index(drop=True)
    save_tensors(unimat_tensors(table), tmp_path / "u.safetensors")
    model = UniMatModel.model_validate(
        {
            "input": {"conditions": ["formation_energy_per_atom"]},
            "training": {"steps": 1, "condition_dropout": 0.1},
            "objective": {"name": "diffusion", "clip": 1.0, "prediction": "sample"},
            "sampling": {"row": {"sampler": "ddim", "steps": 2}},
        }
    )
    data = load_data(model, tmp_path / "u.safetensors")
    crystal = data.batch(torch.tensor([0])).x

    class Always(Halves):
        def forward(self, x, t, condition):
            return crystal.expand_as(x) + 0 * self.gain

    monkeypatch.setattr(single_point, "energies_per_atom", lambda structures: np.array([-9.0]))
    settings = Guidance(row="row", energies=(-0.5, 0.25), weights=(0.0, 3.0), count=2)
    trained = Model(model, data.codec, {1: Always()})
    found = guidance.energies_by_weight(settings, trained, model.sampling["row"], Hull(library), tmp_path)
    assert found.groupby(["weight", "asked"]).size().to_dict() == {(w, e): 2 for w in (0.0, 3.0) for e in (-0.5, 0.25)}
    assert set(found["formula"]) == {table["formula"].iloc[0]}
    references = Hull(library).formation_energies([-9.0], [table["atomic_numbers"].iloc[0]], ENERGY_SOURCE)
    np.testing.assert_allclose(found["energy"], references[0])
