"""Commands that hand crystals to density-functional codes and run those."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from crystalgen.api.checks import check_number, check_paths
from crystalgen.cli.app import CRYSTALS, Most, command, listed, name_value
from crystalgen.potentials.registry import find_potential
from crystalgen.utils import paths


@command("dft-inputs")
def dft_inputs(
    path: Annotated[Path, Argument(help=f"best first: {CRYSTALS}", show_default=False)],
    out: Annotated[Path, Option(metavar="FOLDER", help="new or empty", show_default=False)],
    preset: Annotated[Literal["A", "B", "gpaw", "espresso"], Option(help="VASP as in paper A or B, or another code")] = "A",
    pseudo: Annotated[list[str] | None, Option(metavar="ELEMENT=FILE", help="for espresso, from $ESPRESSO_PSEUDO; repeatable")] = None,
    most: Most = None,
):
    """Write folders ready for VASP, GPAW or Quantum ESPRESSO; potentials are named, not shipped.

    Examples:
      crystalgen dft-inputs data/dft/found --most 10 --out vasp/  # VASP as in paper A
      crystalgen dft-inputs cifs/ --preset gpaw --out gpaw/  # for `dft-run`
      crystalgen dft-inputs cifs/ --preset espresso --pseudo Ta=Ta.UPF,B=B.UPF --out qe/  # Quantum ESPRESSO
    """
    check_paths(path)
    from crystalgen.api.crystals import read
    from crystalgen.crystals.reading import without_suffix
    from crystalgen.dft.ase_inputs import SETTINGS, write_ase_inputs
    from crystalgen.dft.inputs import write_inputs
    from crystalgen.utils.files import check_empty

    crystals, broken = read(path)
    for row in broken.itertuples():
        print(f"left out: {row.id}: {row.reason}")
    chosen = crystals.head(most) if most else crystals
    if preset in SETTINGS:
        check_empty(out)
        stems = chosen["id"].map(without_suffix)
        chosen = chosen.assign(id=stems.where(~stems.duplicated(keep=False), chosen["id"]))  # ids name folders
        settings = SETTINGS[preset] | {"pseudopotentials": dict(name_value(text) for text in listed(pseudo or []))}
        where, count = out, len(write_ase_inputs(chosen, out, settings))
    else:
        where = write_inputs(chosen, out, preset)
        count = len(json.loads(where.read_text())["crystals"])
    print(f"{count} crystal{'s' if count != 1 else ''}: {where}")


@command("dft-targets")
def dft_targets(
    candidates: Annotated[Path, Option(metavar="FOLDER", help="a search's CIFs", show_default="data/dft/found")] = paths.DFT / "found",
    out: Annotated[Path, Option(metavar="FOLDER", help="where the folders go", show_default="data/dft")] = paths.DFT,
):
    """Write the folders that Table 3 by DFT rests on; those there already stay.

    Examples:
      crystalgen dft-targets  # into data/dft
    """
    check_paths(candidates)
    from crystalgen.crystals import read_crystals
    from crystalgen.dft.targets import write_targets

    library = read_crystals(paths.LIBRARY / "crystals.parquet")
    written = write_targets(library, paths.REFERENCE / "known_structures.yaml", candidates, out)
    print(f"{len(written)} folders: {out}")


@command("dft-run")
def dft_run(
    roots: Annotated[list[Path], Argument(help="taken in this order", show_default=False)],
    python: Annotated[str, Option(metavar="COMMAND", help="a Python with ASE and the code, perhaps under mpirun")] = "gpaw python",
    hours: Annotated[float | None, Option(help="begin no further step after so long")] = None,
    prerelax: Annotated[str | None, Option(metavar="POTENTIAL", help="start what is not begun at its minimum: 7net-l3i5, say")] = None,
    retry: Annotated[bool, Option("--retry", help="take up folders again that failed")] = False,
):
    """Relax and compute folders of `dft-inputs` or `dft-targets`; several runs may share a tree.

    Examples:
      crystalgen dft-run gpaw/ --hours 8  # stops by itself; the same command goes on
      crystalgen dft-run gpaw/ --prerelax 7net-l3i5  # from the potential's minima: fewer steps by the code
      crystalgen dft-run data/dft --python "mpirun -n 4 gpaw python"  # over four processes
    """
    check_paths(*roots)
    for root in roots:
        if not next(root.rglob("input.json"), None):
            raise ValueError(f"{root}: no folders with an input.json; expected what `dft-inputs` or `dft-targets` wrote")
    if hours is not None:
        check_number("hours", hours, 0, whole=False)
    if prerelax:
        find_potential(prerelax)
        from crystalgen.dft.prerelax import prerelax as to_minima

        for folder, steps in to_minima(roots, prerelax):
            print(f"{folder}: {steps} steps by {prerelax}", flush=True)
    from crystalgen.dft import ase_run

    command = [*shlex.split(python), ase_run.__file__, *map(str, roots), *(["--hours", str(hours)] if hours else [])]
    try:
        return subprocess.run([*command, *(["--retry"] if retry else [])]).returncode
    except FileNotFoundError:
        raise ValueError(f"{python}: not found; expected the command of a Python with ASE and the code (--python)") from None
