"""Generated crystals as a person's table, and as files."""

from dataclasses import asdict
from os import PathLike
from pathlib import Path

import pandas as pd

from crystalgen.api.crystals import as_crystals, with_structures
from crystalgen.experiments import generate_crystals as experiment
from crystalgen.report.answer import answer_folder, write_answer
from crystalgen.utils import paths


def generate_crystals(
    composition: str, n: int, space_group: int | None, energy: float | None, study: str, model: str | None,
    relax: bool, seed: int, workers: int, exact: bool,
) -> pd.DataFrame:  # fmt: skip
    """See `api.generate`; `attrs` holds study, model and the request."""
    request = experiment.Request(composition, n, space_group, energy, relax, seed, workers, exact)
    table, row = experiment.generate_crystals(study, request, model)
    crystals = with_structures(table)
    crystals.attrs = {"study": study, "model": row, **asdict(request)}
    return crystals


def write_generated(crystals: pd.DataFrame, folder: str | PathLike | None = None) -> Path:
    """Write what `api.generate` returned to a folder, or to a new one in reports/generated; return its page."""
    facts = dict(crystals.attrs)
    return write_answer(as_crystals(crystals), Path(folder or answer_folder(paths.REPORTS / "generated", facts)), facts)
