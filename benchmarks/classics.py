"""Ten classics end to end: is the textbook crystal the first answer? Run: python benchmarks/classics.py [--out FOLDER]

They are the compounds of the study demo, whose stage `compounds` asks for fewer candidates of each. Each is asked by its formula alone, as
`crystalgen generate` does it, with what ships and without looking anything up; a page each goes to the folder. Printed is the first answer
beside the space group that the compound is known in.
"""

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd

from crystalgen.api.compound import answer_compound, write_compound_answer
from crystalgen.config import load_study
from crystalgen.report.compound import FOOTER
from crystalgen.utils import paths


def main() -> None:
    """Print a row per compound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=paths.REPORTS / "generate")
    parser.add_argument("--count", type=int, default=12)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    paths.RAW = args.out / "nothing is looked up"
    rows = []
    for formula, known in load_study("demo").compounds.known.items():
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
