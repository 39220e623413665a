"""The commands that relax crystals, hand them to density-functional codes and read what those found."""

import argparse
import shlex
import subprocess
from pathlib import Path

from crystalgen.utils import paths
from crystalgen.workflow.arguments import above_zero, positive


def add_physics_commands(commands) -> None:
    """Add relax, ingest, dft-inputs, dft-targets and dft-run to the parser's commands."""
    relax = commands.add_parser("relax", help="relax crystals by a machine-learned potential, above a hull; resumes where it stopped")
    relax.add_argument("path", type=Path, help="crystals; any format that `evaluate` reads")
    relax.add_argument("--potential", default="chgnet", help="of forces: chgnet, 7net-l3i5, 7net-0, mace-mp-0, orb-v3, mattersim")
    relax.add_argument("--energy", default="7net-l3i5", help="of the energy that is kept; one of the same names")
    relax.add_argument("--fmax", type=above_zero, default=0.05, help="eV/Å, where a relaxation ends")
    relax.add_argument("--steps", type=positive, default=200, help="of a relaxation, at most")
    relax.add_argument("--limit", type=above_zero, default=600.0, help="seconds that one crystal may take")
    relax.add_argument(
        "--reference",
        type=Path,
        metavar="TABLE",
        help="crystals with energies of the same source, for the hull; the library without it",
    )
    relax.add_argument("--most", type=positive, help="only the first so many")
    relax.add_argument("--workers", type=positive, default=2, help="processes")
    relax.add_argument("--out", type=Path, metavar="FOLDER", help="where the tables go; without it, reports/relax/NAME")
    relax.set_defaults(run=_relax)

    ingest = commands.add_parser(
        "ingest", help="calculations of VASP, GPAW and Quantum ESPRESSO below a folder as one table; a further run reads only what is new"
    )
    ingest.add_argument("folder", type=Path, help="calculations anywhere below it")
    ingest.add_argument("--out", type=Path, required=True, metavar="TABLE", help=".parquet or .csv")
    ingest.add_argument("--workers", type=positive, default=2, help="processes")
    ingest.add_argument("--limit", type=above_zero, default=120.0, help="seconds that one calculation may take to read")
    ingest.set_defaults(run=_ingest)

    inputs = commands.add_parser("dft-inputs", help="folders ready for VASP, GPAW or Quantum ESPRESSO; potentials are named, not shipped")
    inputs.add_argument("path", type=Path, help="crystals, best first; any format that `evaluate` reads")
    inputs.add_argument("--preset", choices=("A", "B", "gpaw", "espresso"), default="A", help="VASP as in paper A or B, or a code")
    inputs.add_argument("--pseudo", nargs="+", default=[], metavar="ELEMENT=FILE", help="for espresso, files in $ESPRESSO_PSEUDO")
    inputs.add_argument("--most", type=positive, help="only the first so many")
    inputs.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty")
    inputs.set_defaults(run=_dft_inputs)

    targets = commands.add_parser("dft-targets", help="folders of what Table 3 by DFT rests on; those there already stay")
    targets.add_argument("--candidates", type=Path, default=paths.DFT / "found", metavar="FOLDER", help="a search's CIFs")
    targets.add_argument("--out", type=Path, default=paths.DFT, metavar="FOLDER", help="where the folders go")
    targets.set_defaults(run=_dft_targets)

    runs = commands.add_parser("dft-run", help="relax and compute folders of `dft-inputs` or `dft-targets`; several may share a tree")
    runs.add_argument("roots", type=Path, nargs="+", metavar="FOLDER", help="taken in this order")
    runs.add_argument("--python", default="gpaw python", metavar="COMMAND", help="a Python with ASE and the code, perhaps under mpirun")
    runs.add_argument("--hours", type=above_zero, help="begin no further step after so long")
    runs.add_argument("--prerelax", metavar="POTENTIAL", help="start what is not begun at this potential's minimum: 7net-l3i5, say")
    runs.add_argument("--retry", action="store_true", help="take up folders again that failed")
    runs.set_defaults(run=_dft_run)


def _relax(options: argparse.Namespace) -> int:
    from crystalgen.workflow.relaxation import relax_path

    table, folder = relax_path(options)
    for status, number in table["relaxation"].value_counts().items():
        print(f"{number:6d} {status}")
    print(folder / "relaxation.csv")
    return 0


def _ingest(options: argparse.Namespace) -> int:
    from crystalgen.dft.ingest import ingest

    if options.out.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{options.out}: expected a .parquet or a .csv")
    table = ingest(options.folder, paths.INTERIM / "ingested", options.workers, options.limit)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.out.suffix == ".csv":
        table.drop(columns=["lattice", "atomic_numbers", "frac_coords", "stress"]).to_csv(options.out, index=False, lineterminator="\n")
    else:
        table.to_parquet(options.out, index=False)
    for status, number in table["status"].value_counts().items():
        print(f"{number:6d} {status}")
    print(options.out)
    return 0


def _dft_inputs(options: argparse.Namespace) -> int:
    from crystalgen.crystals.convert import without_suffix
    from crystalgen.datasets.generated import read_generated
    from crystalgen.dft.ase_inputs import SETTINGS, write_ase_inputs
    from crystalgen.dft.inputs import write_inputs
    from crystalgen.utils.files import check_empty

    crystals, broken = read_generated(options.path)
    for row in broken.itertuples():
        print(f"left out: {row.id}: {row.reason}")
    chosen = crystals.head(options.most) if options.most else crystals
    if options.preset in SETTINGS:
        check_empty(options.out)
        chosen = chosen.assign(id=[without_suffix(name) for name in chosen["id"]])  # ids name folders
        settings = SETTINGS[options.preset] | {"pseudopotentials": dict(name_value(text) for text in options.pseudo)}
        where = write_ase_inputs(chosen, options.out, settings)[0].parent.parent
    else:
        where = write_inputs(chosen, options.out, options.preset)
    print(f"{len(chosen)} crystal{'s' if len(chosen) != 1 else ''}: {where}")
    return 0


def _dft_targets(options: argparse.Namespace) -> int:
    from crystalgen.crystals import read_crystals
    from crystalgen.dft.targets import write_targets

    library = read_crystals(paths.LIBRARY / "crystals.parquet")
    written = write_targets(library, paths.REFERENCE / "known_structures.yaml", options.candidates, options.out)
    print(f"{len(written)} folders: {options.out}")
    return 0


def _dft_run(options: argparse.Namespace) -> int:
    from crystalgen.dft import ase_run

    for root in options.roots:
        if not next(root.rglob("input.json"), None):
            raise ValueError(f"{root}: no folders with an input.json; expected what `dft-inputs` or `dft-targets` wrote")
    if options.prerelax:
        from crystalgen.dft.prerelax import prerelax

        for folder, steps in prerelax(options.roots, options.prerelax):
            print(f"{folder}: {steps} steps by {options.prerelax}", flush=True)
    command = [*shlex.split(options.python), ase_run.__file__, *map(str, options.roots)]
    command += ["--hours", str(options.hours)] if options.hours else []
    try:
        return subprocess.run([*command, *(["--retry"] if options.retry else [])]).returncode
    except FileNotFoundError:
        raise ValueError(f"{options.python}: not found; expected the command of a Python with ASE and the code (--python)") from None


def name_value(text: str) -> tuple[str, str]:
    """The two sides of NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"parameter '{text}': expected NAME=VALUE")
    return name, value
