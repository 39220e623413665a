"""The manual of `crystalgen`: an overview, and for each command examples and the defaults of its options."""

import argparse
from pathlib import Path

from crystalgen.utils import paths

OVERVIEW = """\
first of all:
  make reproduce                                   the default study, from data to report
  crystalgen show                                  its results again, and where its page is

ask, look, judge:
  crystalgen generate Ta1W1B4 -n 50 --relax        crystals of a composition, from a model that was trained here
  crystalgen evaluate samples.zip --reference T    any generator's crystals beside a table T of real ones
  crystalgen relax samples/                        any crystals, relaxed, above a hull
  make lab                                         JupyterLab: notebooks/tour, browse, ask

your own:
  crystalgen train --data my_cifs/                 a study of them, trained and judged
  crystalgen select mine && dvc repro              a study that you wrote, studies/mine/study.yaml
  crystalgen fetch perov_5                         a benchmark set, by checksum

what is where:
  studies/NAME/study.yaml   every setting of a study
  reports/NAME/index.html   its page; reports/index.html lists all
  models/NAME/MODEL         weights, curve and card
  data/processed/NAME       crystals, samples and verdicts, as parquet

Each command has options of its own: crystalgen COMMAND --help. Errors are one line that says what was expected."""

# Command lines without the word `crystalgen`, and what they are for.
EXAMPLES = {
    "run": {
        "run train -p study=demo -p model=unimat": "one notebook, executed",
        "run train -p study=demo -p model=unimat -p overrides='{training: {steps: 200}}'": "other settings; results lie apart",
    },
    "clean-notebooks": {"clean-notebooks": "after a notebook was edited, before `dvc repro` looks"},
    "select": {"select demo library": "`dvc repro` then runs both"},
    "compile": {"compile demo": "after its study.yaml was changed", "compile": "every study, and the ablations"},
    "digests": {"digests": "as its stage does"},
    "settings": {"settings demo": "as its stage does"},
    "ship": {"ship library": "after its training and its energies, or part of them"},
    "use-shipped": {"use-shipped library": "then: generate Ta1W1B4 --study library"},
    "show": {"show": "", "show library": "one study"},
    "report": {"report": "every page", "report library": "one study's"},
    "readme": {"readme": "after a study of theirs was run"},
    "train": {
        "train --data my_cifs/": "two models, about a quarter of an hour each on two cores",
        "train --data my_cifs/ --steps 200": "to see that it runs",
        "train --data table.csv --name mine --only-write": "studies/mine/study.yaml, to be edited first",
    },
    "generate": {
        "generate Ta1W1B4": "twenty crystals; a space group and an energy are chosen for each",
        "generate Ta1W1B4 --space-group 187 --energy -0.6 -n 50 --relax": "fifty as asked, relaxed, ranked by energy above the hull",
        "generate Ti1B2 --study library --model matrix_generation_ddim": "of another study and model",
    },
    "evaluate": {
        "evaluate samples.zip --reference data/library/crystals.parquet --cutoffs none": "without coverage",
        "evaluate eval_gen.pt --reference data/raw/mp_20/crystals.parquet --split test": "CDVAE's or DiffCSP's tensors, as in the papers",
        "evaluate cifs/ --reference my.csv --energies": "with S.U.N. by the potential's hull",
    },
    "build-library": {"build-library --workers 2": "about an hour on two cores"},
    "fetch": {"fetch perov_5": "", "fetch mp_20 --mirror downloads/": "from files that you have"},
    "fetch-aflow": {
        "fetch-aflow --species Ta B --nspecies 2": "one system",
        "fetch-aflow --pages 5": "to try; the same command without --pages goes on",
    },
    "relax": {
        "relax cifs/": "CHGNet's geometry, 7net's energy, above the embedded library's hull",
        "relax samples.extxyz --potential mace-mp-0 --energy mace-mp-0 --reference mine.parquet": "another potential, its own hull",
    },
    "ingest": {"ingest runs/ --out runs.parquet": "", "ingest data/dft --out dft.csv": "the calculations of this repository"},
    "dft-inputs": {
        "dft-inputs data/dft/found --most 10 --out vasp/": "VASP as in paper A",
        "dft-inputs cifs/ --preset gpaw --out gpaw/": "for `dft-run`",
        "dft-inputs cifs/ --preset espresso --pseudo Ta=Ta.UPF B=B.UPF --out qe/": "Quantum ESPRESSO",
    },
    "dft-targets": {"dft-targets": "into data/dft"},
    "dft-run": {
        "dft-run gpaw/ --hours 8": "stops by itself; the same command goes on",
        "dft-run gpaw/ --prerelax 7net-l3i5": "from the potential's minima: fewer steps by the code",
        'dft-run data/dft --python "mpirun -n 4 gpaw python"': "over four processes",
    },
}


class _Defaults(argparse.HelpFormatter):
    """Says an option's default, where there is one; of a path, the part inside the repository."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if not action.option_strings or action.nargs == 0 or action.default in (None, []):
            return action.help
        inside = isinstance(action.default, Path) and action.default.is_relative_to(paths.ROOT)
        return f"{action.help} (default: {action.default.relative_to(paths.ROOT) if inside else action.default})"


class _Manual(_Defaults, argparse.RawDescriptionHelpFormatter):
    """Defaults, and examples line by line."""


def add_manual(commands: argparse._SubParsersAction) -> None:
    """Give each command its description, which argparse keeps for the list of commands, its examples and its defaults."""
    for listed in commands._choices_actions:
        command = commands.choices[listed.dest]
        command.description = listed.help
        command.formatter_class = _Manual
        lines = [f"  crystalgen {line}" + (f"\n      {purpose}" if purpose else "") for line, purpose in EXAMPLES[listed.dest].items()]
        command.epilog = "\n".join(["examples:", *lines])
