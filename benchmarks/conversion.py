"""How fast the crystals table converts, beside parsing the same crystals from CIF. Run: python benchmarks/conversion.py

Prints crystals per second on one core and the ratios, all of one run.
"""

import tempfile
import time
from pathlib import Path

import pandas as pd

from crystalgen.crystals import from_structures, read_crystals, structure_from_text, to_structures, write_crystals
from crystalgen.utils import paths

COUNT, PARSED = 50_000, 500


def main() -> None:
    library = read_crystals(paths.LIBRARY / "crystals.parquet")
    copies = -(-COUNT // len(library))
    table = pd.concat([library] * copies, ignore_index=True).head(COUNT)
    table["id"] = [f"c{i}" for i in range(len(table))]
    cifs = [s.to(fmt="cif") for s in to_structures(table.head(PARSED))]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.parquet"
        rates = {"write parquet, checked": _rate(lambda: write_crystals(table, file), COUNT)}
        rates["read parquet, checked"] = _rate(lambda: read_crystals(file), COUNT)
    rates["table to pymatgen"] = _rate(lambda: to_structures(table), COUNT)
    structures = to_structures(table)
    rates["pymatgen to table"] = _rate(lambda: from_structures(structures, "benchmark"), COUNT)
    rates["parse CIF"] = _rate(lambda: [structure_from_text(c, "cif", "benchmark") for c in cifs], PARSED)
    for name, rate in rates.items():
        print(f"{name:24s} {rate:10.0f} crystals/s  {rate / rates['parse CIF']:8.1f} x parsing")


def _rate(function, count: int) -> float:
    start = time.perf_counter()
    function()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
