"""A compound's crystals as a person's table, kept for the next time that the same is asked, and as files."""

import json
import logging
from dataclasses import asdict
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.api.crystals import as_crystals, with_structures
from crystalgen.crystals import read_crystals, write_crystals
from crystalgen.experiments.compounds import answer as compounds
from crystalgen.report.answer import answer_folder
from crystalgen.report.compound import write_compound
from crystalgen.utils import paths
from crystalgen.utils.cache import digest
from crystalgen.utils.code_digest import function_digest
from crystalgen.utils.files import write_json
from crystalgen.utils.limits import FORMULA_UNITS

_LOG = logging.getLogger(__name__)
KNOWN = "mp_20"  # whose crystals are looked up where `crystalgen fetch` brought them


def answer_compound(
    composition: str, n: int, space_group: int | None, energy: float | None, units: int | None, relax: bool, steps: int,
    seed: int, workers: int, exact: bool = True, seed_crystal: pd.DataFrame | None = None,
) -> pd.DataFrame:  # fmt: skip
    """See `api.generate`; `attrs` holds the request and what is said of the answer. seed_crystal: of `read_seed`."""
    tried = FORMULA_UNITS if units is None else (units,)
    question = compounds.Question(composition, n, space_group, energy, tried, relax, steps, seed, workers, exact)
    source = paths.RAW / KNOWN / "crystals.parquet"
    asked = _facts(question, seed_crystal)
    folder = paths.INTERIM / "answers" / _key(asked, source)
    if (folder / "facts.json").is_file():
        _LOG.info("%s: from the cache", composition)
        return _person(read_crystals(folder / "crystals.parquet"), json.loads((folder / "facts.json").read_text()))
    known = read_crystals(source) if source.is_file() else None
    if known is None:
        _LOG.info("nothing is looked up: `crystalgen fetch mp_20` would bring crystals to look up")
    found = compounds.answer(question, known, _LOG.info, seed_crystal)
    facts = asked | {
        "removed": found.removed,
        "decomposition": found.decomposition,
        "notes": found.notes,
        "looked_up": known is not None,
        "seconds": {name: round(value, 2) for name, value in found.seconds.items()},
    }
    crystals = found.crystals
    if not found.stopped:
        write_crystals(crystals, folder / "crystals.parquet")
        write_json(facts, folder / "facts.json")
    return _person(crystals, facts)


def write_compound_answer(crystals: pd.DataFrame, folder: str | PathLike | None = None) -> Path:
    """Write what `answer_compound` returned to a folder, or to a new one in reports/generated; return its page."""
    facts = dict(crystals.attrs)
    where = Path(folder or answer_folder(paths.REPORTS / "generated", facts))
    where.mkdir(parents=True, exist_ok=True)
    return write_compound(as_crystals(crystals), where, facts)


def _facts(question: compounds.Question, seed_crystal: pd.DataFrame | None) -> dict:
    facts = {name: value for name, value in asdict(question).items() if name != "workers"} | {"units": list(question.units)}
    if seed_crystal is not None:
        formula, *cell = seed_crystal.iloc[0][["formula", "lattice", "frac_coords", "atomic_numbers"]]
        facts["seed_structure"] = {"formula": formula, "digest": digest(json.dumps([array.tolist() for array in cell]))}
    return facts


def _key(asked: dict, source: Path) -> str:
    seen = [source.stat().st_size, source.stat().st_mtime_ns] if source.is_file() else None
    return digest(json.dumps([asked, seen, function_digest(compounds.answer)]))


def _person(table: pd.DataFrame, facts: dict) -> pd.DataFrame:
    """The table with structures; a name that is missing is None, also where it was read from a file."""
    names = table["known_id"].astype(object).where(table["known_id"].notna(), None)
    crystals = with_structures(
        table.assign(known_id=names, novel=table["novel"].astype(bool), probability=np.asarray(table["probability"]))
    )
    crystals.attrs = facts
    return crystals
