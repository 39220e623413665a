"""A table of crystals relaxed: checkpointed by content, resumable, a row whatever happens."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import to_structures
from crystalgen.potentials.calculators import energy_source
from crystalgen.potentials.single_point import ENERGY, GEOMETRY, TIME_LIMIT, basis, relax
from crystalgen.represent.canonical import wrap
from crystalgen.utils.cache import compute

COLUMNS = ("relaxation", "steps", "energy_per_atom", "max_force", "volume_change", "generated_space_group", "space_group")


@dataclass(frozen=True)
class Relaxation:
    """How crystals are relaxed: see `rating.relax`."""

    min_distance: float
    fmax: float = 0.1  # eV/Å
    max_steps: int = 100
    limit: float = TIME_LIMIT  # s for one crystal
    geometry: str = GEOMETRY
    energy: str = ENERGY


def relax_table(table: pd.DataFrame, settings: Relaxation, folder: Path, workers: int = 1, shipped: Path | None = None) -> pd.DataFrame:
    """Relax every crystal.

    Args:
        table: crystals.
        settings: see there.
        folder: of finished results (see `store.compute`); a killed run goes on from there.
        workers: processes.
        shipped: finished results that come with the repository, likewise.

    Returns:
        the crystals with their last geometry, or the one they came with where the relaxation failed, and `COLUMNS`:
        relaxation is `converged`, `unconverged` or `failed: <why>`; energies in eV (NaN where it failed) of `energy_source`.
    """
    outcomes = compute(
        relax, to_structures(table), asdict(settings), basis(settings.geometry, settings.energy), folder, workers, shipped=shipped
    )
    done = [outcome["lattice"] is not None for outcome in outcomes]
    cells = list(zip(table["lattice"], table["frac_coords"], outcomes, done, strict=True))
    before = find_space_groups(table)["space_group"]
    relaxed = table.assign(
        lattice=[np.array(o["lattice"]) if there else m for m, _, o, there in cells],
        frac_coords=[wrap(np.array(o["frac_coords"])) if there else x for _, x, o, there in cells],
        relaxation=[o["status"] for o in outcomes],
        steps=[o["steps"] for o in outcomes],
        formation_energy_per_atom=np.nan,
        energy_source=np.where(done, energy_source(settings.energy), None),
        generated_space_group=before,
        **{name: np.array([o[name] for o in outcomes], dtype=float) for name in ("energy_per_atom", "max_force", "volume_change")},
    )
    return find_space_groups(relaxed)
