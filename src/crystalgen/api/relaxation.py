"""Crystals read, relaxed, placed above a hull, and written if asked to."""

from os import PathLike
from pathlib import Path

import pandas as pd

from crystalgen.api.crystals import as_crystals, read, with_structures
from crystalgen.crystals import write_crystals
from crystalgen.datasets.sources import load_source
from crystalgen.potentials.refusals import refusals
from crystalgen.potentials.registry import find_potential
from crystalgen.potentials.relaxation import COLUMNS, Relaxation, relax_table
from crystalgen.utils import paths


def relax_crystals(
    crystals, potential: str, energy: str, fmax: float, steps: int, limit: float, reference, most: int | None, workers: int,
    out: str | PathLike | None,
) -> pd.DataFrame:  # fmt: skip
    """See `api.relax`.

    A hull is drawn from the reference, or the library where that has energies of the same source; without one, there is no energy
    above it. Crystals that no potential is to be asked for are rows with the reason; of these alone, nothing is loaded.
    """
    table, broken = read(crystals, workers)
    chosen = table.head(most) if most else table
    settings = Relaxation(fmax, steps, limit, potential, energy)
    refused = refusals(chosen, potential, energy)
    hull = _hull(reference, find_potential(energy).source) if (refused == "").any() else None
    table = relax_table(chosen, settings, paths.INTERIM / "relaxations", workers, hull=hull, refused=refused)
    unread = broken[["id"]].assign(relaxation="failed: " + broken["reason"], structure=None)
    relaxed = pd.concat([with_structures(table), unread], ignore_index=True) if len(unread) else with_structures(table)
    if out is not None:
        folder = Path(out)
        write_crystals(table, folder / "crystals.parquet")
        columns = ["id", "formula", *COLUMNS, "formation_energy_per_atom", "e_above_hull", "energy_source"]
        relaxed[columns].to_csv(folder / "relaxation.csv", index=False, float_format="%.6g", lineterminator="\n")
    return relaxed


def _hull(reference, source: str):
    from crystalgen.stability.hull import Hull  # a second's import, of plots too

    given = paths.LIBRARY / "crystals.parquet" if reference is None else reference
    hull = Hull(load_source(given) if isinstance(given, str | PathLike) else as_crystals(given))
    return None if reference is None and hull.energy_source != source else hull
