"""The floors of the house: a module imports only from its own floor and those below; training knows tensors only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "crystalgen"
FLOORS = [
    {"crystals", "chemistry", "config", "files", "paths", "cell", "null", "store", "limits"},
    {"data"},
    {"represent"},
    {
        "tensors",
        "unimat_data",
        "augmentation",
        "nets",
        "objectives",
        "losses",
        "samplers",
        "sampling",
        "training",
        "pairs",
        "jobs",
        "job_command",
    },
    {"evaluate", "baselines", "generate", "physics"},
    {"present", "pipeline"},
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "crystalgen":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_module_imports_nothing_from_above(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        assert not _imports(path)
        return
    above = {name for name in _imports(path) if LEVEL[name] > LEVEL[room]}
    assert not above, f"{path} is on floor {LEVEL[room] + 1} and imports {above}"


def test_training_needs_no_chemistry():
    """A training job runs on a machine that has torch and no pymatgen."""
    code = """
import sys
for name in ("pymatgen", "ase", "spglib", "mendeleev", "pandera"):
    sys.modules[name] = None  # an import of it fails
import crystalgen.job_command, crystalgen.sampling
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
