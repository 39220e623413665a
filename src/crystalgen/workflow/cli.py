"""`crystalgen`, also `python -m crystalgen`."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from crystalgen.utils import paths
from crystalgen.workflow.arguments import above_zero, finite, positive, whole
from crystalgen.workflow.data_commands import add_data_commands
from crystalgen.workflow.manual import OVERVIEW, add_manual
from crystalgen.workflow.physics_commands import add_physics_commands, name_value


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; returns the exit status. An expected error is one line, without a traceback."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        print(f"crystalgen: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command, with its manual."""
    parser = argparse.ArgumentParser(
        prog="crystalgen",
        description="A reproducible compendium of crystal generation.",
        epilog=OVERVIEW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute a notebook for a study, as the pipeline does")
    run.add_argument("notebook", help="a notebook of notebooks/, with or without its number: train")
    run.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="e.g. study=demo; values are YAML")
    run.set_defaults(run=_run)

    clean = commands.add_parser("clean-notebooks", help="write copies without outputs, which the stages depend on")
    clean.set_defaults(run=_clean)

    select = commands.add_parser("select", help="choose the studies that `dvc repro` runs")
    select.add_argument("studies", nargs="+", metavar="STUDY", help="folders in studies/, whose stages `dvc repro` then runs")
    select.set_defaults(run=_select)

    compile_ = commands.add_parser("compile", help="write the dvc.yaml of studies from their study.yaml, after one was changed")
    compile_.add_argument("studies", nargs="*", metavar="STUDY", help="folders in studies/, or ablations; all without a name")
    compile_.set_defaults(run=_compile)

    digests = commands.add_parser("digests", help="for the pipeline: digests of the code that each notebook reaches")
    digests.set_defaults(run=_digests)

    settings = commands.add_parser("settings", help="for the pipeline: a study's settings, defaults filled in, by stages")
    settings.add_argument("study", help="a folder in studies/, or ablations")
    settings.set_defaults(run=_settings)

    ship = commands.add_parser("ship", help="for maintainers: put a study's asked weights and finished relaxations into data/shipped")
    ship.add_argument("study", help="a folder in studies/")
    ship.set_defaults(run=_ship)

    shipped = commands.add_parser("use-shipped", help="trained weights that come with the repository, to ask without training")
    shipped.add_argument("study", help="a folder in studies/, of those in data/shipped")
    shipped.set_defaults(run=_use_shipped)

    show = commands.add_parser("show", help="print where studies' reports are, and their headline tables; and list all reports")
    show.add_argument("studies", nargs="*", metavar="STUDY", help="folders in studies/; the selected ones without a name")
    show.set_defaults(run=_show)

    report = commands.add_parser("report", help="make studies' pages of their executed notebooks, and reports/index.html")
    report.add_argument("studies", nargs="*", metavar="STUDY", help="names; without any, all whose executed notebooks are here")
    report.set_defaults(run=_report)

    readme = commands.add_parser("readme", help="rewrite the README's and docs' tables of results and graph of stages")
    readme.set_defaults(run=_readme)

    train = commands.add_parser("train", help="make a study of one's own crystals and run it: train, sample, evaluate, report")
    train.add_argument("--data", type=Path, required=True, help="folder of CIF, POSCAR or extxyz; .csv with a cif column; .parquet")
    train.add_argument("--name", help="of the study; without it, that of the folder or file")
    train.add_argument("--steps", type=positive, default=4000, help="of training, of each of two models")
    train.add_argument("--max-sites", type=positive, default=20, help="leave out crystals of more atoms")
    train.add_argument("--skip-broken", action="store_true", help="leave out what cannot be read, and list it, in place of stopping")
    train.add_argument("--only-write", action="store_true", help="write the study and stop")
    train.set_defaults(run=_train)

    generate = commands.add_parser("generate", help="crystals of a composition from a trained model: CIFs, a ranked table, a picture")
    generate.add_argument("composition", help="of a whole cell, e.g. Ta1W1B4")
    generate.add_argument("--space-group", type=positive, metavar="NUMBER", help="to ask for; without it, drawn as training has them")
    generate.add_argument(
        "--energy", type=finite, metavar="EV", help="formation energy to ask for, eV/atom; without it, that of the library's hull"
    )
    generate.add_argument("-n", "--count", type=positive, default=20, help="crystals to sample")
    generate.add_argument("--relax", action="store_true", help="relax them before they are ranked")
    generate.add_argument("--study", help="whose models are asked; without it, the first trained one that knows the elements")
    generate.add_argument("--model", metavar="ROW", help="a way to sample a model that is told a composition; the study's first without")
    generate.add_argument("--seed", type=whole, default=0, help="of the sampling")
    generate.add_argument("--workers", type=positive, default=2, help="processes")
    generate.add_argument("--out", type=Path, metavar="FOLDER", help="replaced by the answer; without it, a new one in reports/generated")
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
    evaluate.add_argument("--cutoffs", default="mp_20", help="coverage as on perov_5, carbon_24 or mp_20; none leaves it out")
    evaluate.add_argument(
        "--energies", action="store_true", help="by the library's machine-learned potential: their distance, and S.U.N. by its hull"
    )
    evaluate.add_argument("--workers", type=positive, default=2, help="processes")
    evaluate.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, whose workers take the place of processes")
    evaluate.add_argument("--limit", type=above_zero, default=20.0, help="seconds that one crystal or pair may take")
    evaluate.add_argument("--out", type=Path, metavar="FOLDER", help="where the page and tables go; without it, reports/evaluate/NAME")
    evaluate.set_defaults(run=_evaluate)

    add_data_commands(commands)
    add_physics_commands(commands)
    add_manual(commands)
    return parser


def _run(options) -> int:
    from crystalgen.workflow.notebooks import run_notebook

    parameters = dict(name_value(text) for text in options.parameter)
    return run_notebook(options.notebook, parameters)


def _clean(options) -> int:
    from crystalgen.workflow.notebooks import clean_notebooks

    clean_notebooks()
    return 0


def _select(options) -> int:
    from crystalgen.workflow.selection import select_studies

    select_studies(options.studies)
    return 0


def _compile(options) -> int:
    from crystalgen.workflow.compile import compile_studies
    from crystalgen.workflow.stages import ABLATIONS

    for file in compile_studies(options.studies or [*paths.study_names(), ABLATIONS]):
        print(file)
    return 0


def _digests(options) -> int:
    from crystalgen.workflow.digests import write_digests

    write_digests()
    return 0


def _settings(options) -> int:
    from crystalgen.workflow.compile import write_settings

    write_settings(options.study)
    return 0


def _ship(options) -> int:
    from crystalgen.workflow.shipping import ship

    print("\n".join(ship(options.study)))
    return 0


def _use_shipped(options) -> int:
    from crystalgen.workflow.shipping import use_shipped

    print("\n".join(use_shipped(options.study)))
    return 0


def _show(options) -> int:
    from crystalgen.config import load_study
    from crystalgen.report.labels import row_labels
    from crystalgen.report.pages import write_index
    from crystalgen.report.paper_tables import headline_reference
    from crystalgen.report.tables import headline_table
    from crystalgen.workflow.selection import selected_studies

    for study in options.studies or selected_studies():
        report = paths.REPORTS / study
        print(f"\n{study}: {report / 'index.html'}\n")
        config, metrics = load_study(study), json.loads((report / "metrics.json").read_text())
        headline = headline_table(metrics, row_labels(config), headline_reference(config))
        print(headline.drop(columns=["Seeds"]).to_string(index=False))
    print(f"\nall reports: {write_index()}")
    return 0


def _report(options) -> int:
    from crystalgen.report.pages import write_index, write_study_pages

    for study in options.studies or sorted({file.parents[1].name for file in paths.REPORTS.glob("*/notebooks/*.ipynb")}):
        print(write_study_pages(study))
    print(write_index())
    return 0


def _readme(options) -> int:
    from crystalgen.workflow.readme import update_texts

    print("\n".join(update_texts([paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))])))
    return 0


def _train(options) -> int:
    import subprocess

    from crystalgen.workflow.own_data import write_study
    from crystalgen.workflow.selection import select_studies

    name = write_study(options.data, options.name, options.steps, options.max_sites, options.skip_broken)
    print(paths.study_file(name))
    if options.only_write:
        return 0
    select_studies([name])
    print(f"selected in params.yaml in place of what was; `crystalgen select demo {name}` would have `dvc repro` keep both")
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # stages call `python`: this one
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=paths.ROOT, env={**os.environ, "PATH": here}).returncode
    return done or main(["show", name])


def _generate(options) -> int:
    from crystalgen.experiments.generate_crystals import Request, generate_crystals, trained_study
    from crystalgen.report.answer import answer_folder, summary, write_answer

    study = options.study or trained_study(options.composition)
    asked = Request(options.composition, options.count, options.space_group, options.energy, options.relax, options.seed, options.workers)
    table, row = generate_crystals(study, asked, options.model)
    facts = {"study": study, "model": row, **asdict(asked)}
    page = write_answer(table, options.out or answer_folder(paths.REPORTS / "generated", facts), facts)
    print(f"{row} of the study {study}: {summary(table)}")
    print(table[["e_above_hull", "space_group", "novel", "copies", "status"]].head(8).to_string(float_format=lambda e: f"{e:.3f}"))
    print(page)
    return 0


def _evaluate(options) -> int:
    import logging

    from crystalgen.workflow.evaluation import evaluate_path

    logging.getLogger("crystalgen").setLevel(logging.INFO)  # the steps, which may take minutes each
    logging.getLogger("crystalgen").addHandler(logging.StreamHandler())
    print(f"{evaluate_path(options)}")
    return 0
