"""The built wheel works by itself: outside a checkout, with what it needs inside, results in the working folder."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, caesium_chloride, rocksalt

BUILT_OF = ("src", "data/library", "data/shipped", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


def run(*command, cwd, path="") -> subprocess.CompletedProcess:
    """Run a module by this Python, away from the checkout."""
    environment = {k: v for k, v in os.environ.items() if k != "CRYSTALGEN_ROOT"} | {"PYTHONPATH": str(path)}
    return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=cwd, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the installed package and nothing else of the repository."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "installed"))
    for name in BUILT_OF:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (source / name).parent.mkdir(exist_ok=True, parents=True)
        copy(ROOT / name, source / name)
    pip = ("pip", "--disable-pip-version-check")
    done = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, source, cwd=wheels)
    assert done.returncode == 0, done.stderr[-2000:]
    done = run(*pip, "install", "--no-deps", "--no-index", "--target", target, *wheels.glob("*.whl"), cwd=wheels)
    assert done.returncode == 0, done.stderr[-2000:]
    return target


@pytest.fixture
def work(tmp_path):
    """A working folder outside the checkout with two folders of CIFs."""
    for folder, lengths in {"generated": (5.64, 4.2), "reference": (5.60, 4.25, 6.0)}.items():
        (tmp_path / folder).mkdir()
        for i, a in enumerate(lengths):
            rocksalt(a, *(("Na", "Cl"), ("Mg", "O"))[i % 2]).to(filename=str(tmp_path / folder / f"{i}.cif"))
    caesium_chloride(4.12, "Cs", "Cl").to(filename=str(tmp_path / "generated" / "CsCl.cif"))
    return tmp_path


def test_an_installed_wheel_evaluates_into_the_working_folder(installed, work):
    before = sorted(path.name for path in installed.iterdir())
    done = run(
        "crystalgen", "evaluate", "generated", "--reference", "reference", "--cutoffs", "none", "--workers", "1", cwd=work, path=installed
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((work / "reports").rglob("index.html"))
    assert sorted(path.name for path in installed.iterdir()) == before


def test_an_installed_wheel_brings_the_data_that_its_code_reads(installed, work):
    code = """
from crystalgen.crystals import read_crystals
from crystalgen.datasets.benchmarks import load_manifest
from crystalgen.library.recipe import load_recipe
from crystalgen.metrics.benchmarks import cutoffs_of
from crystalgen.experiments.compounds.sources import SHIPPED_GENERATOR
from crystalgen.potentials.shipped import SINGLE_POINTS
from crystalgen.utils import paths
assert SINGLE_POINTS.is_file() and (SHIPPED_GENERATOR / "weights" / "42.safetensors").is_file()
print(paths.CHECKOUT, len(load_manifest().sets), cutoffs_of("mp_20").structure, sorted(p.name for p in paths.REFERENCE.iterdir()))
print(len(read_crystals(paths.LIBRARY / "crystals.parquet")) > 1000, load_recipe(paths.LIBRARY / "recipe.yaml").symprec > 0)
"""
    (work / "look.py").write_text(code)
    done = run("look", cwd=work, path=f"{installed}{os.pathsep}{work}")
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = done.stdout.splitlines()
    assert first.startswith("None 3 0.4 ['benchmarks.yaml', 'composition_scaling.csv',")
    assert second == "True True"


@pytest.mark.parametrize("command", ["run evaluate", "compile", "show", "use-shipped library_energies", "build-library", "readme"])
def test_a_command_of_the_pipeline_says_that_it_needs_a_checkout(installed, work, command):
    done = run("crystalgen", *command.split(), cwd=work, path=installed)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert f"{work}: no checkout of crystalgen's repository" in done.stderr and "CRYSTALGEN_ROOT" in done.stderr
