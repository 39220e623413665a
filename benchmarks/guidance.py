"""Energies asked for by classifier-free guidance, and those obtained (A eq. 2). Run: python benchmarks/guidance.py MODEL CRYSTALS OUT.json

Asked are formation energies of crystals of CRYSTALS' test side, of nothing else, at several weights of guidance. Obtained are 7net-l3i5's,
as sampled, against the shipped table's elements. Held-out crystals' own energies by 7net-l3i5 stand beside: what asking could reach.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from crystalgen.crystals import read_crystals, to_structures
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.metrics.validity import structure_validity
from crystalgen.potentials.shipped import shipped_energies
from crystalgen.potentials.single_point import rate
from crystalgen.report.figures.energies import energies_obtained
from crystalgen.report.style import save_figure
from crystalgen.represent.generate import generate_for_energies
from crystalgen.stability.hull import elemental_references
from crystalgen.utils.elements import SYMBOLS
from crystalgen.utils.files import write_json

REDRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "crystals", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--sampling", default='{"sampler": "ddpm", "steps": 64}', help="JSON")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    table = read_crystals(options.crystals)
    held_out = table[table["split"] == "test"].dropna(subset="formation_energy_per_atom").sample(options.count, random_state=0)
    asked = held_out["formation_energy_per_atom"].to_numpy()
    elements = pd.concat([shipped_energies([SYMBOLS[z - 1]]) for z in np.unique(np.concatenate(table["atomic_numbers"].to_numpy()))])
    references = elemental_references(elements)
    model, sampling = Model.load(options.model, count=1), Sampling.model_validate_json(options.sampling)
    found = {"held_out": pd.DataFrame({"asked": asked, "energy": energies(held_out, references), "valid": True})}
    for weight in options.weights:
        samples, _ = generate_for_energies(model, asked, sampling.model_copy(update={"guidance": weight}), "guided")
        drawn = pd.DataFrame({"asked": samples["asked_formation_energy_per_atom"], "weight": weight, "valid": structure_validity(samples)})
        found[f"weight_{weight:g}"] = drawn.assign(energy=energies(samples, references))
    metrics = {f"guidance.{name}.{key}": value for name, rows in found.items() for key, value in measures(rows).items()}
    write_json(metrics, options.out)
    for key, value in metrics.items():
        print(key, value)
    if options.figure:
        guided = pd.concat([rows for name, rows in found.items() if name != "held_out"], ignore_index=True)
        guided["asked"] = pd.qcut(guided["asked"], 6).map(lambda bin_: round(bin_.mid, 2)).astype(float)  # a line through six groups
        save_figure(energies_obtained(guided), options.figure)


def energies(table: pd.DataFrame, references: np.ndarray) -> np.ndarray:
    """Return formation energies by 7net-l3i5 as the crystals are, eV/atom; NaN without."""
    per_atom = [rate(structure)["energy_per_atom"] or np.nan for structure in to_structures(table)]
    return np.array([energy - references[z].mean() for energy, z in zip(per_atom, table["atomic_numbers"], strict=True)])


def measures(rows: pd.DataFrame) -> dict:
    """Return Spearman's correlation of asked and obtained with its 95 % interval, the mean absolute difference and the valid share."""
    known = rows.dropna(subset="energy")[["asked", "energy"]].to_numpy()
    rng = np.random.default_rng(0)
    redrawn = [spearmanr(*known[rng.integers(len(known), size=len(known))].T).statistic for _ in range(REDRAWS)]
    low, high = np.quantile(redrawn, [0.025, 0.975])
    return {
        "spearman": {"value": float(spearmanr(*known.T).statistic), "low": float(low), "high": float(high), "n": len(known)},
        "difference": {"value": float(np.abs(known[:, 0] - known[:, 1]).mean()), "n": len(known)},
        "valid": {"value": float(rows["valid"].mean()), "n": len(rows)},
    }


if __name__ == "__main__":
    main()
