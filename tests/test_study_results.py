"""What is gathered from a study's results: metrics by task, rates by size and by steps, shortfalls, galleries."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from present_case import made_up_study

from crystalgen import crystals as crystals_module
from crystalgen.experiments import sampler_steps
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import VAL
from crystalgen.metrics import shortfalls, study_results
from crystalgen.report import galleries
from crystalgen.represent.tensors import matrix_tensors, save_tensors
from crystalgen.utils import paths

study = pytest.fixture(made_up_study)


@pytest.fixture
def evaluated(tmp_path, monkeypatch, study, crystals):
    """Samples and evaluations of the study's rows, except unimat's, and its 59 crystals; 10 requests, two seeds."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "PROCESSED", tmp_path / "processed")
    monkeypatch.setattr(paths, "LIBRARY", tmp_path / "data" / "library")
    for module in (study_results, shortfalls, galleries):
        monkeypatch.setattr(module, "load_study", lambda _: study)
    rate = {"template": 0.5, "modification_input": 0.0, "modification_template": 0.9, "matrix_modification_flow": 0.4}
    for name, row in study_results.study_rows(study).items():
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
    metrics = study_results.collect_metrics("s", evaluated)
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
    assert study_results.match_rows(metrics, {}, "modification")["model"].tolist() == [
        "matrix_modification_flow",
        "modification_input",
        "modification_template",
    ]
    assert galleries.best_row(metrics, "modification") == "matrix_modification_flow"  # not the template, which is better
    with pytest.raises(ValueError, match="modification"):
        galleries.best_row({key: row for key, row in metrics.items() if row.get("baseline")}, "modification")


def test_rows_of_a_study_beside_come_from_its_committed_rows(evaluated, study, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    beside = study.model_copy(update={"beside": ("other",)})
    monkeypatch.setattr(study_results, "load_study", lambda _: beside)
    with pytest.raises(FileNotFoundError, match="other.*rows.json: missing; s shows rows of other"):
        study_results.collect_metrics("s", evaluated)
    file = tmp_path / "reports" / "other" / "rows.json"
    file.parent.mkdir(parents=True)
    theirs = {"library.structures": {"value": 3}, "generator.seconds": {"value": 1}}
    file.write_text(json.dumps(theirs | {"generator.match_rate_csp": {"value": 0.5, "task": "composition"}}))
    metrics = study_results.collect_metrics("s", evaluated)
    assert metrics["generator.match_rate_csp"]["value"] == 0.5 and "generator.seconds" not in metrics
    assert metrics["library.structures"]["value"] == len(evaluated)


def test_rates_by_size_count_what_was_asked_for_once_for_all_seeds(evaluated):
    rates = study_results.rates_by_size("s", 50, "generation")
    assert set(rates["model"]) == {"matrix_generation_ddim", "guided", "matrix_generation_flow_normal", "template"}
    assert rates.groupby("model")["n"].sum().to_dict() == {
        "guided": 5,
        "matrix_generation_ddim": 5,
        "matrix_generation_flow_normal": 5,
        "template": 10,
    }
    assert rates.groupby("model")["baseline"].first()["template"]


def test_shortfalls_say_what_is_below_a_baseline_of_its_task(evaluated):
    metrics = study_results.collect_metrics("s", evaluated)
    sentences = shortfalls.shortfalls("s", metrics, label=str.upper)
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
    assert "guided: one training seed only." in shortfalls.shortfalls("s", metrics)


def test_a_gallery_is_a_repeatable_draw_of_the_first_seed(evaluated):
    items = galleries.gallery_items("s", "matrix_modification_flow", evaluated, 3)
    assert len(items) == 3
    for item in items:
        assert list(item["crystals"]) == ["input", "target", "generated"]
        assert item["crystals"]["generated"]["seed"] == 2
        assert item["title"] == item["crystals"]["target"]["formula"] == item["crystals"]["generated"]["formula"]
    again = galleries.gallery_items("s", "matrix_modification_flow", evaluated, 3)
    assert [i["crystals"]["target"]["id"] for i in items] == [i["crystals"]["target"]["id"] for i in again]
    everything = galleries.gallery_items("s", "matrix_generation_ddim", evaluated, 99)
    assert list(everything[0]["crystals"]) == ["target", "generated"]
    assert len(everything) == 5


class _PerfectFromFiveSteps:
    """An objective whose samples are the validation crystals, or nothing like them in fewer than five steps."""

    def __init__(self, data):
        self.x = data.x[data.items(VAL)]

    def prior(self, shape, condition, generators):
        return torch.full(shape, 0.5)

    def sample(self, net, x, condition, sampling, generators, symmetry):
        return self.x.clone() if sampling.steps >= 5 else x


def test_steps_are_counted_on_validation_crystals(evaluated, study, monkeypatch):
    split = np.where(np.arange(len(evaluated)) < 40, "train", np.where(np.arange(len(evaluated)) < 48, "val", "test"))
    table = evaluated.assign(split=split, formation_energy_per_atom=0.1, energy_source="made up")
    save_tensors(matrix_tensors(table), paths.tensors("s", "matrix"))
    loaded = []
    data = sampler_steps.load_task("generation", paths.tensors("s", "matrix"))

    def load(folder, count):
        loaded.append((folder.name, count))
        return Model(study.models[folder.name], data.codec, {1: torch.nn.Linear(1, 1)}, _PerfectFromFiveSteps(data))

    monkeypatch.setattr(sampler_steps.Model, "load", load)
    monkeypatch.setattr("crystalgen.generative.sample.batch_size", lambda *_: 99)
    rates = sampler_steps.rates_by_steps("s", study, table)
    assert rates["row"].unique().tolist() == ["matrix_generation_ddim", "guided", "matrix_generation_flow_normal"]
    assert rates["steps"].tolist() == [1, 5] * 3
    assert rates["value"].tolist() == [0.0, 1.0] * 3
    assert rates["n"].eq(8).all()
    assert {count for _, count in loaded} == {1}, "the first training seed"
