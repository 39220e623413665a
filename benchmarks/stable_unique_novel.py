"""How many crystals of which nothing was asked are stable, unique and novel? One row of a table as MatterGen's and LeMat-GenBench's.

    python benchmarks/stable_unique_novel.py ROW CRYSTALS SAMPLES OUT.json [--count 200] [--steps 40]

SAMPLES is what `benchmarks/unconditional.py` kept. The first `count` of them are relaxed by 7net-l3i5, all together; energies are
above the shipped hull of the same potential, which holds the Materials Project's structures to 60 atoms. Unique and novel,
beside the training rows of CRYSTALS, is judged after relaxation by StructureMatcher. The entries are added to OUT.json.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals import read_crystals
from crystalgen.experiments.compounds.ranking import relaxed
from crystalgen.matching.match import reduce_table
from crystalgen.matching.novelty import nearest_target, unique_classes
from crystalgen.metrics.proxy import share_of_requested
from crystalgen.potentials.registry import ENERGY_SOURCE
from crystalgen.potentials.shipped import shipped_hull
from crystalgen.utils.elements import SYMBOLS
from crystalgen.utils.files import write_json
from crystalgen.utils.statistics import Scoring

BOUNDS = (0.0, 0.1)  # eV/atom above the hull


def main() -> None:
    """Relax, rate and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in {"row": str, "crystals": Path, "samples": Path, "out": Path}.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--baseline", action="store_true", help="SAMPLES are of no model")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    crystals = read_crystals(options.crystals)
    given = read_crystals(options.samples).head(options.count)
    table = relaxed(given, None, options.steps, drop=None)
    table["e_above_hull"] = [above_hull(table.iloc[[place]]) for place in range(len(table))]
    cells = reduce_table(table)
    verdicts = table[["formula"]].assign(seed=0, unique=unique_classes(cells) == np.arange(len(cells)))
    known = nearest_target(cells, reduce_table(crystals[crystals["split"] == "train"]), with_rms=False)
    verdicts["novel"] = ~known["matched"].to_numpy(bool)
    scoring, metrics = Scoring((0,), len(given), 2000, f"samples of {options.row}"), {}
    for bound in BOUNDS:
        verdicts["stable"] = (table["e_above_hull"] <= bound).to_numpy()
        verdicts["sun"] = verdicts[["stable", "unique", "novel"]].all(axis=1)
        for name in ("stable", "sun"):
            metrics[f"{name}_{bound:g}"] = share_of_requested(verdicts, name, scoring)
    print(f"median height {1000 * table['e_above_hull'].median():.0f} meV/atom, {table['e_above_hull'].isna().sum()} without an energy")
    known_rows = json.loads(options.out.read_text()) if options.out.is_file() else {}
    added = {f"{options.row}.{name}": entry | {"baseline": options.baseline, "task": None} for name, entry in metrics.items()}
    write_json(dict(sorted((known_rows | added).items())), options.out)
    for name, entry in metrics.items():
        print(f"{options.row}.{name}", {part: round(entry[part], 4) for part in ("value", "low", "high", "n")}, flush=True)


def above_hull(crystal: pd.DataFrame) -> float:
    """Return the energy above the shipped hull of a table of one crystal, eV/atom; NaN without an energy or a hull."""
    if str(crystal["status"].iloc[0]).startswith("failed"):
        return np.nan
    try:
        hull = shipped_hull({SYMBOLS[z - 1] for z in crystal["atomic_numbers"].iloc[0]})
    except ValueError:  # an element without a crystal of its own
        return np.nan
    return float(hull.place(crystal, ENERGY_SOURCE)["e_above_hull"].iloc[0])


if __name__ == "__main__":
    main()
