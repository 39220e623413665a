"""Archives as people send them: nothing outside is touched, no bomb is unpacked, and whatever is wrong is one line or a row."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile

import pandas as pd
import pytest
from conftest import caesium_chloride, rocksalt

import crystalgen as cg
from crystalgen.cli import main
from crystalgen.crystals import CrystalTableError
from crystalgen.datasets import archives
from crystalgen.datasets.generated import read_generated

SALT, CAESIUM = (structure.to(fmt="cif").encode() for structure in (rocksalt(5.6), caesium_chloride(4.1, "Cs", "Cl")))


def zipped(path, members: dict[str, bytes], method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name) if method == zipfile.ZIP_STORED else name, content)
    return path


def tarred(path, members: dict[str, bytes], mode="w", kinds: dict[str, tuple[bytes, str]] | None = None):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, (kind, target) in (kinds or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return path


def with_flag(path, flag: int):
    """Set a flag of every member in a zip's local headers and directory."""
    return with_headers(path, (6, 8), lambda old: old | flag)


def with_method(path, method: int):
    """Set the method of compression of every member likewise."""
    return with_headers(path, (8, 10), lambda _: method)


def with_headers(path, places: tuple[int, int], changed):
    """Change the two bytes at a place of each local header, and at another of each entry of the directory."""
    content = bytearray(path.read_bytes())
    for mark, place in zip((b"PK\x03\x04", b"PK\x01\x02"), places, strict=True):
        start = content.find(mark)
        while start >= 0:
            field = slice(start + place, start + place + 2)
            content[field] = struct.pack("<H", changed(struct.unpack("<H", content[field])[0]))
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    return path


GOOD = {"gen/a.cif": SALT, "gen/b.cif": CAESIUM}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "gz called.tar"])
def test_every_archive_is_read(tmp_path, name):
    modes = {"a.tar": "w", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz"}
    path = zipped(tmp_path / name, GOOD) if name == "a.zip" else tarred(tmp_path / name, GOOD, modes.get(name, "w:gz"))
    found, broken = read_generated(path, workers=1)
    assert found["id"].tolist() == ["gen/a.cif", "gen/b.cif"] and broken.empty


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_compression_is_read(tmp_path, method):
    assert len(read_generated(zipped(tmp_path / "a.zip", GOOD, method), workers=1)[0]) == 2


def test_a_zip_made_by_macos_holds_its_crystals_alone(tmp_path, caplog):
    path = zipped(tmp_path / "a.zip", GOOD | {"__MACOSX/gen/._a.cif": b"\0\5\26\7", "gen/.DS_Store": b"x", "__MACOSX/b.cif": b"x"})
    found, broken = read_generated(path, workers=1)
    assert found["id"].tolist() == ["gen/a.cif", "gen/b.cif"] and broken.empty
    assert "a.zip: passed over 3 files: 3 hidden" in caplog.text


REFUSED = {
    "a password": (lambda path: with_flag(zipped(path, GOOD), 0x1), "a.zip: 'gen/.*' is locked by a password"),
    "strong encryption": (lambda path: with_flag(zipped(path, GOOD), 0x41), "a.zip: 'gen/.*' is locked by a password"),
    "an unknown compression": (lambda path: with_method(zipped(path, GOOD), 93), "a.zip: 'gen/.*' is compressed by method 93"),
    "no archive": (lambda path: path.write_bytes(b"PK nothing") and path, "a.zip: not a readable archive"),
    "an empty file": (lambda path: path.write_bytes(b"") or path, "a.zip: not a readable archive"),
    "a cut archive": (lambda path: path.write_bytes(zipped(path, GOOD).read_bytes()[:-30]) and path, "a.zip: not a readable archive"),
    "a bomb": (lambda path: zipped(path, {"a.cif": bytes(20_000_000)}), "would unpack from .* to 20000000 bytes"),
    "nothing": (lambda path: zipped(path, {}), "a.zip: holds no crystals; expected"),
    "no structure files": (lambda path: zipped(path, {"a.png": b"x", "b.png": b"x"}), r"holds no crystals \(passed over 2 files: 2 .png\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_zip_that_cannot_be_read_is_one_line(tmp_path, kind, capsys):
    make, expected = REFUSED[kind]
    path = make(tmp_path / "a.zip")
    with pytest.raises(CrystalTableError, match=expected) as error:
        read_generated(path, workers=1)
    assert "\n" not in str(error.value)
    assert main(["dft-inputs", str(path), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_member_that_is_locked_and_no_crystal_does_not_matter(tmp_path):
    path = zipped(tmp_path / "a.zip", {"notes.txt": b"x"})
    with_flag(path, 0x1)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.cif", SALT)
    assert len(read_generated(path, workers=1)[0]) == 1


def test_a_damaged_member_is_a_row(tmp_path):
    path = zipped(tmp_path / "a.zip", GOOD, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"Cs", b"Rb", 1))
    found, broken = read_generated(path, workers=1)
    assert found["id"].tolist() == ["gen/a.cif"] and broken["id"].tolist() == ["gen/b.cif"]
    assert "damaged in the archive" in broken["reason"][0]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_tar_that_is_cut_or_damaged_loses_nothing_in_silence(tmp_path, name):
    """Python's tarfile takes a block that is no header for the end of the archive."""
    whole = tarred(tmp_path / "whole.tar", GOOD).read_bytes()
    second = 512 + -(-len(SALT) // 512) * 512
    for content in (whole[:second], whole[: second + 100], whole[: second + 600], whole[:second] + b"x" * 512 + whole[second + 512 :]):
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        with pytest.raises(CrystalTableError, match=f"{name}: not a readable archive"):
            read_generated(tmp_path / name, workers=1)


LEAVING = ["../a.cif", "x/../../a.cif", "/abs/a.cif", "//server/a.cif", "C:/a.cif", "..\\a.cif", "C:\\a.cif"]


@pytest.mark.parametrize("name", LEAVING)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_leaves_the_folder_is_a_row_and_writes_nothing(tmp_path, name, kind, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    members = {name: SALT, "b.cif": CAESIUM}
    path = zipped(tmp_path / "a.zip", members) if kind == "zip" else tarred(tmp_path / "a.tar", members)
    found, broken = read_generated(path, workers=1)
    assert found["id"].tolist() == ["b.cif"] and broken["reason"].tolist() == ["its name leads out of the archive's folder"]
    assert main(["dft-inputs", str(path), "--preset", "gpaw", "--out", "runs/new"]) == 0
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()) == [
        path.name,
        "home/runs/new/b/input.json",
    ]
    assert not (tmp_path / "abs").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_or_device_in_a_tar_is_a_row_and_is_not_followed(tmp_path, kind):
    (tmp_path / "secret.cif").write_bytes(CAESIUM)
    path = tarred(tmp_path / "a.tar.gz", {"a.cif": SALT}, "w:gz", {"b.cif": (kind, str(tmp_path / "secret.cif"))})
    found, broken = read_generated(path, workers=1)
    assert found["id"].tolist() == ["a.cif"] and broken["id"].tolist() == ["b.cif"]
    assert "expected the file itself" in broken["reason"][0]


def test_a_link_in_a_zip_is_a_row(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.cif": SALT})
    link = zipfile.ZipInfo("b.cif")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, str(tmp_path / "secret.cif"))
    assert read_generated(path, workers=1)[1]["reason"].tolist() == ["a link; expected the file itself"]


@pytest.mark.parametrize(("name", "opener"), [("a.tar.gz", gzip.open), ("a.tar.bz2", bz2.open), ("a.tar.xz", lzma.open)])
@pytest.mark.parametrize("member", ["a.cif", "a.bin"])
def test_a_tar_is_unpacked_only_as_far_as_a_text_goes(tmp_path, name, opener, member):
    with opener(tmp_path / name, "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        info = tarfile.TarInfo(member)
        info.size = 30_000_000
        archive.addfile(info, io.BytesIO(bytes(30_000_000)))
        archive.addfile(tarfile.TarInfo("b.cif"))
    with pytest.raises(CrystalTableError, match="it would unpack from .* bytes or more; refused above 250 times"):
        read_generated(tmp_path / name, workers=1)


def test_a_header_that_declares_more_than_there_is_needs_no_memory(tmp_path):
    """A pax header's size is read at once, so that 60 GB of it would be asked for."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 60_000_000_000
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(CrystalTableError, match="a.tar.gz: it would unpack"):
        read_generated(tmp_path / "a.tar.gz", workers=1)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_sizes_of_all_files_have_a_limit(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "_MAX_TOTAL", 1000)
    path = zipped(tmp_path / "a.zip", GOOD) if kind == "zip" else tarred(tmp_path / "a.tar", GOOD)
    with pytest.raises(CrystalTableError, match=f"a.{kind}: its structure files would unpack to .* expected at most 1000"):
        read_generated(path, workers=1)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_file_above_the_limit_is_a_row(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILE", len(CAESIUM))
    members = {"a.cif": CAESIUM + b"\n" * 1000, "b.cif": CAESIUM}
    path = zipped(tmp_path / "a.zip", members) if kind == "zip" else tarred(tmp_path / "a.tar", members)
    found, broken = read_generated(path, workers=1)
    assert found["id"].tolist() == ["b.cif"] and "expected at most" in broken["reason"][0]


def test_a_packed_table_is_bounded(tmp_path):
    with gzip.open(tmp_path / "bomb.csv.gz", "wb") as file:
        file.write(b"cif\n" + b" " * 30_000_000)
    with pytest.raises(CrystalTableError, match="bomb.csv.gz: not a readable CSV .more than 10000000 bytes"):
        read_generated(tmp_path / "bomb.csv.gz")
    pd.DataFrame({"cif": [SALT.decode()]}).to_csv(tmp_path / "good.csv.gz", index=False)
    assert len(cg.read_crystals(tmp_path / "good.csv.gz")) == 1
    (tmp_path / "cut.csv.gz").write_bytes((tmp_path / "good.csv.gz").read_bytes()[:100])
    with pytest.raises(CrystalTableError, match="cut.csv.gz: not a readable CSV .not a whole .gz file"):
        read_generated(tmp_path / "cut.csv.gz")


def test_packed_structure_files_are_read_and_bounded(tmp_path):
    for suffix, opener in ((".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)):
        with opener(tmp_path / f"a.cif{suffix}", "wb") as file:
            file.write(SALT)
        with opener(tmp_path / f"bomb.cif{suffix}", "wb") as file:
            file.write(bytes(20_000_000))
    with gzip.open(tmp_path / "POSCAR.gz", "wt") as file:
        file.write(rocksalt(5.6).to(fmt="poscar"))
    (tmp_path / "cut.cif.gz").write_bytes((tmp_path / "a.cif.gz").read_bytes()[:50])
    found, broken = read_generated(tmp_path, workers=1)
    assert found["id"].tolist() == ["POSCAR.gz", "a.cif.bz2", "a.cif.gz", "a.cif.xz"] and found["formula"].eq("Na4Cl4").all()
    assert broken["id"].tolist() == ["bomb.cif.bz2", "bomb.cif.gz", "bomb.cif.xz", "cut.cif.gz"]
    assert broken["reason"].str.contains("when unpacked|not a whole").all()
