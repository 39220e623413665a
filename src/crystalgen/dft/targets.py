"""Which crystals are computed by density-functional theory for Table 3 of paper B: what a hull needs, and the search's candidates."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pymatgen.core import Composition, Lattice, Structure

from crystalgen.crystals import from_structures, structure_from_file, to_structures
from crystalgen.dft.ase_inputs import SETTINGS, write_ase_inputs

ON_HULL = 1e-6  # eV/atom
# Of these crystals energies are computed at several settings; formation energies need the elements too
CONVERGENCE = ("TaB2", "β-WB", "W2B", "α-B", "bcc Ta", "bcc W")
# Polymorphs by both codes: Debian's Quantum ESPRESSO has potentials of B and N, not of Ta and W
BY_TWO_CODES = ("lib-02265", "lib-03269", "lib-02681", "lib-02573", "lib-02932", "lib-03426")
HARD = {
    "pseudopotentials": {"B": "B.pbe-n-kjpaw_psl.1.0.0.UPF", "N": "N.pbe-n-kjpaw_psl.0.1.UPF"},
    "relax": {"cutoff_ev": 520.0, "k_density": 2.5, "fmax": 0.03, "max_steps": 80},
    "static": {"cutoff_ev": 680.0, "k_density": 4.0},
}
CUTOFFS = (320.0, 400.0, 700.0)  # eV, at the static calculation's density of k-points
K_DENSITIES = (2.5, 6.0)  # points per 1/Å, at the static calculation's cut-off


def known_phases(library: pd.DataFrame, reference: Path) -> pd.DataFrame:
    """Return every phase of the reference, and those of the library's hull that it lacks, in the systems of the reference.

    The library's own geometry is the start wherever it has the phase.

    Args:
        library: with e_above_hull and space_group.
        reference: reference/known_structures.yaml.

    Returns:
        a crystals table with `name`, and `origin` (the library's id, or that the geometry is from the reference).

    Raises:
        ValueError: the library lacks a phase for which the reference gives no sites.
    """
    phases = yaml.safe_load(Path(reference).read_text())
    elements = set().union(*(Composition(phase["formula"]).chemical_system.split("-") for phase in phases))
    names, structures, origins = [], [], []
    for phase in phases:
        structure, origin = _start(phase, library)
        names.append(phase["name"]), structures.append(structure), origins.append(origin)
    inside = [set(Composition(formula).chemical_system.split("-")) <= elements for formula in library["reduced_formula"]]
    hull = library[np.array(inside) & (library["e_above_hull"] < ON_HULL).to_numpy()]
    for row, structure in zip(hull.itertuples(), to_structures(hull), strict=True):
        if row.id not in origins:
            names.append(f"{row.reduced_formula} {row.space_group}"), structures.append(structure), origins.append(row.id)
    ids = [f"{number:02d}-{s.composition.reduced_formula}-{_group(s)}" for number, s in enumerate(structures)]
    return from_structures(structures, "known", ids, origin=origins, name=names)


def candidates(folder: Path) -> pd.DataFrame:
    """Return the candidates that a search left as CIFs, by rank, then composition."""
    files = sorted(Path(folder).glob("*.cif"))
    if not files:
        raise ValueError(f"{folder}: no candidates (.cif); run the search's study first")
    names = [file.stem for file in files]
    return from_structures(map(structure_from_file, files), "candidates", names, origin=names, name=names)


def write_targets(library: pd.DataFrame, reference: Path, found: Path, root: Path) -> list[Path]:
    """Folders of everything that Table 3 by density-functional theory rests on, below `root`; those there already stay as they are.

    known: phases; candidates: of the search; convergence: some phases at other settings; codes: some crystals by two codes.

    Args:
        library: with space groups and e_above_hull.
        reference: reference/known_structures.yaml.
        found: folder of the search's candidates.
        root: data/dft.
    """
    known = known_phases(library, reference)
    written = write_ase_inputs(known, root / "known", SETTINGS["gpaw"])
    written += write_ase_inputs(candidates(found), root / "candidates", SETTINGS["gpaw"])
    for name, settings in convergence_settings("gpaw").items():
        written += write_ase_inputs(known[known["name"].isin(CONVERGENCE)], root / "convergence" / name, settings)
    both = library[library["id"].isin(BY_TWO_CODES)]
    ids = both["reduced_formula"] + "-" + both["space_group"].astype(str)
    for code in SETTINGS:
        written += write_ase_inputs(both.assign(origin=both["id"], id=ids), root / "codes" / code, SETTINGS[code] | HARD)
    return written


def convergence_settings(code: str) -> dict[str, dict]:
    """Settings without relaxation that differ from the static calculation's in one thing, by name."""
    base = SETTINGS[code] | {"relax": None}
    static = base["static"]
    varied = {f"cutoff-{value:g}": static | {"cutoff_ev": value} for value in CUTOFFS}
    varied |= {f"k-{value:g}": static | {"k_density": value} for value in K_DENSITIES}
    return {"as-used": base} | {name: base | {"static": stage} for name, stage in varied.items()}


def _start(phase: dict, library: pd.DataFrame) -> tuple[Structure, str]:
    own = library[(library["reduced_formula"] == Composition(phase["formula"]).reduced_formula)]
    own = own[own["id"] == phase["library"]] if "library" in phase else own[own["space_group"] == phase["space_group"]]
    if "sites" in phase:
        species = [symbol for symbol, sites in phase["sites"].items() for _ in sites]
        coords = [site for sites in phase["sites"].values() for site in sites]
        lattice = Lattice.from_parameters(*phase["cell"])
        return Structure.from_spacegroup(phase["space_group"], lattice, species, coords, tol=0.02), f"reference, after {phase['mp']}"
    if own.empty:
        raise ValueError(f"{phase['name']}: the library has no {phase['formula']} in space group {phase['space_group']}; give its sites")
    lowest = own.sort_values("e_above_hull").head(1)
    return to_structures(lowest)[0], lowest["id"].iloc[0]


def _group(structure: Structure) -> int:
    return structure.get_space_group_info(0.05)[1]
