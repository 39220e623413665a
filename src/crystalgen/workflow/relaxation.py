"""`crystalgen relax`: read, relax, place above a hull, write."""

import argparse
from pathlib import Path

import pandas as pd

from crystalgen.crystals import write_crystals
from crystalgen.datasets.generated import read_generated
from crystalgen.datasets.sources import load_source
from crystalgen.potentials.calculators import energy_source
from crystalgen.potentials.relaxation import COLUMNS, Relaxation, relax_table
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths


def relax_path(options: argparse.Namespace) -> tuple[pd.DataFrame, Path]:
    """Relax what the options name; returns the table and the folder with crystals.parquet and relaxation.csv.

    A hull is drawn from the reference, or the library where that has energies of the same source; without one, there is no energy
    above it.
    """
    crystals, broken = read_generated(options.path, options.workers)
    chosen = crystals.head(options.most) if options.most else crystals
    settings = Relaxation(options.fmax, options.steps, options.limit, options.potential, options.energy)
    hull = _hull(options.reference, energy_source(options.energy))
    table = relax_table(chosen, settings, paths.INTERIM / "relaxations", options.workers, hull=hull)
    folder = options.out or paths.REPORTS / "relax" / options.path.name
    write_crystals(table, folder / "crystals.parquet")
    columns = ["id", "formula", *COLUMNS, "formation_energy_per_atom", "e_above_hull", "energy_source"]
    shown = pd.concat([table[columns], broken.assign(relaxation="failed: " + broken["reason"])[["id", "relaxation"]]], ignore_index=True)
    shown.to_csv(folder / "relaxation.csv", index=False, float_format="%.6g", lineterminator="\n")
    return shown, folder


def _hull(reference: Path | None, source: str) -> Hull | None:
    hull = Hull(load_source(reference or paths.LIBRARY / "crystals.parquet"))
    return None if reference is None and hull.energy_source != source else hull
