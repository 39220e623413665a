"""Ten classics end to end: is the textbook crystal the first answer? Run: python benchmarks/classics.py [--out FOLDER]

Each is asked by its formula alone, as `crystalgen generate` does it, with what ships and without looking anything up; a page each goes to
the folder. Printed is the first answer beside the space group that the compound is known in.
"""

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd

from crystalgen.api.compound import answer_compound, write_compound_answer
from crystalgen.report.compound import FOOTER
from crystalgen.utils import paths

CLASSICS = {
    "LiFePO4": 62,
    "NaCl": 225,
    "SrTiO3": 221,
    "GaN": 186,
    "TiB2": 191,
    "LiCoO2": 166,
    "MgAl2O4": 227,
    "Li3N": 191,
    "Cu2O": 224,
    "BaTiO3": 160,
}  # fmt: skip; BaTiO3 is rhombohedral at rest, SrTiO3 cubic where it is warm


def main() -> None:
    """Print a row per compound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=paths.REPORTS / "generate")
    parser.add_argument("--count", type=int, default=12)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    paths.RAW = args.out / "nothing is looked up"
    rows = []
    for formula, known in CLASSICS.items():
        start = time.perf_counter()
        crystals = answer_compound(formula, args.count, None, None, None, True, 40, 0, 1)
        write_compound_answer(crystals, args.out / formula)
        best, groups = crystals.iloc[0], crystals["space_group"].tolist()
        place = groups.index(known) + 1 if known in groups else None
        shown = {name: best[name] for name in ("space_group", "e_above_hull", "known_id", "sources")}
        rows.append({"compound": formula, "known": known, "place": place, **shown, "seconds": round(time.perf_counter() - start, 1)})
        print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(args.out / "classics.csv", index=False)
    print(FOOTER)


if __name__ == "__main__":
    main()
