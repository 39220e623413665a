"""VASP outputs of a public corpus against pymatgen's verdict: every file is a row, and none converges that pymatgen says did not.

    python benchmarks/corpora_dft.py [--folder FOLDER] [--table TABLE.csv]

Downloads Debian's package pymatgen-test-files (140 MB) with apt-get and unpacks it, unless a folder with it is given. Ingests all of its
VASP outputs in one process and prints counts: rows, agreement with pymatgen's `Vasprun.converged`, stricter verdicts by reason, more
lenient ones, failures by reason; then the largest files with the time and the memory that reading them takes.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
from pymatgen.io.vasp import Vasprun

from crystalgen.dft.find import find_calculations
from crystalgen.dft.ingest import ingest

PACKAGE = "pymatgen-test-files"
_OUTPUT = re.compile(r"vasprun.*\.xml|\.xml.*vasprun|outcar", re.IGNORECASE)  # in a name, but of programs
_READ = "import sys; from crystalgen.dft.ingest import read_calculation; read_calculation({'vasprun.xml': sys.argv[1]}, 600)"


def download(folder: Path) -> Path:
    """Return the unpacked package."""
    subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
    (archive,) = folder.glob(f"{PACKAGE}_*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, folder / PACKAGE], check=True)
    return folder / PACKAGE


def pymatgens_verdict(path: Path) -> str:
    """Return "converged", "unconverged" or "not read"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "converged" if Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False).converged else "unconverged"
        except Exception:  # the parser's own errors
            return "not read"


def cost(path: Path) -> tuple[float, float]:
    """Return seconds and GB that a process of its own takes to read a file, without what the imports take."""
    start = time.perf_counter()
    program = f"{_READ}; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout) / 1e6


def main() -> None:
    """Print the counts; the exit status is 1 if a file is no row, or if a verdict is more lenient than pymatgen's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of the unpacked package")
    parser.add_argument("--table", type=Path, help="a .csv to write the rows to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.folder or download(Path(scratch))
        start = time.perf_counter()
        table = ingest(root, Path(scratch) / "kept", workers=1)
        print(f"ingested in {time.perf_counter() - start:.0f} s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
        found = find_calculations(root)
        outputs = {path for path in root.rglob("*") if path.is_file() and _OUTPUT.search(path.name) and path.suffix != ".py"}
        missing = sorted(outputs - {path for files in found.values() for path in files.values()})
        print(f"{len(outputs)} VASP outputs by name, {len(table)} rows; no row: {[path.name for path in missing]}")
        files = [calculation.get("vasprun.xml") for calculation in found.values()]
        largest = sorted((path for path in files if path), key=lambda path: path.stat().st_size, reverse=True)[:3]
        for path in largest:
            seconds, memory = cost(path)
            print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB read in {seconds:.1f} s with {memory:.2f} GB, imports included")
        table["pymatgen"] = [pymatgens_verdict(path) if path else "no vasprun.xml" for path in files]
        table = table[table["code"] == "VASP"]
        if options.table:
            table[["id", "calculation", "formula", "status", "pymatgen", "energy_per_atom", "settings"]].to_csv(options.table, index=False)
        lenient = report(table)
    sys.exit(bool(missing or lenient))


def report(table: pd.DataFrame) -> int:
    """Print agreement, stricter and more lenient verdicts; return the number of the last."""
    ours, theirs = table["status"] == "converged", table["pymatgen"] == "converged"
    read = table["pymatgen"].isin(["converged", "unconverged"])
    stricter, lenient = table[theirs & ~ours], table[ours & ~theirs]
    agree = int((read & (ours == theirs)).sum())
    print(f"of {int(read.sum())} that pymatgen reads: {agree} agree, {len(stricter)} stricter, {len(lenient)} more lenient")
    for title, part in (("stricter", stricter), ("more lenient", lenient), ("not read by pymatgen", table[~read])):
        print(f"{title}:")
        for status, number in Counter(part["status"]).most_common():
            print(f"  {number:4d} {status}")
    for row in lenient.itertuples():
        print(f"  more lenient: {row.id} {row.calculation}")
    return len(lenient)


if __name__ == "__main__":
    main()
