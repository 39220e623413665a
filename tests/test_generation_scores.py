"""Candidates of a model, ranked by what most of them agree on."""

import numpy as np
import pandas as pd

from crystalgen.experiments.generation_scores import by_consensus
from crystalgen.experiments.retrieval import Answers
from crystalgen.matching.match import reduce_table


def crystal(ratio: float, moved: float = 0.0) -> dict:
    return {
        "lattice": np.diag([4.0, 4.0, 4.0 * ratio]),
        "atomic_numbers": np.array([11, 17]),
        "frac_coords": np.array([[0, 0, 0], [0.5, 0.5, 0.5 + moved]]),
    }


def test_the_candidate_that_most_others_match_comes_first():
    asked = [
        [crystal(3), crystal(1), crystal(1.01), crystal(2), crystal(1.02)],
        [crystal(2), crystal(1)],
        [crystal(1), crystal(2.5), crystal(2.5, 0.01)],
    ]
    samples = pd.DataFrame([row for rows in asked for row in rows]).assign(target_id=np.repeat(["a", "b", "c"], [5, 2, 3]))
    table = pd.DataFrame({"request": np.repeat([0, 1, 2], [5, 2, 3]), "rank": np.concatenate([np.arange(n) for n in (5, 2, 3)])})
    found = Answers(table, reduce_table(samples, workers=1), samples[table["rank"] == 0])
    ranked = by_consensus(found, samples, workers=1)
    assert ranked.table["rank"].tolist() == [3, 0, 1, 4, 2, 0, 1, 2, 0, 1]
    assert ranked.first.index.tolist() == [1, 5, 8]
    assert ranked.first["target_id"].tolist() == ["a", "b", "c"]
