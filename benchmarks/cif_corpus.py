"""Count what the CIF reader makes of the COD files that Debian packages for Avogadro (`libavogadro-data`).

Run `python benchmarks/cif_corpus.py` where `apt-get` is, or give it folders of CIFs: `--folder FOLDER`. It ends with
status 1 where a file is accepted against its own formula line. `--list` names each file that is refused.
"""

import argparse
import re
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from pymatgen.core import Composition, Structure

from crystalgen.crystals.cif import read_cif

PACKAGE = "libavogadro-data"


def unpack(folder: Path) -> Path:
    """Download the package with apt-get, unpack it in `folder` and return that."""
    subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "files")], check=True)
    return folder / "files"


def formula_of(text: str) -> Composition | None:
    """Return the composition of the first formula line, deuterium as hydrogen, found without the reader's help."""
    match = re.search(r"^_chemical_formula_sum\s+(?:'([^']+)'|\"([^\"]+)\"|(\S+))", text, re.MULTILINE)
    stated = match and next(filter(None, match.groups()))
    if not stated or stated in ("?", "."):
        return None
    try:
        return Composition(re.sub(r"\bD(?=\d|\s|$)", "H", stated))
    except ValueError:
        return None


def agree(structure: Structure, stated: Composition) -> bool:
    """Return whether a crystal's composition is the one stated, within the rounding of its decimals."""
    return structure.composition.fractional_composition.almost_equals(stated.fractional_composition, rtol=0.01, atol=0.002)


def by_pymatgen(text: str) -> Structure | None:
    """Return what pymatgen's own reader makes of a text, if that is ordered."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_str(text, fmt="cif")
    except Exception:  # its parser raises types of its own
        return None
    return structure if structure.is_ordered else None


def kind(reason: str) -> str:
    """Return a reason without what belongs to the one file."""
    for cut in (" (", ": ", " where ", " of ", " under "):
        reason = reason.split(cut, 1)[0]
    return re.sub(r"'[^']*'|\b[A-Z]\S*\d\S*|-?\d+\.?\d*", "...", reason)


def main() -> int:
    """Read every CIF below the folder and print the counts; returns 1 where one contradicts its formula line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, nargs="+", help="folders of CIFs that are here already")
    parser.add_argument("--list", action="store_true", help="name each file refused, with its reason")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = sorted(p for folder in arguments.folder or [unpack(Path(scratch))] for p in folder.rglob("*.cif"))
        texts = [path.read_text(errors="replace") for path in files]
    started = time.perf_counter()
    parsed = [read_cif(text)[0] for text in texts]
    seconds = time.perf_counter() - started
    stated = [formula_of(text) for text in texts]
    reference = [by_pymatgen(text) for text in texts]
    counts, reasons, sound, wrong = Counter(), Counter(), Counter(), []
    for path, one, formula, other in zip(files, parsed, stated, reference, strict=True):
        ordered = formula is not None and other is not None and agree(other, formula)
        if one.structure is None:
            counts["refused"] += 1
            reasons[kind(one.reason)] += 1
            sound["refused"] += ordered
        elif formula is None:
            counts["read, no formula line"] += 1
        elif agree(one.structure, formula):
            counts["read, agreeing with the formula line"] += 1
            sound["read"] += ordered
        else:
            wrong.append(f"{path}: {one.structure.formula} against {formula.formula}")
        if arguments.list and one.structure is None:
            print(f"{'SOUND ' if ordered else ''}{path.name}: {one.reason}")
    print(f"{len(files)} CIFs in {seconds:.1f} s; {sum(f is not None for f in stated)} with a formula line")
    for label, count in [*counts.items(), ("accepted against the formula line", len(wrong))]:
        print(f"{count:5d} {label}")
    print("refused:", *(f"{count:5d} {reason}" for reason, count in reasons.most_common()), sep="\n")
    print(f"of {sum(sound.values())} that pymatgen reads as ordered and as their formula, {sound['read']} are read")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
