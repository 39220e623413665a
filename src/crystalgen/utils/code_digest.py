"""Digests of the code that a result depends on: each module that is reached by imports, without comments and docstrings."""

import ast
import hashlib
import inspect
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "crystalgen"
# Modules that only declare a study's settings, or fill them in: stages depend on the resolved settings in their place.
SETTINGS = ("crystalgen.config", "crystalgen.utils.compose")
# Modules of a model's settings: their fields stand in the resolved settings too, what they build and check is code. Not
# `generative.data.settings`, whose defaults `load_task` takes.
FIELDS = re.compile(r"crystalgen\.generative\.((nets|objectives)\.(\w+\.)?)?settings")
# What runs notebooks, keeps files of results apart and refuses settings; it decides where a result goes and whether, never what it is.
RUNNING = ("crystalgen.utils.code_digest", "crystalgen.workflow.prepare", "crystalgen.utils.values", "crystalgen.utils.yaml_files")


def code_of(source: str, everything: bool = False) -> dict[str, str]:
    """Return a digest of each of the package's modules that a program reaches by imports, those within functions too.

    Args:
        source: text of a program, such as a notebook's cells together.
        everything: `SETTINGS`, `RUNNING` and the fields of `FIELDS` too.
    """
    found, waiting = set(), _imports(ast.parse(source), "")
    while waiting:
        module = waiting.pop()
        if module not in found and (everything or not is_left_out(module)):
            found.add(module)
            waiting |= _imports(_tree(module), module)
    return {module: _module_digest(module, everything) for module in sorted(found)}


@cache
def function_digest(function: Callable) -> str:
    """Return one digest of the module that defines a function, and of all that it reaches; of a function elsewhere, of its own source."""
    if function.__module__ in modules():
        return _joined(code_of(f"import {function.__module__}").items())
    source = inspect.cleandoc("\n" + inspect.getsource(function))
    return _joined([("", source), *code_of(source).items()])


@cache
def modules() -> dict[str, Path]:
    """Return the files of the package's modules, by name."""
    root = Path(find_spec(PACKAGE).submodule_search_locations[0])
    found = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))] = file
    return found


def is_left_out(module: str) -> bool:
    """Return whether a module is one of `SETTINGS` or `RUNNING`, or in one of them."""
    return any(module == name or module.startswith(f"{name}.") for name in SETTINGS + RUNNING)


@cache
def _tree(module: str, fields: bool = False) -> ast.Module:
    """Parse a module, without strings that stand alone, such as docstrings, imports for types alone, and, by default, settings' fields."""
    tree = _WithoutText().visit(ast.parse(modules()[module].read_text(encoding="utf-8")))
    for node in tree.body if FIELDS.fullmatch(module) and not fields else []:
        if isinstance(node, ast.ClassDef):
            node.body = [part for part in node.body if not isinstance(part, ast.AnnAssign)]
    return tree


@cache
def _module_digest(module: str, fields: bool = False) -> str:
    parts = [("", ast.unparse(_tree(module, fields)))]
    parts += [(str(file.name), file.read_bytes()) for file in data_files(module)]
    return _joined(parts)


def data_files(module: str) -> list[Path]:
    """Return the files other than Python that a module names in a string and that lie beside it, or in a folder that it names so."""
    folder = modules()[module].parent
    names = {node.value for node in ast.walk(_tree(module)) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    beside = [path for path in sorted(folder.iterdir()) if path.name in names and path.suffix != ".py"]
    inside = [file for path in beside for file in sorted(path.rglob("*") if path.is_dir() else [path])]
    return [file for file in inside if file.is_file() and file.suffix not in (".py", ".pyc")]


def _imports(tree: ast.AST, module: str) -> set[str]:
    """Return the package's modules that a tree reaches directly, with the packages that they are in.

    Of a package that only hands on names of its modules, those are reached whose names are used; what it imports besides decides nothing.
    """
    if exports(module) is not None:
        return set()
    package = module if module and modules()[module].name == "__init__.py" else module.rpartition(".")[0]
    names, bound = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            bound |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                names |= {base, f"{base}.{alias.name}", (exports(base) or {}).get(alias.name, base)}
                bound[alias.asname or alias.name] = f"{base}.{alias.name}"
    names |= _used(tree, {name: target for name, target in bound.items() if exports(target) is not None})
    parts = (name.split(".") for name in names if name.split(".")[0] == PACKAGE)
    return {name for split in parts for name in (".".join(split[:n]) for n in range(1, len(split) + 1)) if name in modules()}


@cache
def exports(package: str) -> dict[str, str] | None:
    """Return the modules of the names that a package hands on, if its `__init__.py` does nothing else; None otherwise."""
    if package not in modules() or modules()[package].name != "__init__.py":
        return None
    found = {}
    for node in _tree(package).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            found |= {alias.asname or alias.name: node.module for alias in node.names}
        elif not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"):
            return None
    return found


def _used(tree: ast.AST, bound: dict[str, str]) -> set[str]:
    """Return the modules whose names are used of packages that hand them on; all of a package's that is used in another way."""
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    dotted = {}
    for node in attributes:
        dotted.setdefault(ast.unparse(node.value), set()).add(node.attr)
    inside = {id(node.value) for node in attributes}
    whole = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in inside}
    found = set()
    for name, package in bound.items():
        handed = exports(package)
        found |= set(handed.values()) if name in whole else {handed.get(attr, f"{package}.{attr}") for attr in dotted.get(name, ())}
    return found


class _WithoutText(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.If | None:
        self.generic_visit(node)
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def _joined(parts: Iterable[tuple[str, str | bytes]]) -> str:
    """Return 24 hexadecimal digits of named parts."""
    hasher = hashlib.sha256()
    for name, part in parts:
        content = part.encode() if isinstance(part, str) else part
        hasher.update(f"{name} {len(content)} ".encode() + content)
    return hasher.hexdigest()[:24]
