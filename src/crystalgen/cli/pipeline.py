"""Commands of the pipeline: what studies are, run, ship and report."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from crystalgen.api.checks import check_paths
from crystalgen.cli.app import Study, command, name_value, studies_argument
from crystalgen.utils import paths


@command(checkout=True)
def train(
    data: Annotated[Path, Option(help="folder of CIF, POSCAR or extxyz; .csv with a cif column; .parquet", show_default=False)],
    name: Annotated[str | None, Option(help="of the study; without it, that of the folder or file")] = None,
    steps: Annotated[int, Option(min=1, help="training steps of each of two models")] = 4000,
    max_sites: Annotated[int, Option(min=1, help="leave out crystals of more atoms")] = 20,
    skip_broken: Annotated[bool, Option("--skip-broken", help="leave out what cannot be read, and list it, in place of stopping")] = False,
    only_write: Annotated[bool, Option("--only-write", help="write the study and stop")] = False,
):
    """Make a study of one's own crystals and run it: train, sample, evaluate, report.

    Examples:
      crystalgen train --data my_cifs/  # two models, about a quarter of an hour each on two cores
      crystalgen train --data my_cifs/ --steps 200  # to see that it runs
      crystalgen train --data table.csv --name mine --only-write  # studies/mine/study.yaml, to be edited first
    """
    check_paths(data)
    from crystalgen.workflow.own_data import write_study
    from crystalgen.workflow.selection import select_studies

    name = write_study(data, name, steps, max_sites, skip_broken)
    print(paths.study_file(name))
    if only_write:
        return 0
    select_studies([name])
    print(f"selected in params.yaml in place of what was; `crystalgen select demo {name}` would have `dvc repro` keep both")
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # stages call `python`: this one
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=paths.ROOT, env={**os.environ, "PATH": here}).returncode
    return done or show([name])


@command(checkout=True)
def select(
    studies: Annotated[list[str], studies_argument("names of folders in studies/", show_default=False)],
):
    """Choose the studies that `dvc repro` runs.

    Examples:
      crystalgen select demo library  # `dvc repro` then runs both
    """
    from crystalgen.workflow.selection import select_studies

    select_studies(studies)


@command(checkout=True)
def run(
    notebook: Annotated[str, Argument(help="key of a notebook, such as train", show_default=False)],
    parameter: Annotated[list[str] | None, Option("-p", "--parameter", metavar="NAME=VALUE", help="e.g. study=demo; repeatable")] = None,
):
    """Execute a notebook for a study, as the pipeline does.

    Examples:
      crystalgen run train -p study=demo -p model=unimat  # one notebook, executed
      crystalgen run train -p study=demo -p model=unimat -p overrides='{training: {steps: 200}}'  # other settings; the results lie apart
    """
    from crystalgen.workflow.notebooks import run_notebook

    return run_notebook(notebook, dict(name_value(text) for text in parameter or []))


@command("clean-notebooks", checkout=True)
def clean_notebooks():
    """Write copies of the notebooks without outputs; the stages depend on those.

    Examples:
      crystalgen clean-notebooks  # after a notebook was edited, before `dvc repro` looks
    """
    from crystalgen.workflow.notebooks import clean_notebooks

    clean_notebooks()


@command("compile", checkout=True)
def compile_(studies: Annotated[list[str] | None, studies_argument("names; without any, every study and the ablations")] = None):
    """Write the dvc.yaml of studies from their study.yaml, after one was changed.

    Examples:
      crystalgen compile demo
    """
    from crystalgen.workflow.compile import compile_studies
    from crystalgen.workflow.stages import ABLATIONS

    for file in compile_studies(studies or [*paths.study_names(), ABLATIONS]):
        print(file)


@command(checkout=True)
def digests():
    """Write digests of the code that each notebook reaches; for the pipeline.

    Examples:
      crystalgen digests
    """
    from crystalgen.workflow.digests import write_digests

    write_digests()


@command(checkout=True)
def settings(study: Study):
    """Write a study's settings by stages, defaults filled in; for the pipeline.

    Examples:
      crystalgen settings demo
    """
    from crystalgen.workflow.compile import write_settings

    write_settings(study)


@command(checkout=True)
def show(studies: Annotated[list[str] | None, studies_argument("names; without any, the selected ones")] = None):
    """Print studies' headline tables and pages.

    Examples:
      crystalgen show
      crystalgen show library
    """
    import json

    from crystalgen.config import load_study, read_selection
    from crystalgen.report.labels import row_labels
    from crystalgen.report.pages import write_index
    from crystalgen.report.paper_tables import headline_reference
    from crystalgen.report.tables import headline_table

    for study in studies or read_selection():
        folder = paths.REPORTS / study
        config, metrics = load_study(study), json.loads((folder / "metrics.json").read_text())
        headline = headline_table(metrics, row_labels(config), headline_reference(config))
        print(f"\n{study}: {folder / 'index.html'}\n")
        print(headline.drop(columns=["Seeds"]).to_string(index=False))
    print(f"\nall reports: {write_index()}")


@command(checkout=True)
def report(studies: Annotated[list[str] | None, studies_argument("names; without any, all whose notebooks are here")] = None):
    """Make pages of studies' executed notebooks; and reports/index.html.

    Examples:
      crystalgen report  # every page
      crystalgen report library  # one study's
    """
    from crystalgen.report.pages import write_index, write_study_pages

    for study in studies or sorted({file.parents[1].name for file in paths.REPORTS.glob("*/notebooks/*.ipynb")}):
        print(write_study_pages(study))
    print(write_index())


@command(checkout=True)
def readme():
    """Rewrite the results and the graph of stages in the docs; those of README.md and docs/, between markers.

    Examples:
      crystalgen readme  # after a study of theirs was run
    """
    from crystalgen.workflow.readme import update_texts

    print("\n".join(update_texts([paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))])))


@command(checkout=True)
def ship(study: Study):
    """Put a study's weights and relaxations into data/shipped; for maintainers.

    Examples:
      crystalgen ship library  # after its training and its energies, or part of them
    """
    from crystalgen.workflow.shipping import ship

    print("\n".join(ship(study)))


@command("use-shipped", checkout=True)
def use_shipped(study: Study):
    """Use trained weights that come with the repository; no training needed.

    Examples:
      crystalgen use-shipped library_energies  # then: crystalgen generate Ta1W1B4 --study library_energies
    """
    from crystalgen.workflow.shipping import use_shipped

    print("\n".join(use_shipped(study)))
