"""Read what the repository's open calculations say: a hull by density-functional theory, candidates above it, convergence, potentials."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_columns, to_structures
from crystalgen.dft.ingest import ingest
from crystalgen.dft.rows import CONVERGED
from crystalgen.potentials.registry import ENERGY_SOURCE, GEOMETRY_SOURCE
from crystalgen.potentials.single_point import chgnet_energies_per_atom, energies_per_atom
from crystalgen.stability.hull import EnergySourceError, Hull, formation_energies

KNOWN, CANDIDATES, CONVERGENCE, CODES = "known", "candidates", "convergence", "codes"  # folders below data/dft


def read_results(root: Path, cache: Path, workers: int = 2) -> pd.DataFrame:
    """Read the static calculation of every folder below a root, whatever its state.

    Returns:
        `ingest`'s columns, with group (the first folder of the path), setting (the folders between), name (the last folder),
        relax_steps, cores and seconds of both calculations (NaN before the end); a folder that has not begun has the status `not begun`.
    """
    table = ingest(root, cache, workers)
    table = table[table["calculation"] == "static"].drop(columns="calculation").set_index("id")
    folders = [str(file.parent.relative_to(root)) for file in sorted(root.rglob("input.json"))]
    table = table.reindex(folders).rename_axis("id").reset_index()
    table["status"] = table["status"].fillna("not begun")
    parts = table["id"].str.split("/")
    records = pd.DataFrame([_record(root / name) for name in table["id"]], index=table.index)
    return table.assign(group=parts.str[0], setting=parts.str[1:-1].str.join("/"), name=parts.str[-1]).join(records)


def dft_crystals(results: pd.DataFrame, group: str) -> pd.DataFrame:
    """Return the converged calculations of a group as crystals with energy_per_atom (eV) and space_group, at their computed geometry.

    Raises:
        EnergySourceError: they are of more than one set of settings, so that their energies do not compare.
    """
    done = results[(results["group"] == group) & (results["status"] == CONVERGED)].reset_index(drop=True)
    if len(set(done["settings_id"])) > 1:
        raise EnergySourceError(f"{group}: calculations of the settings {sorted(done['settings_id'].unique())} do not compare")
    columns = {name: done[name].to_numpy() for name in ("energy_per_atom", "settings_id", "relax_steps", "seconds", "cores")}
    arrays = [[np.array(value) for value in done[name]] for name in ("lattice", "atomic_numbers", "frac_coords")]
    return find_space_groups(from_columns(*arrays, "dft", list(done["name"]), **columns))


def dft_hull(known: pd.DataFrame, energies: np.ndarray, source: str) -> tuple[pd.DataFrame, Hull]:
    """Return the known phases with formation energies (eV/atom) and heights above their own hull, and that hull.

    Args:
        known: crystals, the elements among them.
        energies: total energies, eV/atom (n,), by any one source.
        source: its name.
    """
    rated = known.assign(energy_per_atom=energies, energy_source=source)
    rated = rated.assign(formation_energy_per_atom=formation_energies(rated))
    hull = Hull(rated)
    return hull.place(rated, source), hull


def opinions(known: pd.DataFrame, candidates: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Known phases and candidates by DFT and by each potential, all at the DFT geometries, each above its own hull of the same phases.

    Args:
        known, candidates: of `dft_crystals`.

    Returns:
        source -> known, candidates; with formation_energy_per_atom and e_above_hull (eV/atom). A potential's energies never meet DFT's.
    """
    methods = {
        "GPAW PBE": lambda table: table["energy_per_atom"].to_numpy(),
        ENERGY_SOURCE: lambda table: energies_per_atom(to_structures(table)),
        GEOMETRY_SOURCE: lambda table: chgnet_energies_per_atom(to_structures(table), 16),
    }
    found = {}
    for source, rate in methods.items():
        placed, hull = dft_hull(known, rate(known), source)
        energies = rate(candidates) if len(candidates) else np.empty(0)
        found[source] = placed, hull.place(candidates.assign(energy_per_atom=energies), source)
    return found


def convergence(results: pd.DataFrame) -> pd.DataFrame:
    """Return how far energies move between settings: a row per setting and phase.

    Returns:
        setting, name, cutoff_ev, k_density, energy_per_atom and formation_energy_per_atom (eV), of converged calculations; formation
        energies are NaN until the elements are there.
    """
    own = results[(results["group"] == CONVERGENCE) & (results["status"] == CONVERGED)]
    tables = []
    for setting, part in own.groupby("setting"):
        crystals = part.assign(formula=part["formula"])
        settings = json.loads(part["settings"].iloc[0])
        tables.append(
            pd.DataFrame(
                {
                    "setting": setting,
                    "name": part["name"],
                    "cutoff_ev": settings["cutoff_ev"],
                    "k_density": settings["k_density"],
                    "energy_per_atom": part["energy_per_atom"],
                    "formation_energy_per_atom": formation_energies(crystals),
                }
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _record(folder: Path) -> dict:
    file = folder / "record.json"
    if not file.exists():
        return {"relax_steps": np.nan, "cores": np.nan, "seconds": np.nan}
    record = json.loads(file.read_text())
    return {"relax_steps": record["relax_steps"], "cores": record["cores"], "seconds": sum(record["seconds"].values())}
