"""How far are the energies of generated crystals from a set's? The last distance of paper A's Table 1, by a potential.

    python benchmarks/energies.py ROW CRYSTALS SAMPLES OUT.json [--count 1000]

SAMPLES is what `benchmarks/unconditional.py` kept. Formation energies of the first `count` that are valid, and of as many crystals of the
set's validation split, are computed by 7net-l3i5 as the crystals are, against the shipped elements. (The paper's are of CDVAE's trained
predictors.) The distance of the two distributions is added to OUT.json, beside the one that a draw of training crystals has.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals import read_crystals
from crystalgen.metrics.distributions import wasserstein
from crystalgen.metrics.validity import structure_validity
from crystalgen.potentials.formation import formation_energies_as_they_are
from crystalgen.utils.files import write_json

DRAWS = 200  # redraws behind an interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in {"row": str, "crystals": Path, "samples": Path, "out": Path}.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    crystals, samples = read_crystals(options.crystals), read_crystals(options.samples).head(options.count)
    real = known(crystals[crystals["split"] == "test"], options.count, 0)
    drawn = {
        options.row: known(samples[structure_validity(samples)], options.count, None),
        "training_copies": known(crystals[crystals["split"] == "train"], options.count, 1),
    }
    rows = json.loads(options.out.read_text()) if options.out.is_file() else {}
    for name, energies in drawn.items():
        entry = wasserstein(energies, real, DRAWS) | {"n": len(energies), "source": f"samples of {name}"}
        rows[f"{name}.wasserstein_energy"] = entry | {"baseline": name == "training_copies", "task": None}
        print(name, {key: round(entry[key], 4) for key in ("value", "low", "high", "n")}, f"median {np.median(energies):.3f} eV/atom")
    write_json(dict(sorted(rows.items())), options.out)


def known(table: pd.DataFrame, count: int, seed: int | None) -> np.ndarray:
    """Energies of at most `count` crystals, drawn where there is a seed; without those that have none."""
    table = table.head(count) if seed is None else table.sample(min(count, len(table)), random_state=seed)
    energies = formation_energies_as_they_are(table)
    return energies[np.isfinite(energies)]


if __name__ == "__main__":
    main()
