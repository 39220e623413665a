"""The floors of the house: a room imports only from rooms below it; training knows tensors only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "crystalgen"
FLOORS = [
    "utils",
    "generative",
    "config",
    "crystals",
    "chemistry",
    "datasets",
    "represent",
    "matching",
    "stability",
    "potentials",
    "library",
    "metrics",
    "baselines",
    "corrector",
    "dft",
    "experiments",
    "report",
    "workflow",
    "api",
    "cli",
    "__main__",
]


def _imports(path: Path) -> set[str]:
    """Rooms of the package that a module imports, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "crystalgen":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("crystalgen.")}
    return found


def test_every_room_has_its_floor():
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")}
    assert rooms == {*FLOORS, "__init__"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_module_imports_from_below_alone(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        assert not _imports(path)
        return
    floor = FLOORS.index(room)
    above = {name for name in _imports(path) if name != room and FLOORS.index(name) >= floor}
    assert not above, f"{path} is in {room}, floor {floor}, and imports {above}"


def test_the_torch_only_room_needs_no_chemistry():
    """A training job runs on a machine that has torch and no pymatgen."""
    code = """
import pkgutil, sys
for name in ("pymatgen", "ase", "spglib", "mendeleev", "pandera", "pandas"):
    sys.modules[name] = None  # an import of it fails
import crystalgen.generative
for module in pkgutil.walk_packages(crystalgen.generative.__path__, "crystalgen.generative."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
import crystalgen.generative.__main__
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
