"""`crystalgen`, also `python -m crystalgen.pipeline`."""

import argparse
import json
import sys
from pathlib import Path

from crystalgen import paths
from crystalgen.pipeline.physics_commands import add_physics_commands, name_value


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
    train = commands.add_parser("train", help="make a study of one's own crystals and run it: train, sample, evaluate, report")
    train.add_argument("--data", type=Path, required=True, help="folder of CIF, POSCAR or extxyz; .csv with a cif column; .parquet")
    train.add_argument("--name", help="of the study; that of the data without it")
    train.add_argument("--steps", type=int, default=4000, help="of training, of each of two models")
    train.add_argument("--max-sites", type=int, default=20, help="leave out crystals of more atoms")
    train.add_argument("--only-write", action="store_true", help="write the study and stop")
    train.set_defaults(run=_train)

    generate = commands.add_parser("generate", help="crystals of a composition from a trained model: CIFs, a ranked table, a picture")
    generate.add_argument("composition", help="of a whole cell, e.g. Ta1W1B4")
    generate.add_argument("--space-group", type=int, metavar="NUMBER", help="to ask for; without it, as the training crystals have them")
    generate.add_argument("--energy", type=float, metavar="EV", help="formation energy to ask for, eV/atom; without it, the library's hull")
    generate.add_argument("-n", "--count", type=int, default=20, help="crystals to sample")
    generate.add_argument("--relax", action="store_true", help="relax them before they are ranked")
    generate.add_argument("--study", help="whose models are asked; without it, the first selected one that is trained")
    generate.add_argument("--model", metavar="ROW", help="a way to sample a model that is told a composition; the study's first without")
    generate.add_argument("--seed", type=int, default=0, help="of the sampling")
    generate.add_argument("--workers", type=int, default=2, help="processes")
    generate.add_argument("--out", type=Path, metavar="FOLDER", help="reports/generated/COMPOSITION without it")
    generate.set_defaults(run=_generate)

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

    add_physics_commands(commands)
    return parser


def _run(options) -> int:
    from crystalgen.pipeline.notebooks import run_notebook

    parameters = dict(name_value(text) for text in options.parameter)
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


def _train(options) -> int:
    import subprocess

    from crystalgen.pipeline.own_data import write_study
    from crystalgen.pipeline.selection import select_studies

    name = write_study(options.data, options.name, options.steps, options.max_sites)
    print(paths.STUDIES / f"{name}.yaml")
    if options.only_write:
        return 0
    select_studies([name], paths.ROOT / "params.yaml")
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=paths.ROOT).returncode
    return done or _show(options)


def _generate(options) -> int:
    from crystalgen.pipeline.asking import Request, generate_crystals, trained_study, write_answer

    study = options.study or trained_study()
    asked = Request(options.composition, options.count, options.space_group, options.energy, options.relax, options.seed, options.workers)
    table, row = generate_crystals(study, asked, options.model)
    file = write_answer(table, options.out or paths.REPORTS / "generated" / options.composition)
    print(f"{len(table)} of {options.count} by {row} of the study {study}: {int(table['valid'].sum())} valid, "
          f"{int((table['valid'] & table['novel']).sum())} of them not in training")  # fmt: skip
    print(table[["e_above_hull", "space_group", "novel", "copies", "status"]].head(8).to_string(float_format=lambda e: f"{e:.3f}"))
    print(file)
    return 0


def _evaluate(options) -> int:
    from crystalgen.pipeline.evaluation import evaluate_path

    print(f"{evaluate_path(options)}")
    return 0
