"""A retrieved crystal beside each crystal of a study, for a generator that is shown one (see `Representations.templates`)."""

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.fit_vectors import fit_vectors
from crystalgen.baselines.retrieval.held_out import held_out_folds
from crystalgen.baselines.retrieval.retrieve import candidate_crystals, find_candidates
from crystalgen.baselines.retrieval.templates import Templates


def shown_templates(crystals: pd.DataFrame, seed: int = 0, workers: int = 2) -> pd.DataFrame:
    """Return the first candidate for the composition of each crystal, with `row`, its place in the table; some crystals have none.

    Crystals that are judged (split test) are asked of all others. Of these a tenth at a time is held out and asked of the rest, so
    that no crystal is shown itself.

    Args:
        crystals: in primitive cells, with split. seed: of the vectors' fit and of the tenths.
    """
    judged = (crystals["split"] == "test").to_numpy()
    templates = Templates(crystals[~judged], workers=workers)
    distances = fit_vectors(templates, seed=seed).distances()
    rows, found = np.flatnonzero(~judged), []
    for fold in held_out_folds(templates, distances, 1, seed):
        answers = candidate_crystals(fold.others, fold.asked, fold.candidates)
        found.append(answers.assign(row=rows[fold.rows[fold.candidates["request"]]]))
    targets = crystals[judged].reset_index(drop=True)
    candidates = find_candidates(templates, targets, distances, 1)
    answers = candidate_crystals(templates, targets, candidates)
    found.append(answers.assign(row=np.flatnonzero(judged)[candidates["request"]]))
    return pd.concat(found, ignore_index=True)
