"""Sets of crystals relaxed alike and placed above a hull; an energy that no crystal has does not count (A §2.3)."""

from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.config import Energies
from crystalgen.library.recipe import Physical
from crystalgen.metrics.validity import structure_validity
from crystalgen.potentials.relaxation import Relaxation, relax_table
from crystalgen.potentials.single_point import ENERGY_SOURCE
from crystalgen.stability.hull import Hull

INVALID = "invalid: atoms within 0.5 Å or an empty cell"
# eV/atom. No crystal lies so far below a hull that holds the elements, but a potential asked beyond what it learnt invents some.
FAR_BELOW = 0.5
INVENTED = f"failed: an energy more than {FAR_BELOW:g} eV/atom below the hull"


def relax_sets(
    sets: pd.DataFrame, hull: Hull, settings: Energies, limits: Physical, folder: Path, shipped: Path | None = None
) -> pd.DataFrame:
    """Relax every valid crystal of the sets and place it above the hull; finished relaxations are in `folder` and `shipped`.

    Returns:
        the crystals with valid, the columns of `relaxation.COLUMNS`, formation_energy_per_atom, energy_source and e_above_hull; no
        energy where a crystal is invalid, its relaxation failed, or its energy is beyond the limits or `FAR_BELOW`.
    """
    sets = sets.reset_index(drop=True).assign(valid=structure_validity(sets))
    how = Relaxation(limits.min_distance, settings.fmax, settings.relax_steps, settings.limit)
    relaxed = relax_table(sets[sets["valid"]], how, folder, settings.workers, shipped)
    table = hull.place(pd.concat([relaxed, sets[~sets["valid"]].assign(relaxation=INVALID)]).sort_index(), ENERGY_SOURCE)
    absurd = table["formation_energy_per_atom"].abs() > limits.max_formation_energy
    return without_inventions(_discard(table, absurd, f"failed: a formation energy beyond {limits.max_formation_energy:g} eV/atom"))


def without_inventions(sets: pd.DataFrame) -> pd.DataFrame:
    """Crystals that a potential puts impossibly far below the hull lose their energies; their relaxation is then `INVENTED`.

    One of them would decide a comparison of least energies. Both that fifty compositions gave were of the random search.

    Args:
        sets: placed above a hull.
    """
    return _discard(sets, sets["e_above_hull"] < -FAR_BELOW, INVENTED)


def _discard(table: pd.DataFrame, which: pd.Series, why: str) -> pd.DataFrame:
    kept = table.assign(relaxation=table["relaxation"].mask(which, why), energy_source=table["energy_source"].mask(which, None))
    kept.loc[which, ["energy_per_atom", "formation_energy_per_atom", "e_above_hull"]] = np.nan
    return kept
