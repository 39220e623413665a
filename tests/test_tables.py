"""Tables of results: verdicts are careful, rows complete and in order, files escaped."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from present_case import REFERENCE, made_up_metrics, made_up_study, metric

from crystalgen.generative.settings import Sampling
from crystalgen.metrics.catalogue import MEASURES, notes
from crystalgen.report.labels import row_labels
from crystalgen.report.paper_tables import paper_note, paper_table
from crystalgen.report.tables import format_interval, format_seeds, headline_table, results_table, rows_of_task, write_table

LABELS = row_labels(made_up_study())
DDIM = LABELS["matrix_generation_ddim"]
metrics = pytest.fixture(made_up_metrics)
study = pytest.fixture(made_up_study)


def _verdicts(metrics: dict) -> dict[str, str]:
    table = headline_table(metrics, LABELS, {})
    return dict(zip(table["Method"], table["Beside the baselines"], strict=True))


def test_headline_claims_only_what_the_intervals_allow(metrics):
    metrics |= {
        "worse.match_rate": metric(0.2, 0.1, 0.3),
        "overlapping.match_rate": metric(0.3, 0.15, 0.45),
        "better.match_rate": metric(0.8, 0.7, 0.9),
        "bare.match_rate": metric(0.9, None, None),
        "better.structure_validity": metric(0.1, 0.05, 0.15),
        "better.metre": metric(0.9, 0.8, 1.0),
    }
    found = _verdicts(metrics)
    assert {model: found[model] for model in ("worse", "overlapping", "better", "bare", "Template substitution")} == {
        "worse": "below template substitution",
        "overlapping": "below template substitution",
        "better": "above template substitution",
        "bare": "not compared (an interval is missing) with template substitution",
        "Template substitution": "",
    }
    assert found[DDIM] == "level with template substitution"
    table = headline_table(metrics, LABELS, REFERENCE).set_index("Method")
    assert table.loc[DDIM, "Paper"] == "0.82 (B, Table 1, AFLOW)"
    assert table.loc["better", "Structure validity"] == "0.100 [0.05, 0.15]"
    more = results_table(metrics, LABELS, rows_of_task(metrics, "generation"), MEASURES).set_index("Method")
    assert more.loc["better", ["Match rate", "METRe"]].tolist() == ["0.800 [0.7, 0.9]", "0.900 [0.8, 1]"]
    assert more.loc[DDIM, "METRe"] == "–"
    assert "cRMSE" not in more, "no row has it"


def test_a_row_is_compared_with_the_baselines_of_its_own_task(metrics):
    """0.5 is level with generation's template, which is no rival of a modification."""
    flow = LABELS["matrix_modification_flow"]
    assert _verdicts(metrics)[flow] == "above input structure unchanged; below template substitution for modification"
    metrics["matrix_modification_flow.match_rate"] |= {"value": 0.9, "low": 0.85, "high": 0.95}
    assert _verdicts(metrics)[flow] == "above input structure unchanged and template substitution for modification"
    del metrics["template.match_rate"]
    assert _verdicts(metrics)[DDIM] == ""


def test_headline_has_a_line_per_row_by_task_models_before_baselines(metrics):
    table = headline_table(metrics, LABELS, {})
    rows = ["matrix_generation_ddim", "template", "matrix_modification_flow", "modification_input", "modification_template", "unimat"]
    assert table["Method"].tolist() == [LABELS[row] for row in rows]
    assert table["Task"].tolist() == ["generation"] * 2 + ["modification"] * 3 + ["dng"]
    assert table["Seeds"].tolist() == ["3: 0.512–0.578", "–", "2: 0.400–0.600", "–", "–", "1"]
    assert table["Match rate"].iloc[-1] == "–"
    assert headline_table({}, LABELS, {}).empty


def test_table_1_has_samplers_and_the_papers_values(metrics, study):
    metrics |= {f"guided.{name}": metrics[f"matrix_generation_ddim.{name}"] for name in ("match_rate", "structure_validity")}
    table = paper_table("generation", metrics, LABELS, REFERENCE, study).set_index("Method")
    assert table.index.tolist() == [DDIM, LABELS["guided"], "Template substitution"]
    assert table.loc[DDIM].tolist() == [
        "0.550 [0.45, 0.65]",
        "0.900 [0.8, 1]",
        "100",
        "3: 0.512–0.578",
        "DDIM, 20 steps",
        "0.82 (B, Table 1, AFLOW)",
        "level with template substitution",
    ]
    assert table.loc[LABELS["guided"], "Sampler"] == "DDPM, 9 steps, guidance 0.5"
    assert table.loc["Template substitution"].tolist() == ["0.500 [0.4, 0.6]", "1.00 [1, 1]", "100", "–", "–", "", ""]
    assert "mean 0.5 and standard deviation 0.25" in paper_note("generation", study)
    assert "standard deviation" not in paper_note("modification", study)


@pytest.mark.parametrize("sampler", get_args(Sampling.model_fields["sampler"].annotation))
def test_table_1_names_every_sampler_that_a_study_may_use(metrics, study, sampler):
    for model in study.models.values():
        for row in model.sampling:
            model.sampling[row] = Sampling(sampler=sampler, steps=1)
    table = paper_table("generation", metrics, LABELS, REFERENCE, study).set_index("Method")
    assert len(table.loc[DDIM, "Sampler"]) > 3


def test_a_note_explains_the_columns_that_are_shown():
    text = notes(["Method", "Match rate", "Match rate (0.3/0.5/10), best of 20", "n"])
    assert text.startswith("Match rate: the share of targets") and "one of its samples matches" in text and "METRe" not in text


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
    write_table(frame, tmp_path, "t", "A & B", "note", latex=True)
    assert r"50 % \| x" in (tmp_path / "t.md").read_text()
    tex = (tmp_path / "t.tex").read_text()
    assert r"a\_b" in tex and r"50 \% | x" in tex and r"A \& B" in tex
    assert pd.read_csv(tmp_path / "t.csv")["v"][0] == pytest.approx(0.123457)
    write_table(frame, tmp_path, "plain", "A")
    assert sorted(path.name for path in tmp_path.glob("plain*")) == ["plain.csv", "plain.md"]
