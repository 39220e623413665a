"""`crystalgen train`: a study of one's own crystals, written as a file that can be read and changed, and run by the pipeline."""

import os
import re
from pathlib import Path

import pandas as pd
import yaml

from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import load_study
from crystalgen.crystals import CrystalTableError, write_crystals
from crystalgen.datasets.generated import need_some, read_generated
from crystalgen.datasets.sources import load_source
from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError
from crystalgen.utils.values import RESERVED, check_study_name, is_name

_FEWEST = 20  # crystals, of which a validation and a test side can be split
_STUDY = """\
title: {name}
description: >-
  UniMat on {count} crystals of {elements}, given the composition and without any, beside looking up where crystals are alike;
  written by `crystalgen train`.

data:
  path: {path}
  filter:
    polymorphs: false
    min_sites: 1
    max_sites: {max_sites}
  split:  # by formula
    val: 0.1
    test: 0.1
    seed: 42

presets:
  training:
    own:
      preset: minutes
      steps: {steps}
      warmup: {warmup}
      report_every: {report}
      checkpoint_every: {report}

models:
  unimat_composition:
    representation: unimat
    input:
      cell: token
      composition: exact
      augment: [order, axes]
    net: occupied
    objective: unimat_data
    training:
      preset: own
      batch_size: {batch}
      learning_rate: 1.0e-3
    sampling:
      sampler: ddim
      steps: 64
      max_targets: 100
      per_target: 5

  unimat:
    representation: unimat
    input:
      cell: token
      augment: [order, axes]
    net: elements
    objective: unimat_data
    training:
      preset: own
      batch_size: {half}
      learning_rate: 2.0e-3
    sampling:
      sampler: ddpm
      steps: 128
      count: 200

baselines:
  template_composition:
    task: composition
    choice: nearest_composition
    max_targets: 100
    per_target: 5
  training_copies:
    kind: copies
    task: null
    count: 200

report:
  bootstrap: 1000
  gallery: 6
"""


_LOOKING_UP = """
retrieval:
  count: 20

corrector:
  scoring:
    epochs: {scoring}
    batch_size: 16
    dropout: 0.1
  correcting:
    epochs: {correcting}
    batch_size: 64
    learning_rate: 1.5e-3
"""
_ALIKE = 40  # crystals whose stoichiometry another one has, from which on looking up is worth a row


def write_study(data: Path, name: str | None = None, steps: int = 4000, max_sites: int = 20, skip_broken: bool = False) -> str:
    """Write `studies/<name>/study.yaml` for a source of crystals and check that it can be read; returns the name.

    Args:
        data: whatever `datasets.sources.load_source` reads.
        name: of the study; that of the data without one.
        steps: of training, of each of two models.
        max_sites: crystals of more atoms are left out.
        skip_broken: leave out what cannot be read; crystals.parquet, which the study is then of, and broken.csv go to `data/raw/<name>`.

    Raises:
        CrystalTableError: the data cannot be read, or too few crystals are within `max_sites`.
        ValueError: there is a study of this name already, about something else.
    """
    name = check_study_name(name or _name_of(data))
    table = _readable(data, paths.RAW / name) if skip_broken else load_source(data)
    kept = table[table["nsites"] <= max_sites]
    if len(kept) < _FEWEST or kept["reduced_formula"].nunique() < 3:
        raise CrystalTableError(
            f"{data}: {len(kept)} crystals of {kept['reduced_formula'].nunique()} formulas with at most {max_sites} atoms; "
            f"expected {_FEWEST} or more of 3 formulas, for training, validation and test"
        )
    symbols = sorted({part for formula in kept["formula"] for part in re.findall(r"[A-Z][a-z]?", formula)})
    elements = ", ".join(symbols) if len(symbols) <= 12 else f"{len(symbols)} elements"
    batch = min(128, max(8, len(kept) // 8))
    text = _STUDY.format(
        name=_scalar(name),
        count=len(kept),
        elements=elements,
        path=_scalar(os.path.relpath(paths.RAW / name / "crystals.parquet", paths.ROOT) if skip_broken else data.resolve()),
        max_sites=max_sites,
        steps=steps,
        batch=batch,
        half=max(8, batch // 2),
        warmup=min(200, steps // 5),
        report=max(1, min(500, steps // 4)),
    )
    stoichiometries = pd.Series([ordered_species(numbers)[1] for numbers in kept["atomic_numbers"]])
    alike = int(stoichiometries.duplicated(keep=False).sum())
    if alike >= _ALIKE:  # about as many steps, whatever the number of crystals
        text += _LOOKING_UP.format(scoring=_epochs(1500 * 16, alike, 2, 30), correcting=_epochs(6000 * 64, 5 * alike, 6, 60))
    file = paths.STUDIES / name / "study.yaml"
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{file}: there is such a study already, with other settings; `crystalgen select {name}` and `dvc repro` run it as it is, "
            "or go on with it; else choose another --name, or remove that file"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    try:
        load_study(name)
    except StudyError:
        file.unlink()
        raise
    return name


def _epochs(items: int, each: int, least: int, most: int) -> int:
    return min(most, max(least, items // each))


def _name_of(data: Path) -> str:
    """Return a study's name made of that of the data."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", Path(os.path.abspath(data)).stem).strip("_").lower()[:60]
    return name if is_name(name) and name not in RESERVED else f"{name}_data".strip("_")


def _scalar(text) -> str:
    """Return text as YAML has it, in quotes where it could be read as something else."""
    return yaml.safe_dump(str(text), width=10**6, allow_unicode=True).removesuffix("...\n").strip()


def _readable(data: Path, folder: Path) -> pd.DataFrame:
    table, broken = read_generated(data)
    table = find_space_groups(need_some(table, broken, str(data)))
    folder.mkdir(parents=True, exist_ok=True)
    write_crystals(table, folder / "crystals.parquet")
    broken.to_csv(folder / "broken.csv", index=False, lineterminator="\n")
    if len(broken):
        print(f"left out: {len(broken)} of {len(table) + len(broken)}, see {folder / 'broken.csv'}")
    return table
