"""From generated crystals to candidates: rate, remove duplicates, relax the lowest, place them above the hull (B §7)."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from crystalgen.baselines.prototypes import NO_LADDER
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import Search
from crystalgen.crystals import to_structures
from crystalgen.crystals.plausibility import MIN_CONTACT, without_implausible
from crystalgen.matching.match import reduce_table
from crystalgen.matching.novelty import ENERGY_WINDOW, group_duplicates, is_same, nearest_target
from crystalgen.metrics.validity import INVALID, structure_validity
from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.potentials.relaxation import RELAXED, relax, with_outcomes
from crystalgen.potentials.single_point import RATED, basis, rate_table
from crystalgen.stability.hull import Hull
from crystalgen.utils.cache import compute

EXPERIMENT = ["composition", "row", "ladder"]  # what shares a budget of relaxations: one entry of Table 3
_RELAXED = ("lattice", "frac_coords", "energy_per_atom", "formation_energy_per_atom", "e_above_hull")


def rate_generated(generated: pd.DataFrame, hull: Hull, folder: Path, workers: int = 1) -> pd.DataFrame:
    """Validity, energy as generated, space group and duplicates of each crystal.

    Every valid crystal gets its energy, rather than one per group of duplicates: the matcher's tolerances are wide, and a
    group's energy and volume would be those of whichever model gave its best copy. An energy costs less than the
    comparisons that it saves.

    Args:
        generated: crystals with composition, row (the way to sample, or a baseline) and ladder.
        hull: of the same potential.
        folder: of finished results (see `cache.compute`).
        workers: processes.

    Returns:
        the crystals with valid, status (`rated` or why not), energy_per_atom, formation_energy_per_atom, energy_source,
        e_above_hull, space_group and group (the id of the lowest crystal of its composition that it is a copy of).

    Raises:
        ValueError: a column is missing.
    """
    if missing := sorted({*EXPERIMENT, "id"} - set(generated)):
        raise ValueError(f"generated crystals lack the columns {missing}")
    table = generated.reset_index(drop=True).assign(valid=structure_validity(generated))
    rated = rate_table(table[table["valid"]], hull, folder, workers)
    table = pd.concat([rated, table[~table["valid"]].assign(status=INVALID)]).sort_index()
    return find_space_groups(table).pipe(lambda t: t.assign(group=_groups(t, workers)))


def relax_lowest(rated: pd.DataFrame, hull: Hull, library: pd.DataFrame, settings: Search, folder: Path) -> pd.DataFrame:
    """Relax the lowest crystals of each experiment and place the results above the hull.

    As in the library, a relaxation whose energy did not fall is not kept: CHGNet relaxes and SevenNet rates.

    Args:
        rated: of `rate_generated`.
        hull: of the same potential.
        library: whose crystals are known.
        settings: how many are relaxed, and how far.
        folder: of finished results (see `cache.compute`).

    Returns:
        the candidates by composition and energy: the crystals with their last geometry and energies, and with
        relaxation (`converged`, `unconverged` or `failed: why`), relaxation_steps, geometry (`relaxed` or `as generated`),
        generated_space_group, generated_e_above_hull, phase (candidates of one phase are alike; 1 is the lowest of its
        composition), known_id (the library's lowest crystal that it is, or None) and new.
    """
    chosen = choose_for_relaxation(rated, settings)
    how = {"min_distance": MIN_CONTACT, "fmax": settings.fmax, "max_steps": settings.relax_steps}
    outcomes = compute(relax, to_structures(chosen), how, basis(), folder, settings.workers, version=RELAXED)
    table = chosen.assign(
        relaxation_steps=[o["steps"] for o in outcomes],
        generated_space_group=chosen["space_group"],
        generated_e_above_hull=chosen["e_above_hull"],
    )
    table = _keep_lower(table, outcomes, hull).sort_values(["composition", "e_above_hull", "id"], ignore_index=True)
    table = find_space_groups(table.assign(phase=_phases(table), known_id=known_crystals(table, library)))
    table["known_id"] = table.groupby(["composition", "phase"])["known_id"].transform("first")  # one answer for a phase
    return table.assign(new=table["known_id"].isna()).drop(columns=["valid", "status", "group"])


def choose_for_relaxation(rated: pd.DataFrame, settings: Search) -> pd.DataFrame:
    """Return the `relaxed` lowest crystals of each experiment that are not alike, whatever their energies: a budget is for different ones.

    The baseline has one experiment where a model has one a ladder; it gets what all of the ladders get.
    """
    chosen = []
    own = rated[rated["status"] == RATED].sort_values(["energy_per_atom", "id"])
    for (*_, ladder), members in own.drop_duplicates([*EXPERIMENT, "group"]).groupby(EXPERIMENT, sort=True):
        count = settings.relaxed * (len(settings.ladders) if ladder == NO_LADDER else 1)
        taken = []
        for row in members.index:
            if len(taken) == count:
                break
            (cell,) = reduce_table(rated.loc[[row]], workers=1)
            if not any(is_same(cell, other) for other in taken):
                taken.append(cell)
                chosen.append(row)
    return rated.loc[chosen].reset_index(drop=True)


def known_crystals(candidates: pd.DataFrame, library: pd.DataFrame) -> list[str | None]:
    """For each candidate the id of the library's lowest crystal that the matcher (default tolerances) finds it to be, or None."""
    same = library[library["reduced_formula"].isin(set(candidates["reduced_formula"]))].sort_values(
        "formation_energy_per_atom", kind="stable"
    )
    nearest = nearest_target(reduce_table(candidates), reduce_table(same), with_rms=False)
    return [same["id"].iloc[place] if place >= 0 else None for place in nearest["place"]]


def _keep_lower(table: pd.DataFrame, outcomes: list[dict], hull: Hull) -> pd.DataFrame:
    """The relaxed geometry and energies where these are plausible and lower."""
    relaxed = without_implausible(hull.place(with_outcomes(table, outcomes), ENERGY_SOURCE), "relaxation", "failed: ")
    lower = relaxed["energy_per_atom"] < table["energy_per_atom"]
    kept = {column: relaxed[column].where(lower, table[column]) for column in _RELAXED}
    return table.assign(**kept, relaxation=relaxed["relaxation"], geometry=np.where(lower, "relaxed", "as generated"))


def _groups(table: pd.DataFrame, workers: int) -> list[str]:
    """See `novelty.group_duplicates`; by composition, whatever the experiment."""
    parts = [part for _, part in table.groupby("composition")]
    jobs = (joblib.delayed(_lowest_alike)(part) for part in parts)
    groups = table["id"].copy()
    for part, numbers in zip(parts, joblib.Parallel(n_jobs=min(workers, max(len(parts), 1)))(jobs), strict=True):
        groups[part.index] = part["id"].to_numpy()[numbers]
    return list(groups)


def _phases(table: pd.DataFrame) -> np.ndarray:
    """Numbers of the phases of each composition, from the lowest on; the table is sorted by energy."""
    phases = pd.Series(0, index=table.index)
    for _, part in table.groupby("composition"):
        phases[part.index] = pd.factorize(_lowest_alike(part, np.inf))[0] + 1
    return phases.to_numpy()


def _lowest_alike(table: pd.DataFrame, window: float = ENERGY_WINDOW) -> np.ndarray:
    return group_duplicates(reduce_table(table, workers=1), table["energy_per_atom"].to_numpy(), window)
