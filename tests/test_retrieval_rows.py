"""Rows of retrieval in a study: what is counted, what training holds of a target, and the filter."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, rocksalt, wurtzite

from crystalgen.baselines.rows import ROWS
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import Retrieval
from crystalgen.crystals import from_structures
from crystalgen.experiments.retrieval import Answers, answers, describe_targets, fit, score
from crystalgen.matching.match import reduce_table
from crystalgen.utils import paths

SETTINGS = Retrieval(count=5, ranker=False, min_members=3, workers=1)


@pytest.fixture(autouse=True)
def _fingerprints_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FINGERPRINTS", tmp_path / "fingerprints")


def _rocksalt(a, one, other):
    return rocksalt(a, one, other).get_primitive_structure()


def _table(structures, name: str) -> pd.DataFrame:
    return find_space_groups(from_structures(structures, name))


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    structures = [_rocksalt(a, one, other) for one, other, a in [("Na", "F", 4.6), ("K", "Cl", 6.3), ("Li", "F", 4.0), ("Na", "Br", 6.0)]]
    metals = [("Ni", "Al", 2.9), ("Co", "Al", 2.9), ("Ni", "Ti", 3.0), ("Fe", "Al", 2.9), ("Fe", "Ti", 3.0)]
    structures += [caesium_chloride(a, one, other) for one, other, a in metals]
    return _table(structures, "training")


@pytest.fixture(scope="module")
def targets(training) -> pd.DataFrame:
    """Rock salt and caesium chloride of new formulas, a known formula, and wurtzite, whose prototype training lacks."""
    return _table(
        [_rocksalt(5.6, "Na", "Cl"), caesium_chloride(2.95, "Co", "Ti"), _rocksalt(4.65, "Na", "F"), wurtzite(3.2, "Zn", "S")], "t"
    )


def test_every_row_has_its_rates(training, targets):
    known = describe_targets(training, targets, SETTINGS)
    assert known.held["prototype"].tolist() == [True, True, True, False]
    assert known.held["formula"].tolist() == [False, False, True, False]
    fitted, seen = fit(training, SETTINGS), []
    for row, found in answers(fitted, targets, SETTINGS):
        table, metrics = score(row, found, known, SETTINGS, 50, "here")
        seen.append(row)
        if row == "retrieval_random":  # five of the nine crystals of equal stoichiometry; wurtzite has another
            assert found.table["request"].value_counts().to_dict() == {0: 5, 1: 5, 2: 5} and table["first"].tolist()[3] == -1
            continue
        assert table["first"].tolist() == [0, 0, 0, -1], row
        assert metrics[f"{row}.match_rate_csp"]["value"] == 0.75 and metrics[f"{row}.match_rate_csp"]["n"] == 4
        assert (
            metrics[f"{row}.match_rate_csp_seen_prototype"]["value"] == 1
            and metrics[f"{row}.match_rate_csp_unseen_prototype"]["value"] == 0
        )
        assert metrics[f"{row}.match_rate_csp_seen_formula"]["n"] == 1
        assert metrics[f"{row}.rmse_csp"]["value"] < 1e-3
        assert metrics[f"{row}.crmse_csp"]["value"] == pytest.approx(0.125, abs=1e-3)
        assert {entry["task"] for entry in metrics.values()} == {"composition"} and all(entry["baseline"] for entry in metrics.values())
    assert seen == [row for row in ROWS if row not in ("retrieval_ranked", "retrieval_without_formula")]


def test_without_a_formula_no_crystal_of_it_is_copied(training, targets):
    """A ranker that has nothing to add is not there: the ranked row is that of votes, and without a formula the others answer."""
    settings = SETTINGS.model_copy(update={"ranker": True})
    fitted = fit(training, settings)
    assert fitted.ranker is None
    found = dict(answers(fitted, targets, settings))
    formula = training.set_index("id")["formula"]
    known, others = (
        found[row].first.set_index("target_id")["template_id"].map(formula) for row in ("retrieval_ranked", "retrieval_without_formula")
    )
    assert found["retrieval_ranked"].table.equals(found["retrieval"].table)
    fluoride = targets["id"].iloc[2]
    assert known[fluoride] == "Na1F1" and others[fluoride] != "Na1F1"
    assert others.drop(fluoride).equals(known.drop(fluoride))


def test_the_filter_counts_what_is_not_valid_as_not_matched(training, targets):
    """A target whose composition cannot be neutral is matched, and filtered out; a later candidate counts for five tries alone."""
    odd = _table([caesium_chloride(3.6, "Na", "Ne"), _rocksalt(5.6, "Na", "Cl")], "t")
    known = describe_targets(training, odd, SETTINGS)
    wrong = caesium_chloride(3.4, "Na", "Cl")
    crystals = _table([caesium_chloride(3.6, "Na", "Ne"), wrong, _rocksalt(5.6, "Na", "Cl")], "s")
    crystals = crystals.assign(target_id=odd["id"].to_numpy()[[0, 1, 1]], rank=[0, 0, 1])
    found = Answers(pd.DataFrame({"request": [0, 1, 1], "rank": [0, 0, 1]}), reduce_table(crystals, 1), crystals[crystals["rank"] == 0])
    table, metrics = score("row", found, known, SETTINGS, 50, "here")
    assert table["first"].tolist() == [0, 1]
    rates = {name: metrics[f"row.{name}"]["value"] for name in ("match_rate_csp", "match_rate_csp_5", "match_rate_csp_filtered")}
    assert rates == {"match_rate_csp": 0.5, "match_rate_csp_5": 1.0, "match_rate_csp_filtered": 0.0}
    assert np.isnan(table["rms"].iloc[1])
