"""Commands on crystals: the functions of `crystalgen.api`, with what they return printed and written."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from crystalgen import api
from crystalgen.api.checks import MAX_FORMATION_ENERGY
from crystalgen.cli.app import CRYSTALS, Most, Workers, command
from crystalgen.potentials.registry import POTENTIALS
from crystalgen.utils import paths

Potential = Literal[tuple(POTENTIALS)]


@command()
def generate(
    composition: Annotated[str, Argument(help="of a whole cell, e.g. Ta1W1B4", show_default=False)],
    n: Annotated[int, Option("-n", "--count", min=1, help="number of crystals to sample")] = 20,
    space_group: Annotated[int | None, Option(min=1, max=230, help="to condition on; without it, drawn as training has them")] = None,
    energy: Annotated[
        float | None,
        Option(
            metavar="EV",
            min=-MAX_FORMATION_ENERGY,
            max=MAX_FORMATION_ENERGY,
            help="formation energy to condition on, eV/atom; without it, that of the library's hull",
        ),
    ] = None,
    study: Annotated[str | None, Option(help="whose models are sampled; without it, the first trained one that knows the elements")] = None,
    model: Annotated[str | None, Option(help="way to sample a model that takes a composition; the study's first without it")] = None,
    relax: Annotated[bool, Option("--relax", help="relax valid crystals before they are ranked")] = False,
    seed: Annotated[int, Option(min=0, help="random seed for sampling")] = 0,
    workers: Workers = 2,
    out: Annotated[Path | None, Option(metavar="FOLDER", help="replaced; without it, a new one in reports/generated")] = None,
):
    """Sample crystals of a composition from a trained model: CIFs, a ranked table, a picture.

    Examples:
      crystalgen generate Ta1W1B4
          twenty crystals; a space group is drawn for each
      crystalgen generate Ta1W1B4 --space-group 187 --energy -0.6 -n 50 --relax
          fifty as requested, relaxed, ranked by energy above the hull
      crystalgen generate Ti1B2 --study library --model matrix_generation_ddim
          of another study and model
    """
    table = api.generate(composition, n, space_group, energy, study, model, relax, seed, workers)
    from crystalgen.api.generation import write_generated
    from crystalgen.report.answer import summary

    page = write_generated(table, out)
    print(f"{table.attrs['model']} of the study {table.attrs['study']}: {summary(table)}")
    print(table[["e_above_hull", "space_group", "novel", "copies", "status"]].head(8).to_string(float_format=lambda e: f"{e:.3f}"))
    print(page)


@command()
def evaluate(
    path: Annotated[Path, Argument(help=CRYSTALS, show_default=False)],
    reference: Annotated[Path, Option(metavar="PATH", help="crystals to compare with, in any of these formats", show_default=False)],
    split: Annotated[str | None, Option(help="only this side of the reference, e.g. val")] = None,
    training: Annotated[Path | None, Option(metavar="PATH", help="crystals that are not new; without it, all of the reference")] = None,
    cutoffs: Annotated[str, Option(help="coverage as on perov_5, carbon_24 or mp_20; none leaves it out")] = "mp_20",
    energies: Annotated[bool, Option("--energies", help="energies by the library's potential, and S.U.N. by its hull")] = False,
    workers: Workers = 2,
    dask: Annotated[str | None, Option(metavar="ADDRESS", help="Dask scheduler whose workers take the place of processes")] = None,
    limit: Annotated[float, Option(help="s for one crystal or pair")] = 20.0,
    out: Annotated[Path | None, Option(metavar="FOLDER", help="for page and tables; without it, reports/evaluate/NAME")] = None,
):
    """Compute every metric of any generator's crystals; as tables and one page.

    Examples:
      crystalgen evaluate samples.zip --reference data/library/crystals.parquet --cutoffs none
          without coverage
      crystalgen evaluate eval_gen.pt --reference data/raw/mp_20/crystals.parquet --split test
          CDVAE's or DiffCSP's tensors, as in the papers
      crystalgen evaluate cifs/ --reference my.csv --energies
          with S.U.N. by the potential's hull
    """
    import logging

    logging.getLogger("crystalgen").setLevel(logging.INFO)  # the steps, which may take minutes each
    logging.getLogger("crystalgen").addHandler(logging.StreamHandler())
    out = out or paths.REPORTS / "evaluate" / path.name
    print(api.evaluate(path, reference, training, split, energies, cutoffs, workers, dask, limit, out).page)


@command()
def relax(
    path: Annotated[Path, Argument(help=CRYSTALS, show_default=False)],
    potential: Annotated[Potential, Option(metavar="NAME", help=f"potential of the forces: {', '.join(POTENTIALS)}")] = "chgnet",
    energy: Annotated[Potential, Option(metavar="NAME", help="potential of the energy that is kept; one of the same names")] = "7net-l3i5",
    fmax: Annotated[float, Option(help="largest force at which a relaxation ends, eV/Å")] = 0.05,
    steps: Annotated[int, Option(min=1, help="maximum relaxation steps")] = 200,
    limit: Annotated[float, Option(help="s for one crystal")] = 600.0,
    reference: Annotated[
        Path | None, Option(metavar="PATH", help="crystals with energies of the same source, for the hull; the library without it")
    ] = None,
    most: Most = None,
    workers: Workers = 2,
    out: Annotated[Path | None, Option(metavar="FOLDER", help="for the tables; without it, reports/relax/NAME")] = None,
):
    """Relax crystals by a machine-learned potential, above a hull; a repeated command goes on where it stopped.

    Examples:
      crystalgen relax cifs/
          CHGNet's geometry, 7net's energy, above the embedded library's hull
      crystalgen relax samples.extxyz --potential mace-mp-0 --energy mace-mp-0 --reference mine.parquet
          another potential, its own hull
    """
    out = out or paths.REPORTS / "relax" / path.name
    table = api.relax(path, potential, energy, fmax, steps, limit, reference, most, workers, out)
    for status, number in table["relaxation"].value_counts().items():
        print(f"{number:6d} {status}")
    print(out / "relaxation.csv")


@command()
def ingest(
    folder: Annotated[Path, Argument(help="calculations anywhere below it", show_default=False)],
    out: Annotated[Path, Option(metavar="TABLE", help=".parquet or .csv", show_default=False)],
    workers: Workers = 2,
    limit: Annotated[float, Option(help="s for one calculation")] = 120.0,
):
    """Read outputs of VASP, GPAW and Quantum ESPRESSO; one table of all below a folder, a further run reads only what is new.

    Examples:
      crystalgen ingest runs/ --out runs.parquet
      crystalgen ingest data/dft --out dft.csv
          the calculations of this repository
    """
    for status, number in api.ingest(folder, workers, limit, out)["status"].value_counts().items():
        print(f"{number:6d} {status}")
    print(out)
