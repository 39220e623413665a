"""`crystalgen`, also `python -m crystalgen.pipeline`."""

import argparse
import json
import re
import sys

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

    readme = commands.add_parser("readme", help="rewrite the README's table of results and graph of stages")
    readme.add_argument("study")
    readme.set_defaults(run=_readme)

    library = commands.add_parser("build-library", help="build the embedded library; resumes where it stopped")
    library.add_argument("--workers", type=int, default=2)
    library.set_defaults(run=_build_library)
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
    from crystalgen.config import load_study

    for study in options.studies:
        load_study(study)
    parameters = paths.ROOT / "params.yaml"
    text = re.sub(r"^studies: .*$", f"studies: [{', '.join(options.studies)}]", parameters.read_text(), flags=re.M)
    parameters.write_text(text)
    return 0


def _show(options) -> int:
    import yaml

    from crystalgen.present.tables import headline_table

    reference = yaml.safe_load((paths.REFERENCE / "headline.yaml").read_text())
    for study in yaml.safe_load((paths.ROOT / "params.yaml").read_text())["studies"]:
        report = paths.REPORTS / study
        print(f"\n{study}: {report / 'index.html'}\n")
        print(headline_table(json.loads((report / "metrics.json").read_text()), reference).to_string(index=False))
    return 0


def _readme(options) -> int:
    from crystalgen.pipeline.readme import update_readme

    update_readme(options.study, paths.ROOT / "README.md")
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


def _name_value(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"parameter '{text}': expected NAME=VALUE")
    return name, value
