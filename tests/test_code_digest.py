"""Digests of code: they cover what a notebook's imports load, and change with statements only."""

import ast
import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from pydantic import BaseModel

from crystalgen.utils import code_digest, paths, strict
from crystalgen.utils.code_digest import RUNNING, SETTINGS, code_of, data_files, exports, function_digest, is_left_out, modules
from crystalgen.workflow.digests import notebook_code

# Runs a notebook's imports and names the modules of the package that were loaded. Packages that hand on names import on demand here,
# since what they import besides does not decide what a notebook does.
LOADED = """
import ast, importlib, importlib.machinery, json, re, sys, types
cells, handing, folders = json.loads(sys.stdin.read())
class OnDemand(types.ModuleType):
    def __getattr__(self, name):
        if name in handing[self.__name__]:
            return getattr(importlib.import_module(handing[self.__name__][name]), name)
        raise AttributeError(name)
for name in handing:
    sys.modules[name] = OnDemand(name)
    sys.modules[name].__path__ = [folders[name]]
    sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
scope = {}
tree = ast.parse(cells)
for node in ast.walk(tree):
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        exec(ast.unparse(node), scope)
for node in ast.walk(tree):
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and isinstance(scope.get(node.value.id), types.ModuleType):
        getattr(scope[node.value.id], node.attr)
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] == "crystalgen")))
"""


def notebook(key: str) -> dict:
    return json.loads(paths.notebooks()[key].read_text())


@pytest.mark.parametrize("key", ["train", "evaluate", "search"])
def test_a_digest_covers_what_the_imports_load(key):
    cells = "\n".join("".join(cell["source"]) for cell in notebook(key)["cells"] if cell["cell_type"] == "code")
    cells = cells.replace("from crystalgen.workflow.prepare import prepare\n", "")  # decides where results go
    handing = {
        name: {attr: module for module, names in re.findall(r"^from (\S+) import (\([^)]+\)|.+)$", file.read_text(), re.M)
               for attr in re.findall(r"\w+", names)}
        for name, file in modules().items()
        if file.name == "__init__.py" and exports(name)
    }  # fmt: skip
    assert "crystalgen.crystals" in handing
    sent = json.dumps([cells, handing, {name: str(modules()[name].parent) for name in handing}])
    done = subprocess.run([sys.executable, "-c", LOADED], input=sent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # What settings are made of stands in the resolved settings; what `train` builds of them is in its digest
    declared = set(code_of("import crystalgen.config.study", everything=True))
    loaded = {name for name in json.loads(done.stdout) if not is_left_out(name)} - declared
    covered = set(notebook_code(notebook(key)))
    assert loaded - set(handing) <= covered and len(loaded) > 8
    if key == "train":
        built = ("crystalgen.generative.nets.", "crystalgen.generative.objectives.")
        assert {name for name in modules() if name.startswith(built)} <= covered


def test_imports_within_functions_and_of_packages_count():
    code = code_of("def late():\n    from crystalgen.generative import losses")
    assert {"crystalgen", "crystalgen.generative.losses", "crystalgen.generative.data.format"} <= set(code), "and what that imports"
    assert "crystalgen.report.figures.training" in code_of("from crystalgen.report import figures\nfigures.training_curves()")
    assert "crystalgen.report.figures.model" not in code_of("from crystalgen.report import figures\nfigures.training_curves()")
    assert "crystalgen.report.figures.model" in code_of("from crystalgen.report import figures\nprint(figures)")
    assert "crystalgen.crystals.table" in code_of("from crystalgen.crystals import read_crystals")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The package's files as a copy that may be edited; gives a function that digests every module anew."""
    root = ROOT / "src/crystalgen"
    shutil.copytree(root, tmp_path / "crystalgen", ignore=shutil.ignore_patterns("__pycache__"))
    found = {name: tmp_path / "crystalgen" / file.relative_to(root) for name, file in modules().items()}
    monkeypatch.setattr(code_digest, "modules", lambda: found)

    def digests() -> dict[str, str]:
        for function in (code_digest._tree, code_digest._module_digest, code_digest.exports):
            function.cache_clear()
        return {name: code_digest._module_digest(name) for name in found}

    yield found, digests
    for function in (code_digest._tree, code_digest._module_digest, code_digest.exports):
        function.cache_clear()


def test_docstrings_and_comments_are_no_code_and_statements_are(copied):
    files, digests = copied
    before = digests()
    for file in files.values():
        text = file.read_text()
        file.write_text(re.sub(r'^( *)"""(\w)', r'\1"""Said anew: \2', text, flags=re.M) + "\n\n# a comment\n")
    assert digests() == before
    losses = files["crystalgen.generative.losses"]
    losses.write_text(losses.read_text() + "\nCONSTANT = 1\n")
    assert {name for name, digest in digests().items() if digest != before[name]} == {"crystalgen.generative.losses"}
    style = next((files["crystalgen.report.pages"].parent / "templates").glob("*.css"))
    style.write_text(style.read_text() + "/* wider */")
    assert {name for name, digest in digests().items() if digest != before[name]} == {
        "crystalgen.generative.losses",
        "crystalgen.report.pages",
    }


def test_fields_of_models_settings_are_no_code_and_what_they_build_is(copied):
    files, digests = copied
    before, whole = digests(), code_digest._module_digest("crystalgen.generative.settings", fields=True)
    for name, old, new in (
        ("settings", "lt=1)] = 0.0", "lt=1)] = 0.1"),
        ("nets.unet3d.settings", "heads: Small = 4", "heads: Small = 8"),
        ("objectives.settings", "std: Spread = 1.0", "std: Spread = 2.0"),
    ):
        file = files[f"crystalgen.generative.{name}"]
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
    assert digests() == before
    assert code_digest._module_digest("crystalgen.generative.settings", fields=True) != whole
    built = files["crystalgen.generative.nets.unet3d.settings"]
    built.write_text(built.read_text().replace('composition != "none"', 'composition == "exact"'))
    declared = files["crystalgen.generative.data.settings"]
    declared.write_text(declared.read_text().replace('= "channels"', '= "token"'))
    changed = {name for name, digest in digests().items() if digest != before[name]}
    assert changed == {"crystalgen.generative.nets.unet3d.settings", "crystalgen.generative.data.settings"}


def test_losses_decide_training_and_not_the_librarys_card():
    assert "crystalgen.generative.losses" in notebook_code(notebook("train"))
    assert "crystalgen.generative.losses" not in notebook_code(notebook("library"))


def test_every_other_file_of_the_package_belongs_to_a_module():
    """Published values are files of their own, which stages name."""
    package = ROOT / "src/crystalgen"
    found = [file for file in package.rglob("*") if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts]
    others = {file for file in found if file.parent != package / "reference"}
    assert others == {file for module in modules() for file in data_files(module)}


def test_the_modules_left_out_of_digests_exist_and_settings_declare_nothing_else():
    assert all(name in modules() for name in SETTINGS + RUNNING)
    left_out = [name for name in modules() if is_left_out(name) and not any(name.startswith(out) for out in RUNNING)]
    allowed = {
        "crystalgen.utils",
        "crystalgen.utils.paths",
        "crystalgen.utils.strict",
        "crystalgen.utils.formulas",
        "crystalgen.utils.elements",
        *left_out,
    }
    readers = re.compile(r"_?(load|read|check|compose|fill|patch|base|presets|shared|spelt|filled|files|mappings|named|generation)")
    for name in left_out:
        tree = ast.parse(modules()[name].read_text())
        reached = {module for module in code_of(f"import {name}") if module.count(".")}
        others = {module for module in reached - allowed if not module.startswith("crystalgen.generative")}  # settings of models
        assert not others, f"{name} reaches code that computes: {sorted(others)}"
        module = __import__(name, fromlist=["_"])
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                assert issubclass(getattr(module, node.name), (BaseModel, ValueError)), f"{name}.{node.name} is no settings class"
            elif isinstance(node, ast.FunctionDef):
                assert readers.match(node.name), f"{name}.{node.name} reads no settings"
            else:
                assert isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)) or "TYPE_CHECKING" in ast.unparse(node), (
                    f"{name}: {ast.unparse(node)[:60]}"
                )


def test_what_settings_classes_compute_is_in_the_settings_that_stages_read():
    """A property of a settings class is code that no digest covers: each must be known here, and be written out."""
    computed = set()
    for name in (n for n in modules() if n.startswith("crystalgen.config.")):
        for kind in ast.walk(ast.parse(modules()[name].read_text())):
            for node in kind.body if isinstance(kind, ast.ClassDef) else []:
                if isinstance(node, ast.FunctionDef) and not any("validator" in ast.unparse(d) for d in node.decorator_list):
                    computed.add(node.name)
    assert computed == {"kinds", "model_of"}  # representations.json; which weights the compiler names
    assert issubclass(strict.Strict, BaseModel)


def _local(structure):
    return {"value": 1}


def test_a_function_elsewhere_is_digested_by_its_source():
    assert function_digest(_local) != function_digest(notebook)
    assert re.fullmatch("[0-9a-f]{24}", function_digest(_local))
