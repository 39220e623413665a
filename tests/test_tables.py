"""Tables of results: verdicts are careful, rows complete and in order, files escaped."""

import numpy as np
import pandas as pd
import pytest
from present_case import REFERENCE, made_up_metrics, made_up_study, metric

from crystalgen.report.paper_tables import NOT_RUN, paper_note, paper_table
from crystalgen.report.style import model_label
from crystalgen.report.tables import MEASURES, format_interval, format_seeds, headline_table, measures_table, write_table

metrics = pytest.fixture(made_up_metrics)
study = pytest.fixture(made_up_study)


def _notes(metrics: dict) -> dict[str, str]:
    table = headline_table(metrics, {})
    table = table[table["Metric"] == "Match rate"]
    return dict(zip(table["Model"], table["Note"], strict=True))


def test_headline_claims_only_what_the_intervals_allow(metrics):
    metrics |= {
        "worse.match_rate": metric(0.2, 0.1, 0.3),
        "overlapping.match_rate": metric(0.3, 0.15, 0.45),
        "better.match_rate": metric(0.8, 0.7, 0.9),
        "bare.match_rate": metric(0.9, None, None),
        "better.structure_validity": metric(0.1, 0.05, 0.15),
        "better.metre": metric(0.9, 0.8, 1.0),
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
    assert table.loc[("better", "Structure validity"), "Note"] == ""
    assert ("better", "METRe") not in table.index, "it has a table of its own"
    more = measures_table({key: row | {"task": "generation"} for key, row in metrics.items()}, "generation", MEASURES).set_index("Method")
    assert more.loc["better", ["Match rate", "METRe", "cRMSE"]].tolist() == ["0.800 [0.7, 0.9]", "0.900 [0.8, 1]", "–"]
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


def test_table_1_has_the_papers_methods_then_our_own_then_the_baselines(metrics, study):
    metrics |= {f"guided.{name}": metrics[f"matrix_generation_ddim.{name}"] for name in ("match_rate", "structure_validity")}
    table = paper_table("generation", metrics, REFERENCE, study).set_index("Method")
    assert table.index.tolist() == ["DDPM", "DDIM", "CFM, normal noise", "CFM, U(0,1)", "guided", "Template substitution"]
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
    assert table.loc["guided", "Sampler"] == "DDPM, 9 steps, guidance 0.5"
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
