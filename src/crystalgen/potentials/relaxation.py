"""A table of crystals relaxed and placed above a hull: checkpointed by content, resumable, a row whatever happens."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import to_structures
from crystalgen.crystals.plausibility import MIN_CONTACT, without_implausible
from crystalgen.potentials.calculators import energy_source
from crystalgen.potentials.single_point import ENERGY, GEOMETRY, RELAXED, TIME_LIMIT, basis, relax
from crystalgen.represent.canonical import wrap
from crystalgen.stability.hull import Hull
from crystalgen.utils.cache import compute

COLUMNS = ("relaxation", "steps", "energy_per_atom", "max_force", "volume_change", "generated_space_group", "space_group")


@dataclass(frozen=True)
class Relaxation:
    """How crystals are relaxed: see `rating.relax`."""

    fmax: float = 0.1  # eV/Å
    max_steps: int = 100
    limit: float = TIME_LIMIT  # s for one crystal
    geometry: str = GEOMETRY
    energy: str = ENERGY
    min_distance: float = field(default=MIN_CONTACT, init=False)  # a result is kept under it too


def relax_table(table: pd.DataFrame, settings: Relaxation, folder: Path, workers: int = 1, shipped: Path | None = None,
                hull: Hull | None = None) -> pd.DataFrame:  # fmt: skip
    """Relax every crystal, and place it above a hull.

    Args:
        table: crystals.
        settings: see there.
        folder: of finished results (see `store.compute`); a killed run goes on from there.
        workers: processes.
        shipped: finished results that come with the repository, likewise.
        hull: of the same potential's energies; without one there are no formation energies.

    Returns:
        the crystals with their last geometry, or the one they came with where the relaxation failed, and `COLUMNS`:
        relaxation is `converged`, `unconverged` or `failed: <why>`, energies in eV of `energy_source`; NaN where it failed or the
        energy is implausible. With formation_energy_per_atom and e_above_hull (eV/atom) likewise.

    Raises:
        EnergySourceError: the hull's energies are of another potential.
    """
    outcomes = compute(
        relax,
        to_structures(table),
        asdict(settings),
        basis(settings.geometry, settings.energy),
        folder,
        workers,
        shipped=shipped,
        version=RELAXED,
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
        e_above_hull=np.nan,
        energy_source=np.where(done, energy_source(settings.energy), None),
        generated_space_group=before,
        **{name: np.array([o[name] for o in outcomes], dtype=float) for name in ("energy_per_atom", "max_force", "volume_change")},
    )
    relaxed = hull.place(relaxed, energy_source(settings.energy)) if hull else relaxed
    return find_space_groups(without_implausible(relaxed, "relaxation", "failed: "))
