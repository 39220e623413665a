"""Sets of crystals relaxed alike and placed above a hull (A §2.3)."""

from pathlib import Path

import pandas as pd

from crystalgen.config import Energies
from crystalgen.metrics.validity import INVALID, structure_validity
from crystalgen.potentials.relaxation import Relaxation, relax_table
from crystalgen.stability.hull import Hull


def relax_sets(sets: pd.DataFrame, hull: Hull, settings: Energies, folder: Path, shipped: Path | None = None) -> pd.DataFrame:
    """Relax every valid crystal of the sets and place it above the hull; finished relaxations are in `folder` and `shipped`.

    Returns:
        the crystals with valid and what `relaxation.relax_table` adds; no energy where a crystal is invalid.
    """
    sets = sets.reset_index(drop=True).assign(valid=structure_validity(sets))
    how = Relaxation(settings.fmax, settings.relax_steps, settings.limit)
    relaxed = relax_table(sets[sets["valid"]], how, folder, settings.workers, shipped, hull)
    return pd.concat([relaxed, sets[~sets["valid"]].assign(relaxation=INVALID)]).sort_index()
