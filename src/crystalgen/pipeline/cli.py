"""`crystalgen`, also `python -m crystalgen.pipeline`."""

import argparse
import json
import sys
from pathlib import Path

from crystalgen import paths


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; returns the exit status. An expected error is one line, without a traceback."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"crystalgen: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="crystalgen", description="A reproducible compendium of crystal generation.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute a notebook for a study, as the pipeline does")
    run.add_argument("notebook", help="name without .ipynb, e.g. 04-train-matrix")
    run.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="e.g. study=demo")
    run.set_defaults(run=_run)

    clean = commands.add_parser("clean-notebooks", help="write copies without outputs, which the stages depend on")
    clean.set_defaults(run=_clean)

    select = commands.add_parser("select", help="choose the studies that `dvc repro` runs")
    select.add_argument("studies", nargs="+")
    select.set_defaults(run=_select)

    show = commands.add_parser("show", help="print where each selected study's report is, and its headline table")
    show.set_defaults(run=_show)

    readme = commands.add_parser("readme", help="rewrite the README's tables of results and graph of stages")
    readme.set_defaults(run=_readme)

    library = commands.add_parser("build-library", help="build the embedded library; resumes where it stopped")
    library.add_argument("--workers", type=int, default=2)
    library.set_defaults(run=_build_library)

    fetch = commands.add_parser("fetch", help="fetch a benchmark set of data/manifest.yaml, as data/raw/NAME/crystals.parquet")
    fetch.add_argument("name", help="perov_5, carbon_24 or mp_20")
    fetch.add_argument("--mirror", type=Path, metavar="FOLDER", help="copy the files from here instead of the network")
    fetch.set_defaults(run=_fetch)

    aflow = commands.add_parser("fetch-aflow", help="fetch crystals from AFLOW, page by page; resumes where it stopped")
    aflow.add_argument("--species", nargs="+", default=[], metavar="SYMBOL", help="only crystals that hold all of these elements")
    aflow.add_argument("--nspecies", type=int, help="only crystals of this many elements")
    aflow.add_argument("--pages", type=int, help="stop after this many pages; a later run goes on")
    aflow.add_argument("--page-size", type=int, default=1000)
    aflow.add_argument("--rate", type=float, default=1.0, help="requests a second, at most")
    aflow.add_argument("--folder", type=Path, default=paths.RAW / "aflow", help="where pages, crystals.parquet and record.json go")
    aflow.add_argument("--url", help="another address of the service")
    aflow.set_defaults(run=_fetch_aflow)
    evaluate = commands.add_parser("evaluate", help="every metric of any generator's crystals, as tables and one page")
    evaluate.add_argument(
        "path", type=Path, help="folder, .zip or .tar of CIFs, .extxyz, .csv with a cif column, CDVAE's or DiffCSP's .pt, .parquet"
    )
    evaluate.add_argument(
        "--reference", type=Path, required=True, metavar="TABLE", help="crystals to compare with; any of the same formats"
    )
    evaluate.add_argument("--split", help="only this side of the reference, e.g. val")
    evaluate.add_argument(
        "--training", type=Path, metavar="TABLE", help="crystals that are not new; without it, all of the reference's table"
    )
    evaluate.add_argument("--cutoffs", default="mp_20", help="coverage as on perov_5, carbon_24 or mp_20 (default); none leaves it out")
    evaluate.add_argument(
        "--energies", action="store_true", help="by the library's machine-learned potential: their distance, and S.U.N. by its hull"
    )
    evaluate.add_argument("--workers", type=int, default=2, help="processes")
    evaluate.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, whose workers take the place of processes")
    evaluate.add_argument("--limit", type=float, default=20.0, help="seconds that one crystal or pair may take")
    evaluate.add_argument("--out", type=Path, help="where the page and tables go; reports/evaluate/NAME without it")
    evaluate.set_defaults(run=_evaluate)

    relax = commands.add_parser("relax", help="relax crystals by a machine-learned potential, above a hull; resumes where it stopped")
    relax.add_argument("path", type=Path, help="crystals; any format that `evaluate` reads")
    relax.add_argument("--potential", default="chgnet", help="of forces: chgnet (default), 7net-l3i5, 7net-0, mace-mp-0, orb-v3, mattersim")
    relax.add_argument("--energy", default="7net-l3i5", help="of the energy that is kept; the same names")
    relax.add_argument("--fmax", type=float, default=0.05, help="eV/Å, where a relaxation ends")
    relax.add_argument("--steps", type=int, default=200, help="at most")
    relax.add_argument("--limit", type=float, default=600.0, help="seconds that one crystal may take")
    relax.add_argument("--reference", type=Path, metavar="TABLE", help="crystals with energies of the same source whose hull is meant")
    relax.add_argument("--most", type=int, help="only so many")
    relax.add_argument("--workers", type=int, default=2, help="processes")
    relax.add_argument("--out", type=Path, help="where the tables go; reports/relax/NAME without it")
    relax.set_defaults(run=_relax)

    ingest = commands.add_parser(
        "ingest", help="calculations of VASP, GPAW and Quantum ESPRESSO below a folder as one table; a further run reads only what is new"
    )
    ingest.add_argument("folder", type=Path)
    ingest.add_argument("--out", type=Path, required=True, metavar="TABLE", help=".parquet or .csv")
    ingest.add_argument("--workers", type=int, default=2, help="processes")
    ingest.add_argument("--limit", type=float, default=120.0, help="seconds that one calculation may take to read")
    ingest.set_defaults(run=_ingest)

    inputs = commands.add_parser("dft-inputs", help="folders ready for VASP with a paper's settings; potentials are named, not shipped")
    inputs.add_argument("path", type=Path, help="crystals, best first; any format that `evaluate` reads")
    inputs.add_argument("--preset", choices=("A", "B"), default="A", help="settings of paper A (default) or B")
    inputs.add_argument("--most", type=int, help="only so many")
    inputs.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty")
    inputs.set_defaults(run=_dft_inputs)
    return parser


def _run(options) -> int:
    from crystalgen.pipeline.notebooks import run_notebook

    parameters = dict(_name_value(text) for text in options.parameter)
    return run_notebook(options.notebook, parameters)


def _clean(options) -> int:
    from crystalgen.pipeline.notebooks import clean_notebooks

    clean_notebooks(paths.NOTEBOOKS, paths.CLEAN_NOTEBOOKS)
    return 0


def _select(options) -> int:
    from crystalgen.pipeline.selection import select_studies

    select_studies(options.studies, paths.ROOT / "params.yaml")
    return 0


def _show(options) -> int:
    import yaml

    from crystalgen.config import load_study
    from crystalgen.present.references import headline_reference
    from crystalgen.present.tables import headline_table

    for study in yaml.safe_load((paths.ROOT / "params.yaml").read_text())["studies"]:
        report = paths.REPORTS / study
        print(f"\n{study}: {report / 'index.html'}\n")
        reference = headline_reference(load_study(study))
        print(headline_table(json.loads((report / "metrics.json").read_text()), reference).to_string(index=False))
    return 0


def _readme(options) -> int:
    from crystalgen.pipeline.readme import update_readme

    print(f"README.md: results of {', '.join(update_readme(paths.ROOT / 'README.md'))}")
    return 0


def _build_library(options) -> int:
    from crystalgen.crystals import write_crystals
    from crystalgen.data.library.build import build_library
    from crystalgen.data.library.recipe import load_recipe
    from crystalgen.files import write_json

    recipe = load_recipe(paths.LIBRARY / "recipe.yaml")
    table, record = build_library(recipe, paths.INTERIM / "library", options.workers)
    write_crystals(table, paths.LIBRARY / "crystals.parquet")
    write_json(record, paths.LIBRARY / "record.json")
    return 0


def _fetch(options) -> int:
    from crystalgen.crystals import write_crystals
    from crystalgen.data.benchmarks import fetch_benchmark, load_benchmark

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
    from crystalgen.data import aflux
    from crystalgen.data.download import Client

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


def _evaluate(options) -> int:
    from crystalgen.pipeline.evaluation import evaluate_path

    print(f"{evaluate_path(options)}")
    return 0


def _relax(options) -> int:
    from crystalgen.pipeline.relaxation import relax_path

    table, folder = relax_path(options)
    for status, number in table["relaxation"].value_counts().items():
        print(f"{number:6d} {status}")
    print(folder / "relaxation.csv")
    return 0


def _ingest(options) -> int:
    from crystalgen.physics.dft.ingest import ingest

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


def _dft_inputs(options) -> int:
    from crystalgen.data.generated import read_generated
    from crystalgen.physics.dft.inputs import write_inputs

    crystals, broken = read_generated(options.path)
    for row in broken.itertuples():
        print(f"left out: {row.id}: {row.reason}")
    chosen = crystals.head(options.most) if options.most else crystals
    manifest = write_inputs(chosen, options.out, options.preset)
    print(f"{len(chosen)} crystal{'s' if len(chosen) != 1 else ''}: {manifest}")
    return 0


def _name_value(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"parameter '{text}': expected NAME=VALUE")
    return name, value
