"""The library's data card: what it holds, how it was made, and where it is wrong."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pymatgen.core import Composition

POTENTIALS = "CHGNet 0.3.0 for volumes and geometries, SevenNet 7net-l3i5 for energies"


def count_table(table: pd.DataFrame) -> pd.DataFrame:
    """Counts that describe the library, one row each."""
    sizes = table["formula"].value_counts()
    rows = {
        "crystals": len(table),
        "polymorph groups (same full formula)": len(sizes),
        "groups of 7 to 71": int(sizes.between(7, 71).sum()),
        "largest group": int(sizes.max()),
        "reduced formulas": table["reduced_formula"].nunique(),
        "elements": len(set().union(*map(set, table["atomic_numbers"]))),
        "space groups": int(table["space_group"].nunique()),
        "sites, least to most": f"{table['nsites'].min()} to {table['nsites'].max()}",
        "relaxed to the force limit": int(table["relaxed"].sum()),
        "on the library's hull": int((table["e_above_hull"] < 1e-6).sum()),
        "within 0.1 eV/atom of it": int((table["e_above_hull"] <= 0.1).sum()),
    }
    return pd.DataFrame({"quantity": rows.keys(), "value": rows.values()}).astype({"value": str})


def known_phases(table: pd.DataFrame, reference: Path) -> pd.DataFrame:
    """Return the library's lowest crystal of each known formula beside other energies; eV/atom.

    Columns: phase, library, pbe (plane-wave), difference, e_above_hull, space_group.
    """
    rows = []
    for phase in yaml.safe_load(reference.read_text()):
        formula = Composition(phase["formula"]).reduced_formula
        members = table[table["reduced_formula"] == formula]
        if members.empty:
            rows.append({"phase": phase["name"], "pbe": phase["pbe"]})
            continue
        lowest = members.loc[members["formation_energy_per_atom"].idxmin()]
        energy = lowest["formation_energy_per_atom"]
        rows.append(
            {
                "phase": phase["name"],
                "library": round(energy, 3),
                "pbe": phase["pbe"],
                "difference": round(energy - phase["pbe"], 3),
                "e_above_hull": round(lowest["e_above_hull"], 3),
                "space_group": lowest["space_group"],
            }
        )
    return pd.DataFrame(rows)


def write_card(table: pd.DataFrame, record: dict, reference: Path, path: Path) -> None:
    """Write the card as Markdown."""
    energies = table["formation_energy_per_atom"]
    edges = np.array([-np.inf, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, np.inf])
    histogram = pd.cut(energies, edges).value_counts(sort=False)
    bins = pd.DataFrame({"formation energy, eV/atom": [str(b) for b in histogram.index], "crystals": histogram.to_numpy()})
    groups = table["space_group"].value_counts().head(15).rename_axis("space group").reset_index(name="crystals")
    steps = pd.DataFrame({"step": record["counts"].keys(), "crystals": record["counts"].values()})
    seconds = pd.DataFrame({"step": record["seconds"].keys(), "seconds": record["seconds"].values()})
    phases = known_phases(table, reference)
    worst = phases["difference"].abs().max()
    path.write_text(
        f"""# The embedded library

Computed by this project (MIT licence): decorations of the AFLOW prototypes that pymatgen ships, and superstructures of
fcc, bcc and hcp enumerated by icet, over {len(set().union(*map(set, table["atomic_numbers"])))} elements.
{POTENTIALS}.
`recipe.yaml` holds every setting; `crystalgen build-library` rebuilds it and resumes where it stopped.
Made with {", ".join(f"{name} {version(name)}" for name in ("pymatgen", "ase"))} and the versions in `requirements.lock`.

## Content

{count_table(table).to_markdown(index=False)}

{bins.to_markdown(index=False)}

The 15 most frequent space groups (spglib, symprec {table["symprec"].iloc[0]} Å):

{groups.to_markdown(index=False)}

## How it was made

{steps.to_markdown(index=False)}

Wall time with {record["workers"]} processes on 2 cores, other work beside it:

{seconds.to_markdown(index=False)}

1. Candidates: every distinct assignment of the elements to a prototype's sublattices; reduced primitive cells.
2. Volumes: a scan of CHGNet energies at fixed shape and a Birch-Murnaghan fit. A candidate without a minimum is dropped.
3. Duplicates within a full formula are removed by StructureMatcher (default tolerances): a cheap first pass here, among
   close energies, and a full one at the end.
4. One SevenNet energy each; the structures near the hull and lowest of their formula are relaxed with CHGNet within the
   budget of the recipe, and kept where the SevenNet energy fell.
5. Formation energies against the lowest elemental crystal of the same potential; energies above the library's own hull.

## How far to trust it

{phases.to_markdown(index=False)}

`pbe` is a plane-wave PBE calculation of the same phase (GPAW, 450 eV). The library's lowest crystal of these formulas
differs from it by at most {worst:.3f} eV/atom.

- A potential is no DFT. Energies of unrelaxed structures are upper bounds: only the volume was optimised, so cell
  shapes and free coordinates stay the prototype's.
- Elemental references are the lowest of the elemental prototypes in the library. Carbon has no van der Waals term.
  Magnetism of Ni is not treated by SevenNet.
- The hull is the library's own: a phase that is not in it cannot lower it.
- Ternary prototypes are decorated in the listed chemical systems only, and large superstructure groups are seeded draws,
  not the complete enumeration.
"""
    )
