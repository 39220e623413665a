"""Table 3: the phases that were found beside the paper's values."""

import numpy as np
import pandas as pd
import pytest
from search_case import found_candidates, search_settings

from crystalgen.config import load_study
from crystalgen.experiments import search, search_summary
from crystalgen.utils import paths


@pytest.fixture
def reference() -> dict:
    return search_summary.read_reference(paths.REFERENCE / "table3.yaml")


def _paper(reference, objective, start, step, composition):
    (values,) = [
        e["values"][composition] for e in reference["experiments"] if (e["objective"], e["start"], e["step"]) == (objective, start, step)
    ]
    return values


def test_the_papers_values(reference):
    assert _paper(reference, "diffusion", -1.0, 0.01, "Ta1W1B6") == [97.676]
    assert _paper(reference, "flow", 0.0, 0.01, "Ta1W2B5") == [-0.483, -0.466, -0.387]
    assert _paper(reference, "diffusion", 0.0, 0.1, "Ta2W1B5") == [-0.042]
    assert _paper(reference, "flow", -1.0, 0.01, "Ta2W1B5") == [1.029]
    negative = [v for e in reference["experiments"] for values in e["values"].values() for v in values if v < 0]
    assert sorted(negative) == [-5.497, -5.426, -4.852, -1.409, -0.483, -0.466, -0.387, -0.042], "the eight that its text names"
    assert sum(len(values) for e in reference["experiments"] for values in e["values"].values()) == 20


@pytest.fixture
def study():
    smoke = load_study("smoke")
    flow = "matrix_generation_flow_uniform"
    model = smoke.models[flow].model_copy(update={"sampling": {"flow": smoke.models[flow].sampling[flow]}})
    return smoke.model_copy(update={"models": {flow: model}, "search": search_settings(compositions=("Ta1W1B6",))})


def test_table_3_lists_what_is_below_the_hull_beside_the_papers(study, reference):
    candidates = found_candidates()
    rated = candidates.assign(valid=True, energy_per_atom=-9.0, group=candidates["id"])
    requested = pd.concat([rated[search.EXPERIMENT]] * 2)
    counts = search_summary.experiment_counts(rated, candidates, requested)
    table = search_summary.table3(candidates, counts, study, reference).set_index(["Model", "Ladder"])
    fine = table.loc[("flow", "fine")]
    assert fine["Ta1W1B6, meV/atom"] == pytest.approx(-12.3)
    assert fine["Ta1W1B6 below the hull"] == "-12.3, -2"
    assert fine["Ta1W1B6 in the paper"] == "11.981"
    assert fine[list(search_summary.TOTALS)].tolist() == [6, 3, 3, 3, 2]
    empty = table.loc[("flow", "coarse")]
    assert np.isnan(empty["Ta1W1B6, meV/atom"])
    assert empty["generated"] == 0
    assert table.loc[("flow", "from below"), "Ta1W1B6 in the paper"] == "9.529"
    assert table.loc[("template", "none"), "Ta1W1B6 below the hull"] == "none"
    assert table.index[-1] == ("template", "none")


def test_the_best_phases_are_each_named_once():
    best = search_summary.best_phases(found_candidates(), 3)
    assert best["phase"].tolist() == [1, 2, 3]
    assert best["rank"].tolist() == [1, 2, 3]
    assert best.loc[1, "e_above_hull"] == -0.002
    shown = search_summary.show_phases(best)
    assert shown["In the library"].tolist() == ["no", "lib-3", "no"]
    assert shown.columns.is_unique
