"""Commands on crystals: the functions of `crystalgen.api`, with what they return printed and written."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from crystalgen import api
from crystalgen.api.checks import MAX_FORMATION_ENERGY
from crystalgen.cli.app import CRYSTALS, Most, Workers, command
from crystalgen.potentials.registry import POTENTIALS
from crystalgen.utils import paths
from crystalgen.utils.safe_names import safe_name

Potential = Literal[tuple(POTENTIALS)]


@command(like=api.generate)
def generate(
    composition: Annotated[str, Argument(show_default=False)],
    n: Annotated[int, Option("-n", "--count", min=1)] = 20,
    space_group: Annotated[int | None, Option(min=1, max=230)] = None,
    energy: Annotated[float | None, Option(metavar="EV", min=-MAX_FORMATION_ENERGY, max=MAX_FORMATION_ENERGY)] = None,
    units: Annotated[int | None, Option(min=1)] = None,
    study: str | None = None,
    model: str | None = None,
    relax: Annotated[bool | None, Option("--relax/--no-relax", show_default=False)] = None,
    steps: Annotated[int, Option(min=1)] = 40,
    seed: Annotated[int, Option(min=0)] = 0,
    workers: Workers = 2,
    out: Annotated[Path | None, Option(metavar="FOLDER", help="replaced; without it, a new one in reports/generated")] = None,
    exact: Annotated[bool, Option("--exact/--no-exact")] = True,
    seed_structure: Annotated[Path | None, Option(metavar="FILE")] = None,
):
    """Say what crystals a compound may have and whether they are stable: CIFs, a ranked table, a page.

    Examples:
      crystalgen generate LiFePO4  # any formula of 88 elements
      crystalgen generate "Ca(OH)2" --units 1 -n 10  # in cells of one formula unit
      crystalgen generate Li-Fe-P-O  # the eight likeliest formulas of a chemical system
      crystalgen generate NaFePO4 --seed-structure LiFePO4.cif  # a crystal with its elements exchanged among the candidates
      crystalgen generate Ta1W1B4 --study library_energies --space-group 187 --energy -0.6 -n 50 --relax  # of a trained model
    """
    if study is None and model is None:
        _tell_steps("%(relativeCreated)7.0f ms  %(message)s")
    table = api.generate(composition, n, space_group, energy, units, study, model, relax, steps, seed, workers,
                         exact=exact, seed_structure=seed_structure)  # fmt: skip
    if "study" in table.attrs:
        from crystalgen.api.generation import write_generated
        from crystalgen.report.answer import summary

        page = write_generated(table, out)
        print(f"{table.attrs['model']} of the study {table.attrs['study']}: {summary(table)}")
        columns = ["e_above_hull", "asked_space_group", "space_group", "strict_space_group", "novel", "copies", "status"]
        print(table[columns].head(8).to_string(float_format=lambda e: f"{e:.3f}"))
    else:
        from crystalgen.api.compound import write_compound_answer
        from crystalgen.report.compound import FOOTER, readable, summary

        page = write_compound_answer(table, out)
        print(readable(table).drop(columns=["Relaxation", "Shortest bond, Å"]).head(8).to_string(index=False))
        print("\n".join([summary(table, table.attrs), *table.attrs["notes"], FOOTER]))
    print(page)


def _tell_steps(format: str = "%(message)s") -> None:
    """Write what the package logs to standard error."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(format))
    logging.getLogger("crystalgen").setLevel(logging.INFO)
    logging.getLogger("crystalgen").addHandler(handler)


@command(like=api.evaluate)
def evaluate(
    path: Annotated[Path, Argument(help=CRYSTALS, show_default=False)],
    reference: Annotated[Path | None, Option(metavar="PATH")] = None,
    split: str | None = None,
    training: Annotated[Path | None, Option(metavar="PATH")] = None,
    cutoffs: str = "mp_20",
    energies: Annotated[bool, Option("--energies")] = False,
    by_order: Annotated[bool, Option("--by-order")] = False,
    disordered: Annotated[bool, Option("--disordered")] = False,
    workers: Workers = 2,
    dask: Annotated[str | None, Option(metavar="ADDRESS")] = None,
    limit: float = 20.0,
    out: Annotated[Path | None, Option(metavar="FOLDER", help="for page and tables; without it, reports/evaluate/NAME")] = None,
):
    """Compute every metric of any generator's crystals; as tables and one page.

    Examples:
      crystalgen evaluate samples.zip --reference data/library/crystals.parquet --cutoffs none  # without coverage
      crystalgen evaluate eval_gen.pt --reference data/raw/mp_20/crystals.parquet --split test  # tensors of CDVAE
      crystalgen evaluate eval_diff.pt  # beside the targets that it holds: match rate, RMSE, best of several
      crystalgen evaluate cifs/ --reference my.csv --energies  # with S.U.N. by the potential's hull
    """
    _tell_steps()  # which may take minutes each
    out = out or paths.REPORTS / "evaluate" / safe_name(path.absolute().name)
    print(api.evaluate(path, reference, training, split, energies, cutoffs, by_order, disordered, workers, dask, limit, out).page)


@command(like=api.export)
def export(
    path: Annotated[Path, Argument(help=CRYSTALS, show_default=False)],
    out: Annotated[Path, Option(metavar="FILE", show_default=False)],
    format: Annotated[str | None, Option("--format", metavar="NAME")] = None,
):
    """Write crystals as a benchmark's or a generator's own file.

    Examples:
      crystalgen export samples.parquet --out samples.csv  # for LeMat-GenBench
      crystalgen export cifs/ --out samples.extxyz --format metre
    """
    print(api.export(path, out, format))


@command(like=api.relax)
def relax(
    path: Annotated[Path, Argument(help=CRYSTALS, show_default=False)],
    potential: Annotated[Potential, Option(metavar="NAME")] = "chgnet",
    energy: Annotated[Potential, Option(metavar="NAME")] = "7net-l3i5",
    fmax: float = 0.05,
    steps: Annotated[int, Option(min=1)] = 200,
    limit: float = 600.0,
    reference: Annotated[Path | None, Option(metavar="PATH")] = None,
    most: Most = None,
    workers: Workers = 2,
    out: Annotated[Path | None, Option(metavar="FOLDER", help="for the tables; without it, reports/relax/NAME")] = None,
):
    """Relax crystals by a machine-learned potential, above a hull; a repeated command goes on where it stopped.

    Examples:
      crystalgen relax cifs/  # CHGNet's geometry, 7net's energy, above the embedded library's hull
      crystalgen relax samples.extxyz --potential mace-mp-0 --energy mace-mp-0 --reference mine.parquet
    """
    out = out or paths.REPORTS / "relax" / safe_name(path.absolute().name)
    table = api.relax(path, potential, energy, fmax, steps, limit, reference, most, workers, out)
    for status, number in table["relaxation"].value_counts().items():
        print(f"{number:6d} {status}")
    print(out / "relaxation.csv")


@command(like=api.ingest)
def ingest(
    folder: Annotated[Path, Argument(show_default=False)],
    out: Annotated[Path, Option(metavar="TABLE", help=".parquet or .csv", show_default=False)],
    workers: Workers = 2,
    limit: float = 120.0,
):
    """Read outputs of VASP, GPAW and Quantum ESPRESSO; one table of all below a folder, a further run reads only what is new.

    Examples:
      crystalgen ingest runs/ --out runs.parquet
      crystalgen ingest data/dft --out dft.csv  # the calculations of this repository
    """
    for status, number in api.ingest(folder, workers, limit, out)["status"].value_counts().items():
        print(f"{number:6d} {status}")
    print(out)
