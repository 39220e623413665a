"""Commands on where crystals come from: benchmark sets, AFLOW, the embedded library."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from crystalgen.api.checks import check_number, check_paths
from crystalgen.cli.app import Workers, command, listed
from crystalgen.utils import paths


@command()
def fetch(
    name: Annotated[str, Argument(help="perov_5, carbon_24 or mp_20", show_default=False)],
    mirror: Annotated[Path | None, Option(metavar="FOLDER", help="copy the files from here instead of the internet")] = None,
):
    """Fetch a benchmark set, checked by its checksum; it becomes data/raw/NAME/crystals.parquet.

    Examples:
      crystalgen fetch perov_5
      crystalgen fetch mp_20 --mirror downloads/  # from files that you have
    """
    check_paths(mirror)
    from crystalgen.crystals import write_crystals
    from crystalgen.datasets.benchmarks import fetch_benchmark, load_benchmark

    folder = paths.RAW / name
    record = fetch_benchmark(name, folder, mirror)
    print(f"{record['title']}\n  source: {record['source']}\n  licence: {record['licence']}")
    for file, facts in record["files"].items():
        print(f"  {file}: " + ("checksum right" if facts["checked"] else "taken as it is, no checksum is known"))
    table = load_benchmark(folder)
    write_crystals(table, folder / "crystals.parquet")
    splits = ", ".join(f"{number} {split}" for split, number in table["split"].value_counts(sort=False).items())
    print(f"{len(table)} crystals ({splits}): {folder / 'crystals.parquet'}")


@command("fetch-aflow")
def fetch_aflow(
    species: Annotated[list[str] | None, Option(metavar="SYMBOLS", help="only crystals of all these elements, e.g. Ta,W,B")] = None,
    nspecies: Annotated[int | None, Option(min=1, help="only crystals of this many elements")] = None,
    pages: Annotated[int | None, Option(min=1, help="stop after this many pages; a later run goes on")] = None,
    page_size: Annotated[int, Option(min=1, help="entries a page")] = 1000,
    rate: Annotated[float, Option(help="requests a second, at most")] = 1.0,
    folder: Annotated[Path, Option(help="for pages and crystals.parquet", show_default="data/raw/aflow")] = paths.RAW / "aflow",
    url: Annotated[str | None, Option(help="another address of the service")] = None,
):
    """Fetch crystals from AFLOW, page by page; a repeated command goes on where it stopped.

    Examples:
      crystalgen fetch-aflow --species Ta,B --nspecies 2  # one system
      crystalgen fetch-aflow --pages 5  # to try; the same command without --pages goes on
    """
    check_number("rate", rate, 0, whole=False)
    from crystalgen.datasets import aflux
    from crystalgen.datasets.download import Client

    query = aflux.Query(tuple(listed(species or [])), nspecies, page_size)
    aflux.fetch_aflow(folder, query, url or aflux.URL, pages, Client(rate=rate))
    out = folder / "crystals.parquet"
    record = aflux.join_pages(folder, out)
    print(f"{record['kept']} crystals of {record['received']} entries on {record['pages']} pages: {out}")
    for reason, number in record["reasons"].items():
        print(f"  set aside: {number} x {reason}")
    if not record["complete"]:
        print("  more pages follow; the same command with more --pages, or without, goes on")


@command("distil")
def distil_prototypes(
    tables: Annotated[list[Path], Argument(help="tables, files or folders of crystals", show_default=False)],
    out: Annotated[Path, Option(help="the file to write, .safetensors")],
    without: Annotated[list[Path] | None, Option(metavar="TABLE", help="leave out the formulas of its crystals outside 'train'")] = None,
    min_members: Annotated[int, Option(min=1, help="crystals that share a prototype, at least")] = 3,
    workers: Workers = 2,
):
    """Distil prototypes from crystals: what crystals of one structure type share, in one small file that answers compositions.

    Examples:
      crystalgen distil data/raw/mp_20/crystals.parquet --without data/raw/mp_20/crystals.parquet --out prototypes.safetensors
    """
    check_paths(*tables, *(without or []))
    import logging

    from crystalgen.experiments.distilling import distil_files

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    found = distil_files(tables, without or [], out, min_members, workers)
    members = sum(prototype.members for prototype in found.prototypes)
    print(f"{len(found.prototypes)} prototypes of {members} crystals, {out.stat().st_size / 1e6:.1f} MB: {out}")


@command("build-library", checkout=True)
def build_library(workers: Workers = 2):
    """Build the embedded library; a repeated command goes on where it stopped.

    Examples:
      crystalgen build-library --workers 2  # about an hour on two cores
    """
    from crystalgen.crystals import write_crystals
    from crystalgen.library.build import build_library
    from crystalgen.library.recipe import load_recipe
    from crystalgen.utils.files import write_json

    table, record = build_library(load_recipe(paths.LIBRARY / "recipe.yaml"), paths.INTERIM / "library", workers)
    write_crystals(table, paths.LIBRARY / "crystals.parquet")
    write_json(record, paths.LIBRARY / "record.json")
