"""Names from ids that anyone may have written: never a path, never two alike; harmless ones stay."""

import os
from pathlib import Path, PureWindowsPath

import pytest
from conftest import rocksalt

from crystalgen.crystals import from_structures, write_structure_files
from crystalgen.dft.ase_inputs import SETTINGS, write_ase_inputs
from crystalgen.dft.inputs import write_inputs
from crystalgen.utils.safe_names import safe_name, safe_names

HOSTILE = [
    "", ".", "..", "...", "../x", "../../x", "a/../../x", "/etc/passwd", "//server/share", "~root", "~", "-rf", "--out=x", " ", " x ",
    "x. ", "C:x", "C:\\x", "..\\x", "\\\\server\\share", "a\0b", "a\nb", "a\x1b[31mb", "a\u202eb", "a\u200bb", "．．／x", "a∕b", "a⁄b",
    "CON", "con", "nul.txt", "COM1", "lpt9.cif", "Aux.tar.gz", "x" * 5000, "é" * 500, "字" * 300, "x" * 119 + "é", "a" * 119 + "/..",
    "\udcff\udcfe", "a\udcffb", "$(touch x)", "`id`", "a;b", "a|b", "a&b", "a*b?", "'", '"', "<x>", "%2e%2e%2f", "{0}",
    "a\tb", ".hidden", "📦",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_becomes_one_part_of_a_path(name, tmp_path):
    safe = safe_name(name)
    assert safe and safe == safe_name(name) and len(safe.encode()) <= 120
    assert safe.isprintable() and not set(safe) & set("/\\:*?\"<>|\0$`;&'{}~%")
    assert safe[0] not in ".- " and safe[-1] not in ". "
    assert len(Path(safe).parts) == 1 and safe not in (".", "..")
    windows = PureWindowsPath(safe)
    assert not windows.drive and not windows.is_reserved() and len(windows.parts) == 1
    (tmp_path / f"{safe}.cif.part").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == [f"{safe}.cif.part"]
    assert os.path.realpath(tmp_path / safe).startswith(os.path.realpath(tmp_path) + os.sep)


@pytest.mark.parametrize("name", ["lib-02265", "β-WB", "01-TaB2-191", "mp-1234_relaxed.v2", "0000-Ta1B2", "W2B (2)", "α=β+1", "a,b@c[1]"])
def test_a_harmless_name_stays(name):
    assert safe_name(name) == name


@pytest.mark.parametrize("names", [
    ["a/b", "a_b", "a:b", "a\\b"], ["A", "a", "a"], ["a", "a-row1", "a"], ["a", "a", "a-row1"], ["", ".", "..", "_"], ["é", "e\u0301"],
    ["x" * 300, "x" * 301, "x" * 300 + "/"], HOSTILE, HOSTILE * 2,
])  # fmt: skip
def test_names_that_are_equal_once_they_are_safe_are_told_apart(names):
    safe = safe_names(names)
    assert len({name.casefold() for name in safe}) == len(names) == len(safe)
    assert all(len(name.encode()) < 150 and len(Path(name).parts) == 1 for name in safe)


def _outside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_no_writer_leaves_its_folder(tmp_path):
    table = from_structures([rocksalt(5.6)] * len(HOSTILE), "s", [f"{name}{i}" if i % 2 else name for i, name in enumerate(HOSTILE)])
    table = table.drop_duplicates("id").reset_index(drop=True)
    for format in ("cif", "poscar", "extxyz"):
        files = write_structure_files(table, tmp_path / "home" / format, format)
        assert len(set(files)) == len(table) and all(file.is_file() and file.parent == tmp_path / "home" / format for file in files)
    inputs = write_ase_inputs(table.iloc[::6], tmp_path / "home" / "gpaw", SETTINGS["gpaw"])
    assert {file.parents[1] for file in inputs} == {tmp_path / "home" / "gpaw"} and len(set(inputs)) == len(table.iloc[::6])
    write_inputs(table.head(2).assign(formula="../../x"), tmp_path / "home" / "vasp", "B")
    assert _outside(tmp_path) == ["home"] and _outside(tmp_path / "home") == ["cif", "extxyz", "gpaw", "poscar", "vasp"]
