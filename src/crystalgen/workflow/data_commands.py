"""The commands on where crystals come from: the embedded library, benchmark sets, AFLOW."""

from pathlib import Path

from crystalgen.utils import paths
from crystalgen.workflow.arguments import above_zero, positive


def add_data_commands(commands) -> None:
    """Add build-library, fetch and fetch-aflow to the subparsers of `crystalgen`."""
    library = commands.add_parser("build-library", help="build the embedded library; resumes where it stopped")
    library.add_argument("--workers", type=positive, default=2, help="processes")
    library.set_defaults(run=_build_library)

    fetch = commands.add_parser("fetch", help="fetch a benchmark set of data/manifest.yaml, as data/raw/NAME/crystals.parquet")
    fetch.add_argument("name", help="perov_5, carbon_24 or mp_20")
    fetch.add_argument("--mirror", type=Path, metavar="FOLDER", help="copy the files from here instead of the network")
    fetch.set_defaults(run=_fetch)

    aflow = commands.add_parser("fetch-aflow", help="fetch crystals from AFLOW, page by page; resumes where it stopped")
    aflow.add_argument("--species", nargs="+", default=[], metavar="SYMBOL", help="only crystals that hold all of these elements")
    aflow.add_argument("--nspecies", type=positive, help="only crystals of this many elements")
    aflow.add_argument("--pages", type=positive, help="stop after this many pages; a later run goes on")
    aflow.add_argument("--page-size", type=positive, default=1000, help="entries a page")
    aflow.add_argument("--rate", type=above_zero, default=1.0, help="requests a second, at most")
    aflow.add_argument("--folder", type=Path, default=paths.RAW / "aflow", help="where pages, crystals.parquet and record.json go")
    aflow.add_argument("--url", help="another address of the service")
    aflow.set_defaults(run=_fetch_aflow)


def _build_library(options) -> int:
    from crystalgen.crystals import write_crystals
    from crystalgen.library.build import build_library
    from crystalgen.library.recipe import load_recipe
    from crystalgen.utils.files import write_json

    recipe = load_recipe(paths.LIBRARY / "recipe.yaml")
    table, record = build_library(recipe, paths.INTERIM / "library", options.workers)
    write_crystals(table, paths.LIBRARY / "crystals.parquet")
    write_json(record, paths.LIBRARY / "record.json")
    return 0


def _fetch(options) -> int:
    from crystalgen.crystals import write_crystals
    from crystalgen.datasets.benchmarks import fetch_benchmark, load_benchmark

    folder = paths.RAW / options.name
    record = fetch_benchmark(options.name, folder, options.mirror)
    print(f"{record['title']}\n  source: {record['source']}\n  licence: {record['licence']}")
    for file, facts in record["files"].items():
        print(f"  {file}: " + ("checksum right" if facts["checked"] else "taken as it is, no checksum is known"))
    table = load_benchmark(folder)
    write_crystals(table, folder / "crystals.parquet")
    splits = ", ".join(f"{number} {split}" for split, number in table["split"].value_counts(sort=False).items())
    print(f"{len(table)} crystals ({splits}): {folder / 'crystals.parquet'}")
    return 0


def _fetch_aflow(options) -> int:
    from crystalgen.datasets import aflux
    from crystalgen.datasets.download import Client

    query = aflux.Query(tuple(options.species), options.nspecies, options.page_size)
    aflux.fetch_aflow(options.folder, query, options.url or aflux.URL, options.pages, Client(rate=options.rate))
    out = options.folder / "crystals.parquet"
    record = aflux.join_pages(options.folder, out)
    print(f"{record['kept']} crystals of {record['received']} entries on {record['pages']} pages: {out}")
    for reason, number in record["reasons"].items():
        print(f"  set aside: {number} x {reason}")
    if not record["complete"]:
        print("  more pages follow; the same command with more --pages, or without, goes on")
    return 0
