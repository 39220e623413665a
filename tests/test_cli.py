"""The command line: its help, what it refuses and how fast that is known, and that its defaults are those of the Python functions."""

import functools
import inspect
import json
import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

import crystalgen as cg
from crystalgen.cli import main
from crystalgen.cli.app import app, listed, name_value

COMMANDS = {info.name or info.callback.__name__.replace("_", "-"): info for info in app.registered_commands}
PROBE = """
import contextlib, io, json, shlex, sys, time
from crystalgen.cli import main
answers = {}
for line in json.loads(sys.argv[1]):
    start = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = main(shlex.split(line))
    large = sorted({"torch", "pymatgen", "pandas", "numpy", "ase", "numba"} & set(sys.modules))
    answers[line] = status, said.getvalue(), large, time.process_time() - start
print(json.dumps(answers))
"""
REFUSED = {
    "generate Ta3000000000B2": (1, "Ta3000000000 has 3000000000 atoms; expected 1 to 1000 in a cell"),
    "generate Ta0W1B4": (1, "Ta0 has 0 atoms; expected 1 to 1000"),
    "generate Xx2": (1, "no element 'Xx'; expected H to Lr"),
    "generate Ta0.5W": (1, "expected a formula with whole numbers of atoms"),
    "generate Ta(B2": (1, "a parenthesis is left open; expected a formula with whole numbers of atoms"),
    "generate Ta(B2)0": (1, ")0 has 0 atoms; expected 1 to 1000"),
    "generate Ta()2": (1, "nothing in parentheses"),
    "generate '(((Ta)999)999)999'": (1, "997002999 atoms; expected at most 1000"),
    "generate tawb4": (1, "no element 'tawb'; expected a formula with whole numbers of atoms, e.g. Ta1W1B6, each symbol with its capital"),
    "generate 'a hard boride of tantalum, please'": (1, "no element 'a'"),
    "generate Ta₁W₁B₄": (1, "'₁' does not belong here"),
    "generate '[TaB2]'": (1, "'[' does not belong here"),
    "generate Ta1.5B": (1, "'.' does not belong here; expected a formula with whole numbers of atoms"),
    "generate Ta1/2B": (1, "'/' does not belong here"),
    "generate Ta-1B2": (1, "no element '1B2'; expected 2 to 6 different elements joined by hyphens"),
    "generate 'Ta1 2B'": (1, "'2' does not belong here"),
    "generate CuSO4·5H2O": (1, "'·' does not belong here"),
    "generate 'TaB2; touch F'": (1, "';' does not belong here"),
    f"generate {'(' * 100_000}": (1, "expected a formula with whole numbers of atoms"),
    f"generate Ta{'9' * 190}": (1, "expected 1 to 1000 in a cell"),
    "generate ''": (1, "expected a formula with whole numbers of atoms"),
    "generate TaB -n 3000000000": (1, "n 3000000000: expected a whole number, 1 to 100000"),
    "generate TaB --seed 99999999999999999999": (1, "seed 99999999999999999999: expected a whole number"),
    "generate TaB --study ../demo": (1, "study '../demo': expected letters, digits"),
    "select 'm;echo RAN>F;#'": (1, "study 'm;echo RAN>F;#': expected letters, digits"),
    "compile ../demo": (1, "study '../demo': expected letters, digits"),
    "settings '$(touch F)'": (1, "study '$(touch F)': expected letters, digits"),
    "show ../demo": (1, "study '../demo': expected letters, digits"),
    "report ../demo": (1, "study '../demo': expected letters, digits"),
    "use-shipped ../demo": (1, "study '../demo': expected letters, digits"),
    "generate TaB --space-group 231": (2, "'--space-group': Input should be less than or equal to 230"),
    "generate TaB --energy -50": (2, "'--energy': Input should be greater than or equal to -5"),
    "generate TaB --energy nan": (2, "'--energy'"),
    "generate TaB -n 0": (2, "'--count': Input should be greater than or equal to 1"),
    "generate TaB --seed -1": (2, "'--seed': Input should be greater than or equal to 0"),
    "generate Am2O3": (1, "no source has learnt of Am; expected H to Pu without Ar and Po to Ra"),
    "generate ArRn": (1, "no source has learnt of Ar, Rn"),
    "generate C60H61": (1, "121 atoms in a formula unit; expected at most 60"),
    "generate LiFePO4 --units 0": (2, "'--units': Input should be greater than or equal to 1"),
    "generate LiFePO4 --units 17": (1, "units 17: expected a whole number, 1 to 16"),
    "generate LiFePO4 --steps 0": (2, "'--steps': Input should be greater than or equal to 1"),
    "generate TaB --study nothing": (1, "studies/nothing/study.yaml: no such study; expected one of"),
    "generate": (2, "Missing argument 'composition'"),
    "evaluate nowhere --reference nowhere": (1, "nowhere: there is no such file or folder"),
    "evaluate src --reference data/raw/absent/crystals.parquet": (1, "`crystalgen fetch absent` brings the benchmark sets"),
    "evaluate src": (1, "no reference is given"),
    "relax src --potential pbe": (2, "'pbe' is not one of 'chgnet', '7net-l3i5'"),
    "relax src --fmax 0": (1, "fmax 0.0: expected a number above 0"),
    "ingest nowhere --out runs.parquet": (1, "nowhere: there is no such file or folder"),
    "ingest src --out runs.txt": (1, "runs.txt: expected a .parquet or a .csv"),
    "train --data nowhere": (1, "nowhere: there is no such file or folder"),
    "dft-inputs nowhere --out x": (1, "nowhere: there is no such file or folder"),
    "dft-run src": (1, "src: no folders with an input.json"),
    "fetch mp_20 --mirror nowhere": (1, "nowhere: there is no such file or folder"),
    "nothing": (2, "No such command 'nothing'"),
}


@pytest.fixture(scope="module")
def refusals():
    """Status, error and large modules that were imported by then, after each line of `REFUSED` in one process."""
    done = subprocess.run([sys.executable, "-c", PROBE, json.dumps(list(REFUSED))], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_is_refused_in_one_line_before_anything_large_is_imported(line, refusals):
    status, message = REFUSED[line]
    assert refusals[line][0] == status and refusals[line][2] == [] and refusals[line][3] < 1
    assert refusals[line][1].count("\n") == 1 and refusals[line][1].startswith("crystalgen: ") and message in refusals[line][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_commands_help_has_options_defaults_and_examples_that_are_understood(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    examples = re.findall(r"^    crystalgen (.+)$", text, re.M)
    assert examples and all(line.split()[0] == name for line in examples)
    command = inspect.signature(COMMANDS[name].callback).parameters
    for parameter in command.values():
        option = "-n" if parameter.name == "n" else "--" + parameter.name.replace("_", "-")
        shown = re.search(rf"^  (-p, )?({option}|{parameter.name})\b.*$", text, re.M)
        assert shown, parameter.name
        assert len(re.split(r"\s{2,}", shown[0].strip())) > 1, f"no help of {parameter.name}"
        if isinstance(parameter.default, int | float | str) and not isinstance(parameter.default, bool):
            assert f"[default: {parameter.default}" in " ".join(text.split())
    seen = []
    monkeypatch.setattr(COMMANDS[name], "callback", functools.wraps(COMMANDS[name].callback)(lambda **given: seen.append(given)))
    assert [main(shlex.split(line, comments=True)) for line in examples] == [0] * len(examples) == [0] * len(seen), capsys.readouterr().err


def test_the_overview_lists_every_command_with_what_it_does(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    listing = dict(re.findall(r"^  ([a-z-]+)  +(\S.*)$", text.split("Commands:")[1], re.M))
    assert set(listing) == set(COMMANDS) and not [line for line in listing.values() if line.endswith("...")]
    assert "crystalgen generate LiFePO4                      what crystals a compound may have" in text


@pytest.mark.parametrize("name", ["generate", "evaluate", "relax", "ingest"])
def test_defaults_are_those_of_the_python_function(name):
    """So that a command and its function cannot drift apart."""
    shell, python = inspect.signature(COMMANDS[name].callback).parameters, inspect.signature(getattr(cg, name)).parameters
    names = {"path": "crystals"}
    assert {names.get(parameter, parameter) for parameter in shell} == set(python)
    for parameter in shell.values():
        function = python[names.get(parameter.name, parameter.name)]
        if parameter.default is not inspect.Parameter.empty and function.default is not inspect.Parameter.empty:
            assert parameter.default == function.default, parameter.name


def test_an_unexpected_error_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("crystalgen.workflow.readme.update_texts", lambda files: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["readme"])


def test_words_of_an_option_come_repeated_or_with_commas():
    assert listed(["Ta,W", "B"]) == ["Ta", "W", "B"] and listed([]) == []
    assert name_value("a=b=c") == ("a", "b=c")
    with pytest.raises(ValueError, match="parameter 'x': expected NAME=VALUE"):
        name_value("x")
