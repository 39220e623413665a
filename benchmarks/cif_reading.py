"""Time the CIF reader beside pymatgen's on the same 1,000 CIFs, half of them symmetrised, and compare what they read.

Run: python benchmarks/cif_reading.py TABLE, a parquet of crystals with columns lattice (a, b, c, alpha, beta, gamma), z and frac.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from crystalgen.crystals.cif import read_cif


def main() -> None:
    """Write the CIFs, read each by both, and print seconds and disagreements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = pd.read_parquet(arguments.table).head(arguments.count)
    structures = [Structure(Lattice.from_parameters(*r.lattice), r.z, np.reshape(r.frac, (-1, 3))) for r in rows.itertuples()]
    texts = [str(CifWriter(s, symprec=0.1 if i % 2 else None)) for i, s in enumerate(structures)]
    seconds = {}
    for symmetrised in (0, 1):
        half = texts[symmetrised::2]
        for name, read in (("pymatgen", lambda t: Structure.from_str(t, fmt="cif")), ("read_cif", lambda t: read_cif(t)[0])):
            started = time.perf_counter()
            read_all = [read(text) for text in half]
            seconds[name, symmetrised] = time.perf_counter() - started
            if name == "pymatgen":
                reference = read_all
        refused = [one.reason for one in read_all if one.structure is None]
        differing = sum(
            one.structure is not None and one.structure.composition != other.composition.element_composition
            for one, other in zip(read_all, reference, strict=True)
        )
        print(
            f"{len(half)} {'with' if symmetrised else 'without'} symmetry: {len(refused)} refused, {differing} of other composition",
            *refused[:5],
        )
    for name in ("pymatgen", "read_cif"):
        print(f"{name}: {seconds[name, 0]:.1f} s without, {seconds[name, 1]:.1f} s with symmetry")


if __name__ == "__main__":
    main()
