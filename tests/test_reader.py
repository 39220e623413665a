"""One reader for every door: what is read, what is passed over and said, what is refused with a reason, and how either way ends."""

import gzip
import os

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from conftest import caesium_chloride, generic, rocksalt
from pymatgen.core import Lattice, Structure

import crystalgen as cg
from crystalgen.cli import main
from crystalgen.crystals import CrystalTableError, write_crystals, write_structure_files
from crystalgen.crystals.reading import is_structure_file, read_text, without_suffix
from crystalgen.datasets.generated import read_generated
from crystalgen.datasets.sources import load_source
from crystalgen.utils import paths
from crystalgen.workflow.own_data import write_study

SALT, CAESIUM, ALLOY = rocksalt(5.6), caesium_chloride(4.1, "Cs", "Cl"), caesium_chloride(2.9, "Ni", "Al")
CIF, POSCAR = SALT.to(fmt="cif"), SALT.to(fmt="poscar")
EXTXYZ = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nCs 0 0 0\nCl 2 2 2\n'
NAMELESS = "rock salt\n4\n1 0 0\n0 1 0\n0 0 1\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


def put(folder, files: dict[str, str | bytes]):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize("name", [
    "a.cif", "A.CIF", "a.mcif", "a.vasp", "a.poscar", "POSCAR", "CONTCAR", "contcar", "POSCAR.1", "POSCAR_Fe", "LFP_POSCAR_e",
    "mp-1.POSCAR",
    "relaxed-CONTCAR", "POSCAR.gz", "a.cif.gz", "a.extxyz", "a.xyz", "a.res", "a.cssr", "POSCAR.mp-123", "LFP_POSCAR_e.bz2",
])  # fmt: skip
def test_structure_files_are_known_by_their_names(name, tmp_path):
    assert is_structure_file(tmp_path / name)


@pytest.mark.parametrize("name", [
    "a.pdb", "XDATCAR", "OUTCAR", "plot_poscar.py", "poscar.json", "README.md", "a.gz", "cif", "a.cif.txt", "POSCARS.zip", "lposcarl", "a",
])  # fmt: skip
def test_others_are_not(name, tmp_path):
    assert not is_structure_file(tmp_path / name)


def test_what_is_no_crystal_file_is_passed_over_and_counted(tmp_path, caplog):
    files = {"a.cif": CIF, "deep/POSCAR": POSCAR, "b copy.cif": CIF, "a copy.cif": CIF + " ", "c/a - Copy.cif": CIF, "c/a.cif": CIF}
    hidden = ["._a.cif", ".a.cif", ".ipynb_checkpoints/a-checkpoint.cif", "__MACOSX/a.cif", ".git/x/POSCAR", ".#a.cif"]
    backups = ["a.cif~", "a.cif.bak", "a.cif.orig", ".a.cif.swp", "#a.cif#", "POSCAR~", "POSCAR.old", "a.cif.tmp"]
    others = ["x.pdb", "y.pdb", "notes.txt", "XDATCAR", "movie"]
    found, broken = read_generated(put(tmp_path, files | dict.fromkeys(hidden + backups + others, CIF)), workers=1)
    assert found["id"].tolist() == ["a copy.cif", "a.cif", "b copy.cif", "c/a.cif", "deep/POSCAR"] and broken.empty
    line = "passed over 20 files: 7 backups, 7 hidden, 2 .pdb, 1 .txt, 1 XDATCAR, 1 copies, 1 of other kinds"
    assert line in caplog.text and line in broken.attrs["passed_over"]


def test_a_folder_is_read_through_links_once_and_never_waits(tmp_path):
    put(tmp_path, {"real/a.cif": CIF, "other/b.cif": CIF})
    (tmp_path / "data").mkdir()
    for name in ("real", "other"):
        (tmp_path / "data" / name).symlink_to(tmp_path / name)
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "gone.cif").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "data" / "pipe.cif")
    found, broken = read_generated(tmp_path / "data", workers=1)
    assert found["id"].tolist() == ["other/b.cif", "real/a.cif"]
    assert dict(broken[["id", "reason"]].to_numpy()) == {
        "gone.cif": "cannot be read (No such file or directory)", "pipe.cif": "no regular file",
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize("format", ["cif", "poscar", "extxyz"])
def test_any_encoding_is_read(encoding, format):
    text = {"cif": CIF.replace("data_", "# a\ndata_", 1), "poscar": POSCAR, "extxyz": EXTXYZ}[format]
    text = text if encoding != "latin-1" else text.replace("# a", "# Å").replace("Na4 Cl4", "Å", 1).replace("pbc=", "unit=Å pbc=")
    (found,) = read_text(text.replace("\n", "\r\n").encode(encoding), format)
    assert found.reason is None and found.structure.formula == ("Cs1 Cl1" if format == "extxyz" else "Na4 Cl4")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_in_any_encoding_is_read(tmp_path, encoding):
    pd.DataFrame({"id": ["a"], "cif": [CIF]}).to_csv(tmp_path / "t.csv", index=False, encoding=encoding)
    assert load_source(tmp_path / "t.csv")["id"].tolist() == ["a"]


def test_charges_and_deuterium_are_alike_in_every_format():
    charged = Structure(Lattice.cubic(4), ["Na+", "D"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    rows = "Na+ 0 0 0\nD 2 2 2\n"
    texts = {
        "cif": charged.to(fmt="cif"),
        "poscar": "x\n4\n1 0 0\n0 1 0\n0 0 1\nNa+ D\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n",
        "extxyz": EXTXYZ.replace("Cs 0 0 0\nCl 2 2 2\n", rows),
    }
    for format, text in texts.items():
        (found,) = read_text(text, format)
        assert list(found.structure.atomic_numbers) == [11, 1], format
        assert format == "cif" or any("deuterium" in note for note in found.notes), format


RES = "TITL x\nREM by hand\nCELL 1.54180 4 4 4 90 90 90\nLATT -1\nSFAC Cs Cl\nCs 1 0 0 0 1.0\nCl 2 0.5 0.5 0.5 1.0\nEND\n"
CSSR = (
    "4.0 4.0 4.0\n90 90 90 SPGR = 1 P 1 OPT = 1\n2 0\n0 x : x\n1 Cs 0.0 0.0 0.0 0 0 0 0 0 0 0 0 0.0\n2 Cl 0.5 0.5 0.5 0 0 0 0 0 0 0 0 0.0\n"
)


@pytest.mark.parametrize(("format", "text", "reason"), [
    ("res", RES, None),
    ("res", RES.replace("LATT -1\n", ""), "LATT 1; expected LATT -1"),
    ("res", RES.replace("LATT -1", "LATT -1\nSYMM -X, -Y, Z"), "a SYMM line"),
    ("res", RES.replace("0.5 1.0", "0.5 0.5"), "partial occupancies"),
    ("res", RES.replace("Cl 2 ", "Cl 3 "), "expected an atom"),
    ("res", "TITL x\nLATT -1\n", "lacks CELL, SFAC or atoms"),
    ("cssr", CSSR, None),
    ("cssr", CSSR.replace("SPGR = 1 P 1", "SPGR = 221 Pm-3m"), "space group 221; expected 1"),
    ("cssr", CSSR.replace("2 0\n", "3 0\n"), "3 atoms by its third line and 2 lines"),
    ("cssr", CSSR.replace("2 0\n", "2 1\n"), "Cartesian coordinates"),
    ("cssr", "4\n", "expected cell, count, title and atoms"),
])  # fmt: skip
def test_formats_without_symmetry_are_read_and_with_it_refused(format, text, reason):
    (found,) = read_text(text, format)
    if reason:
        assert found.structure is None and reason in found.reason
    else:
        assert found.structure.formula == "Cs1 Cl1" and found.structure.lattice.a == 4


def test_every_block_and_frame_is_a_crystal_in_every_door(tmp_path):
    put(tmp_path, {"three.cif": CIF + CAESIUM.to(fmt="cif") + ALLOY.to(fmt="cif"), "gen.extxyz": EXTXYZ * 24, "one.xyz": EXTXYZ})
    ids = [f"gen.extxyz:{place}" for place in range(24)] + ["one.xyz"]
    strict = load_source(tmp_path)
    assert strict["id"].tolist()[:25] == ids and len(strict) == 28 and strict["id"].is_unique
    assert strict["formula"].tolist()[25:] == ["Na4Cl4", "Cs1Cl1", "Al1Ni1"]
    for table in (read_generated(tmp_path)[0], cg.read_crystals(tmp_path), cg.read_crystals([tmp_path])):
        assert table["id"].tolist() == strict["id"].tolist() and table["formula"].tolist() == strict["formula"].tolist()
    rows = cg.read_crystals(pd.DataFrame({"id": ["a", "b"], "cif": [CIF, CIF + ALLOY.to(fmt="cif")], "energy": [1.0, 2.0]}))
    assert rows["energy"].tolist() == [1.0, 2.0, 2.0] and rows["id"].is_unique


def test_train_takes_every_frame(tmp_path, monkeypatch, crystals):
    monkeypatch.setattr(paths, "STUDIES", tmp_path / "studies")
    write_structure_files(crystals, tmp_path / "x", "extxyz")
    files = sorted((tmp_path / "x").iterdir())
    put(tmp_path / "data", {"gen.extxyz": "".join(file.read_text() for file in files)})
    write_study(tmp_path / "data", name="h")
    assert f"UniMat on {len(files)} crystals" in (tmp_path / "studies" / "h" / "study.yaml").read_text()


def test_what_was_changed_on_the_way_is_in_the_row_and_said(tmp_path, caplog):
    put(tmp_path, {"a.cif": CIF, "b.vasp": POSCAR.replace("Na Cl", "NA CL", 1)})
    found, _ = read_generated(tmp_path, workers=1)
    assert found["reading_notes"].tolist() == ["", "NA read as Na; CL read as Cl"]
    assert "changed on the way: NA read as Na (1), CL read as Cl (1)" in caplog.text
    write_crystals(found, tmp_path / "t.parquet")


def test_one_way_to_raise_and_one_to_collect(tmp_path):
    put(tmp_path, {"good.cif": CIF} | {f"bad-{place:02d}.vasp": NAMELESS for place in range(12)})
    found, broken = read_generated(tmp_path, workers=1)
    assert found["id"].tolist() == ["good.cif"] and broken["reason"].str.contains("elements are named nowhere").all()
    expected = "12 of 13 crystals cannot be read: bad-00.vasp: its elements are named nowhere.*; and 2 more"
    for door in (load_source, cg.read_crystals, lambda path: cg.match(path, SALT)):
        with pytest.raises(CrystalTableError, match=expected):
            door(tmp_path)
    assert cg.read_crystals(tmp_path, skip_broken=True)["id"].tolist() == ["good.cif"]


@pytest.mark.parametrize("command", [
    "evaluate {data} --reference {reference} --cutoffs none --workers 1", "relax {data} --workers 1", "dft-inputs {data} --preset gpaw",
    "dft-inputs {data} --preset A", "dft-inputs {data} --preset B",
])  # fmt: skip
def test_nothing_readable_is_one_line_with_the_reason(tmp_path, command, capsys):
    put(tmp_path / "data", {"plain.xyz": "1\nplain\nCs 0 0 0\n", "MgO.vasp": NAMELESS})
    put(tmp_path / "reference", {"a.cif": CIF})
    words = command.format(data=tmp_path / "data", reference=tmp_path / "reference").split()
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "2 of 2 crystals cannot be read: MgO.vasp: its elements are named nowhere" in line and "plain.xyz: no cell" in line
    assert not (tmp_path / "out").exists()


def reference_csv(path, good: int, bad: int, **columns):
    frame = pd.DataFrame(
        {"material_id": [f"r{i}" for i in range(good + bad)], "cif": [CIF, CAESIUM.to(fmt="cif")] * (good // 2) + ["x"] * bad}
    )
    frame.assign(**columns).to_csv(path, index=False)
    return path


def test_a_csv_keeps_its_split_and_energies_as_a_reference(tmp_path):
    path = reference_csv(tmp_path / "ref.csv", 4, 0, split=["train", "val", "val", "train"], formation_energy_per_atom=[-1, -2, None, 0])
    found, _ = read_generated(path, workers=1)
    assert found["split"].tolist() == ["train", "val", "val", "train"] and found["energy_source"].tolist() == ["ref", "ref", None, "ref"]
    np.testing.assert_array_equal(found["formation_energy_per_atom"], [-1, -2, np.nan, 0])
    facts = cg.evaluate(SALT, path, split="val", cutoffs=None, workers=1).facts
    assert facts["Reference"] == f"{path}, its val side: 2 crystals"
    with pytest.raises(CrystalTableError, match=r"ref.csv: row 0 \(id 'r0'\), column 'split': got 'training', expected"):
        read_generated(reference_csv(path, 2, 0, split="training"))
    with pytest.raises(CrystalTableError, match="ref.csv: column 'formation_energy_per_atom': .*expected numbers"):
        read_generated(reference_csv(path, 2, 0, formation_energy_per_atom="low"))


def test_broken_files_of_a_reference_are_said_and_end_the_run_above_a_share(tmp_path, caplog):
    facts = cg.evaluate(SALT, reference_csv(tmp_path / "ref.csv", 20, 2), cutoffs=None, workers=1).facts
    assert "20 crystals, 2 that cannot be read left out" in facts["Reference"] and "ref.csv: 2 of 22 left out, e.g. r20: " in caplog.text
    with pytest.raises(CrystalTableError, match="a reference, of which at most 10% may be broken: 3 of 23 crystals cannot be read: r20"):
        cg.evaluate(SALT, reference_csv(tmp_path / "ref.csv", 20, 3), cutoffs=None, workers=1)
    with pytest.raises(CrystalTableError, match="at most 10% may be broken"):
        cg.evaluate(SALT, SALT, reference_csv(tmp_path / "ref.csv", 2, 3), cutoffs=None, workers=1)


def test_partial_periodicity_has_one_name(tmp_path):
    slab = Atoms("CsCl", [[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=[True, True, False])
    layered = Structure(Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["Cs"], [[0, 0, 0]])
    (tmp_path / "slab.extxyz").write_text(EXTXYZ.replace('"T T T"', '"T T F"'))
    for item in (slab, layered, tmp_path / "slab.extxyz"):
        with pytest.raises(CrystalTableError, match="periodic in two directions, expected three"):
            cg.read_crystals(item)


def test_inputs_are_written_for_those_that_have_a_potential(tmp_path, capsys):
    put(tmp_path / "mixed", {"A.cif": CIF, "B.cif": caesium_chloride(4, "Lr", "O").to(fmt="cif"), "C.cif": CAESIUM.to(fmt="cif")})
    for preset in ("A", "B"):
        assert main(["dft-inputs", str(tmp_path / "mixed"), "--preset", preset, "--out", str(tmp_path / preset)]) == 0
        assert "2 crystals:" in capsys.readouterr().out
        assert sorted(path.name for path in (tmp_path / preset).iterdir()) == ["0000-Na4Cl4", "0001-Cs1Cl1", "manifest.json", "run.sh"]
        assert '"reason": "preset ' + preset + ' has no potential of Lr"' in (tmp_path / preset / "manifest.json").read_text()
    assert main(["dft-inputs", str(tmp_path / "mixed" / "B.cif"), "--out", str(tmp_path / "none")]) == 1
    assert "nothing to write inputs for: B.cif: preset A has no potential of Lr" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    pseudo = ["--preset", "espresso", "--pseudo", "Na=Na.UPF,Cl=Cl.UPF"]
    assert main(["dft-inputs", str(tmp_path / "mixed"), *pseudo, "--out", str(tmp_path / "qe")]) == 0
    assert [path.name for path in (tmp_path / "qe").iterdir()] == ["A"]
    assert "1 crystal:" in capsys.readouterr().out


def test_files_of_one_stem_get_a_folder_each(tmp_path):
    put(tmp_path / "data", {"TaB.cif": CIF, "TaB.vasp": CAESIUM.to(fmt="poscar"), "other.cif": CIF, "deep/TaB.cif": CIF})
    with gzip.open(tmp_path / "data" / "POSCAR_x.gz", "wt") as file:
        file.write(POSCAR)
    assert main(["dft-inputs", str(tmp_path / "data"), "--preset", "gpaw", "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["POSCAR_x", "TaB.cif", "TaB.vasp", "deep_TaB", "other"]


@pytest.mark.parametrize(("name", "plain"), [("a.cif", "a"), ("a.cif.gz", "a"), ("x/a.vasp", "x/a"), ("POSCAR", "POSCAR"), ("a.b", "a.b"),
                                             ("three.cif:1", "three.cif:1")])  # fmt: skip
def test_a_name_without_its_format(name, plain):
    assert without_suffix(name) == plain


def test_outputs_are_named_inside_reports_whatever_the_input_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    put(tmp_path / "data" / "sub", {"a.cif": CIF})
    monkeypatch.chdir(tmp_path / "data" / "sub")
    for given in ("..", "."):
        assert main(["evaluate", given, "--reference", given, "--cutoffs", "none", "--workers", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "reports" / "evaluate").iterdir()) == ["__", "sub"]


def test_one_atom_in_no_order_is_a_row(tmp_path):
    alloy = Structure(Lattice.cubic(3), [{"Ta": 0.5, "W": 0.5}], [[0, 0, 0]])
    found, broken = read_generated(put(tmp_path, {"a.cif": alloy.to(fmt="cif"), "b.cif": generic(1, ["Ta", "B"]).to(fmt="cif")}), workers=1)
    assert len(found) == 1 and "partial occupancies" in broken["reason"][0]
