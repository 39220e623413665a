"""Build the library step by step, in shards: kill it at any time, run it again, and it goes on.

Every step maps a table to a table, shard by shard; a finished shard is a file and is never redone.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures, read_crystals, to_structures, write_crystals
from crystalgen.crystals.plausibility import implausible
from crystalgen.library.candidates import enumerate_candidates
from crystalgen.library.recipe import Recipe
from crystalgen.library.volumes import best_volumes
from crystalgen.matching.match import reduce_table
from crystalgen.matching.novelty import group_duplicates
from crystalgen.potentials import relaxation, single_point
from crystalgen.potentials.registry import ENERGY_SOURCE, GEOMETRY, calculator
from crystalgen.stability.hull import energies_above_hull, formation_energies


def build_library(recipe: Recipe, folder: Path, workers: int = 2) -> tuple[pd.DataFrame, dict]:
    """Build the library; returns the table and its record (counts and seconds per step).

    Args:
        recipe: what to build.
        folder: where shards are kept; results of another recipe beside them are left alone.
        workers: processes; one core and about 1.5 GB each.
    """
    record: dict = {"workers": workers, "counts": {}, "seconds": {}}
    folder = folder / _digest(recipe.model_dump(exclude={"relaxation"}))
    clock = _Clock(folder, record)
    with clock("candidates"):
        candidates = _cached(folder / "candidates.parquet", lambda: enumerate_candidates(recipe))
    with clock("volumes"):
        scanned = _in_shards(candidates, folder / "volumes", recipe.shard_size, workers, _scan_shard, recipe)
    with clock("deduplicate candidates"):
        window = recipe.duplicate_energy
        distinct = _cached(folder / "distinct.parquet", lambda: drop_duplicates(scanned, "chgnet_order", workers, window))
    with clock("energies"):
        rated = _in_shards(distinct, folder / "energies", recipe.shard_size, workers, _energy_shard, recipe)
        believed = drop_implausible(rated)
    with clock("relaxation"):
        wanted = choose_for_relaxation(believed, recipe)
        chosen = wanted.head(recipe.relaxation.max_structures)
        relaxed_folder = folder / ("relaxed-" + _digest(recipe.relaxation.model_dump(exclude={"max_structures"})))
        relaxed = _in_shards(chosen, relaxed_folder, 16, workers, _relax_shard, recipe)
    with clock("table"):
        rest = believed[~believed["id"].isin(chosen["id"])].assign(relaxed=False, relaxation_steps=0)
        table = _finish(pd.concat([relaxed, rest], ignore_index=True), recipe, workers)
    record["counts"] = {
        "candidates": len(candidates),
        "with a volume": len(scanned),
        "distinct before energies": len(distinct),
        "with an energy": len(rated),
        "with a physical energy": len(believed),
        "near the hull or lowest of their formula": len(wanted),
        "of these relaxed, lowest first": len(relaxed),
        "relaxations that reached the force limit": int(relaxed["relaxed"].sum()),
        "crystals": len(table),
    }
    return table, record


def drop_implausible(table: pd.DataFrame) -> pd.DataFrame:
    """Drop implausible crystals and those without a formation energy, by contacts first: no element with overlapping atoms is a reference.

    The library's own hull is drawn from what is left, so that nothing is far below it.
    """
    table = table[implausible(table) == ""].reset_index(drop=True)
    formation = formation_energies(table)
    sane = (implausible(table.assign(formation_energy_per_atom=formation)) == "") & ~np.isnan(formation)
    return table[sane].reset_index(drop=True)


def choose_for_relaxation(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Near the hull or lowest of their formula: elements first, then by energy above the hull."""
    settings = recipe.relaxation
    rated = table.assign(formation_energy_per_atom=formation_energies(table), energy_source=ENERGY_SOURCE)
    rated["e_above_hull"] = energies_above_hull(rated)
    rank = rated.groupby("reduced_formula")["energy_per_atom"].rank(method="first")
    element = rated["atomic_numbers"].map(lambda z: len(set(z)) == 1)
    wanted = rated[(rated["e_above_hull"] <= settings.hull_window) | (rank <= settings.lowest_of_each_formula)]
    order = wanted.assign(_element=element).sort_values(["_element", "e_above_hull", "id"], ascending=[False, True, True])
    return table.loc[order.index]


def drop_duplicates(table: pd.DataFrame, order: str, workers: int, window: float = np.inf) -> pd.DataFrame:
    """Keep the lowest `order` of each StructureMatcher class within a full formula.

    With a `window`, only crystals whose `order` differs by less are compared: a first, cheap pass. The matcher's
    tolerances are wide, so that one topology at two c/a ratios is one crystal to it, whatever their energies.
    """
    table = table.sort_values(["formula", order, "id"], ignore_index=True)
    groups = [g for _, g in table.groupby("formula", sort=False)]
    chunks = [groups[i : i + 32] for i in range(0, len(groups), 32)]
    jobs = (joblib.delayed(_distinct_of_groups)(c, order, window) for c in chunks)
    kept = list(_parallel(workers, jobs, len(chunks), "duplicates"))
    return table.loc[sorted(i for chunk in kept for i in chunk)].reset_index(drop=True)


def _distinct_of_groups(groups: list[pd.DataFrame], order: str, window: float) -> list[int]:
    firsts = [group_duplicates(reduce_table(group, workers=1), group[order].to_numpy(), window) for group in groups]
    return [row for group, first in zip(groups, firsts, strict=True) for row in group.index[first == np.arange(len(group))]]


def _scan_shard(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    structures = to_structures(table)
    volumes = best_volumes(structures, recipe.volumes)
    found = np.flatnonzero(np.isfinite(volumes))
    for i in found:
        structures[i].scale_lattice(volumes[i])
    result = table.iloc[found].assign(lattice=[structures[i].lattice.matrix for i in found])
    order = single_point.chgnet_energies_per_atom([structures[i] for i in found], recipe.volumes.batch_size)
    return result.assign(chgnet_order=order)


def _energy_shard(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    energies = single_point.energies_per_atom(to_structures(table))
    return table.assign(energy_per_atom=energies)[np.isfinite(energies)]


def _relax_shard(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    settings, rows = recipe.relaxation, []
    for structure in to_structures(table):
        steps = settings.reference_max_steps if len(structure.elements) == 1 else settings.max_steps
        rows.append(relaxation.minimise(structure, settings.fmax, steps, None, calculator(GEOMETRY)))
    structures, converged, steps = zip(*rows, strict=True)
    result = from_structures(structures, "library", list(table["id"]))
    for column in ("prototype", "family", "chgnet_order"):
        result[column] = table[column].to_numpy()
    energies = single_point.energies_per_atom(list(structures))
    result = result.assign(relaxed=converged, relaxation_steps=steps, energy_per_atom=energies)
    # A step too far can leave the potential's range: what did not lower the energy is not kept.
    worse = ~(energies < table["energy_per_atom"].to_numpy())
    return pd.concat([result[~worse], table[worse].assign(relaxed=False, relaxation_steps=0)]).sort_index()


def _finish(table: pd.DataFrame, recipe: Recipe, workers: int) -> pd.DataFrame:
    table = drop_duplicates(drop_implausible(table), "energy_per_atom", workers)
    table = find_space_groups(table, recipe.symprec)
    table["formation_energy_per_atom"] = formation_energies(table)
    table["energy_source"] = ENERGY_SOURCE
    table["e_above_hull"] = energies_above_hull(table)
    table["id"] = [f"lib-{i:05d}" for i in range(len(table))]
    return table.drop(columns="chgnet_order")


def _in_shards(table, folder: Path, size: int, workers: int, function: Callable, recipe: Recipe) -> pd.DataFrame:
    """Apply `function` to slices of the table in processes; slices already on disk are only read."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(table), size)
    names = [folder / f"{start:06d}-{_digest(list(table['id'].iloc[start : start + size]))}.parquet" for start in starts]
    missing = [(n, table.iloc[s : s + size].reset_index(drop=True)) for n, s in zip(names, starts, strict=True) if not n.is_file()]
    jobs = (joblib.delayed(_run_shard)(function, part, name, recipe) for name, part in missing)
    for _ in _parallel(workers, jobs, len(missing), folder.name):
        pass
    return pd.concat([read_crystals(name) for name in names], ignore_index=True)


def _run_shard(function: Callable, table: pd.DataFrame, path: Path, recipe: Recipe) -> None:
    write_crystals(function(table, recipe).reset_index(drop=True), path)


def _parallel(workers: int, jobs, total: int, label: str):
    runner = joblib.Parallel(n_jobs=workers, return_as="generator")
    return tqdm(runner(jobs), total=total, desc=label, mininterval=5)


def _cached(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    if not path.is_file():
        write_crystals(make(), path)
    return read_crystals(path)


def _digest(value) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


class _Clock:
    """Adds each step's wall time to what earlier, interrupted runs spent on it."""

    def __init__(self, folder: Path, record: dict):
        self.folder, self.record = folder, record

    def __call__(self, step: str):
        self.step = step
        return self

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"seconds-{self.step.replace(' ', '-')}.txt"
        spent = (float(log.read_text()) if log.is_file() else 0.0) + time.perf_counter() - self.start
        log.write_text(f"{spent:.1f}\n")
        self.record["seconds"][self.step] = round(spent, 1)
