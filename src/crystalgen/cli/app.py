"""The application that the commands join, and how it ends: an expected error is one line, without a traceback."""

import inspect
import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, get_origin

import typer

from crystalgen.utils import paths
from crystalgen.utils.values import check_name

OVERVIEW = """A reproducible compendium of crystal generation.

\b
first of all:
  make reproduce                                   the default study, from data to report
  crystalgen show                                  its results again, and where its page is
\b
ask, look, judge:
  crystalgen generate LiFePO4                      what crystals a compound may have, and whether they are stable
  crystalgen evaluate samples.zip --reference T    any generator's crystals beside a table T of real ones
  crystalgen relax samples/                        any crystals, relaxed, above a hull
  make lab                                         JupyterLab; the same in Python: import crystalgen as cg, cg.generate?
\b
your own:
  crystalgen train --data my_cifs/                 a study of them, trained and judged
  crystalgen select mine && dvc repro              a study that you wrote, studies/mine/study.yaml
  crystalgen fetch perov_5                         a benchmark set, by checksum
\b
what is where:
  studies/NAME/study.yaml   every setting of a study
  reports/NAME/index.html   its page; reports/index.html lists all
  models/NAME/MODEL         weights, curve and card
  data/processed/NAME       crystals, samples and verdicts, as parquet

Each command has options of its own: crystalgen COMMAND --help. Errors are one line that says what was expected."""

CRYSTALS = "folder, .zip or .tar of CIFs, POSCARs or extxyz, one such file, .csv with a cif column, CDVAE's or DiffCSP's .pt, .parquet"
Workers = Annotated[int, typer.Option(min=1, help="number of processes")]
Most = Annotated[int | None, typer.Option(min=1, help="process at most so many crystals")]


def _check_names(given: str | list[str] | None) -> str | list[str] | None:
    for name in [given] if isinstance(given, str) else given or []:
        check_name(name, "study")  # folders are called so, in commands that delete some
    return given


Study = Annotated[str, typer.Argument(help="name of a folder in studies/", show_default=False, callback=_check_names)]


def studies_argument(help: str, **settings) -> typer.models.ArgumentInfo:
    """Return an argument that is studies' names."""
    return typer.Argument(help=help, callback=_check_names, **settings)


_UsageError = typer.BadParameter.__base__  # every error of usage is one of these; typer has no public name for it

app = typer.Typer(
    help=OVERVIEW,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 120},
)


def command(name: str | None = None, like: Callable | None = None, checkout: bool = False) -> Callable:
    """Register a function as a command: its signature is the options, its docstring the help, with the examples as they stand.

    Args:
        like: a function whose docstring describes, in its Args, the options that have no help of their own.
        checkout: it works on the repository's files, and is refused where there is no checkout.
    """
    described = dict(re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", inspect.getdoc(like), re.M)) if like else {}

    def register(function: Callable) -> Callable:
        for option, annotation in function.__annotations__.items():
            if get_origin(annotation) is not Annotated:
                annotation = function.__annotations__[option] = Annotated[annotation, typer.Option()]
            settings = annotation.__metadata__[0]
            settings.help = settings.help or " ".join(described.get(option, "").split()).rstrip(".")

        @wraps(function)
        def called(*given, **options):
            if checkout:
                paths.need_checkout()
            return function(*given, **options)

        text = inspect.getdoc(function).replace("\n\nExamples:", "\n\n\b\nExamples:")
        return app.command(name, help=text, short_help=re.split(r"[:;]|\.\s", text)[0])(called)

    return register


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; return the exit status: 1 after an expected error, 2 where the line cannot be understood."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return app(arguments or ["--help"], prog_name="crystalgen", standalone_mode=False) or 0
    except typer.Abort:
        problem, status = "interrupted", 130
    except _UsageError as error:
        problem, status = " ".join(error.format_message().split()), 2
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        problem, status = error, 1
    print(f"crystalgen: {problem}", file=sys.stderr)
    return status


def name_value(text: str) -> tuple[str, str]:
    """Return the two sides of NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"parameter '{text}': expected NAME=VALUE")
    return name, value


def listed(values: list[str]) -> list[str]:
    """Return the words of an option that was given several times, or once with commas."""
    return [word for value in values for word in value.replace(",", " ").split()]
