"""How far energies above the shipped hull lie from the Materials Project's. Run: python benchmarks/hull_errors.py DATA

DATA is mp_20's crystals.parquet. Of drawn training crystals that are not stable, 7net-l3i5's energy above the hull of the shipped single
points is compared with the one of density-functional theory in the table. Written is the root mean square difference by element, eV/atom,
towards that of all where an element is rare: what an answer calls its uncertainty.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals import read_crystals
from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.potentials.shipped import shipped_energies
from crystalgen.stability.hull import Hull, formation_energies
from crystalgen.utils import paths
from crystalgen.utils.files import write_json
from crystalgen.utils.formulas import ATOMIC_NUMBERS, parse_composition

ABOVE = 1e-3  # eV/atom: what is on both hulls agrees by construction, and says nothing of what is proposed
PRIOR = 20  # crystals that the mean of all counts as


def main() -> None:
    """Write src/crystalgen/reference/hull_errors.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--crystals", type=int, default=2000)
    args = parser.parse_args()
    table = read_crystals(args.data)
    table = table[(table["split"] == "train") & (table["e_above_hull"] > ABOVE)]
    points = shipped_energies(ATOMIC_NUMBERS)
    points = points[[bool(np.isfinite(energy)) for energy in points["energy_per_atom"]]].reset_index(drop=True)
    hull = Hull(points.assign(formation_energy_per_atom=formation_energies(points), energy_source=ENERGY_SOURCE))
    own = points.set_index("id")["energy_per_atom"]
    drawn = table[table["id"].isin(own.index) | table["material_id"].isin(own.index)].sample(args.crystals, random_state=0)
    names = drawn["id"].where(drawn["id"].isin(own.index), drawn["material_id"])
    drawn = drawn.assign(energy_per_atom=own.loc[names].to_numpy())
    placed = hull.place(drawn.drop(columns="e_above_hull").reset_index(drop=True), ENERGY_SOURCE)
    apart = pd.Series(placed["e_above_hull"].to_numpy() - drawn["e_above_hull"].to_numpy()).clip(-0.5, 0.5)
    kept = apart.notna()
    print(f"{kept.sum()} crystals: mean {1000 * apart.mean():.1f}, median {1000 * apart.abs().median():.1f}, "
          f"root mean square {1000 * np.sqrt((apart**2).mean()):.1f} meV/atom")  # fmt: skip
    squares = defaultdict(list)
    for formula, value in zip(placed["formula"][kept], apart[kept], strict=True):
        for symbol in parse_composition(formula):
            squares[symbol].append(value**2)
    everyone = float((apart**2).mean())
    errors = {symbol: round(float(np.sqrt((sum(found) + PRIOR * everyone) / (len(found) + PRIOR))), 4) for symbol, found in squares.items()}
    facts = {"crystals": int(kept.sum()), "all": round(float(np.sqrt(everyone)), 4), "elements": dict(sorted(errors.items()))}
    write_json(facts, paths.REFERENCE / "hull_errors.json")


if __name__ == "__main__":
    main()
