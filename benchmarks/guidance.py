"""Energies asked for by classifier-free guidance, and those obtained (A eq. 2), on Perov-5.

    python benchmarks/guidance.py energies CRYSTALS RATED.parquet
    python benchmarks/guidance.py tensors RATED.parquet TENSORS
    python -m crystalgen.generative benchmarks/guidance.yaml TENSORS --out MODEL --start data/shipped/perov_5_unimat/models/unimat
    python benchmarks/guidance.py judge RATED.parquet MODEL OUT.json [--figure FOLDER]

Energies are formation energies by 7net-l3i5 of the crystals as they are, against the shipped table's elements: the same ruler in
training, in what is asked, and in what is obtained. (The set's own heats of formation have a rank correlation of 0.67 with it.) Asked are
the energies of held-out crystals, and nothing else, at several weights of guidance.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from crystalgen.crystals import read_crystals, write_crystals
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.metrics.validity import structure_validity
from crystalgen.potentials.formation import formation_energies_as_they_are
from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.report.figures.energies import energies_obtained
from crystalgen.report.style import save_figure
from crystalgen.represent.generate import generate_for_energies
from crystalgen.represent.tensors import save_tensors, unimat_tensors
from crystalgen.utils.files import write_json

REDRAWS = 2000
SHIFT = 0.25  # of coordinates, as in studies/perov_5_unimat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["energies", "tensors", "judge"])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--sampling", default='{"sampler": "ddpm", "steps": 64}', help="JSON")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    table = read_crystals(options.files[0])
    if options.step == "energies":
        write_crystals(
            table.assign(formation_energy_per_atom=formation_energies_as_they_are(table), energy_source=ENERGY_SOURCE), options.files[1]
        )
    elif options.step == "tensors":
        save_tensors(unimat_tensors(table, shift=SHIFT), options.files[1])
    else:
        judge(table, options)


def judge(table: pd.DataFrame, options: argparse.Namespace) -> None:
    """Ask for energies of held-out crystals, and write how those obtained follow."""
    held_out = table[table["split"] == "test"].dropna(subset="formation_energy_per_atom").sample(options.count, random_state=0)
    asked = held_out["formation_energy_per_atom"].to_numpy()
    model, sampling = Model.load(options.files[1], count=1), Sampling.model_validate_json(options.sampling)
    found = {}
    for weight in options.weights:
        samples, _ = generate_for_energies(model, asked, sampling.model_copy(update={"guidance": weight}), "guided")
        drawn = pd.DataFrame({"asked": samples["asked_formation_energy_per_atom"], "weight": weight, "valid": structure_validity(samples)})
        found[f"weight_{weight:g}"] = drawn.assign(energy=formation_energies_as_they_are(samples))
    metrics = {f"guidance.{name}.{key}": value for name, rows in found.items() for key, value in measures(rows).items()}
    write_json(metrics, options.files[2])
    for key, value in metrics.items():
        print(key, value)
    if options.figure:
        guided = pd.concat(found, ignore_index=True)
        guided["asked"] = pd.qcut(guided["asked"], 6).map(lambda bin_: round(bin_.mid, 2)).astype(float)  # a line through six groups
        save_figure(energies_obtained(guided), options.figure, "guidance")


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
