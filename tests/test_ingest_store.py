"""Ingest loses nothing: every file is read or is a row with its reason, and a row is kept only under all that it depends on."""

import bz2
import gzip
import json
import lzma
import os
import time
from pathlib import Path

import pytest
from dft_case import outcar, pwscf, vasprun

from crystalgen.dft import find, text
from crystalgen.dft.ingest import ingest
from crystalgen.utils import cache

RUN = vasprun()


def _write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def rows(tmp_path):
    """Ingest `runs` with one store; rows as (id, calculation) -> status."""

    def read(**settings) -> dict[tuple[str, str], str]:
        table = ingest(tmp_path / "runs", tmp_path / "kept", workers=1, **settings)
        return dict(zip(zip(table["id"], table["calculation"], strict=True), table["status"], strict=True))

    return read


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("vasprun.xml", ""),
        ("vasprun-static.xml", "static"),
        ("vasprun_static.xml", "static"),
        ("vasprun.static.xml", "static"),
        ("static.vasprun.xml", "static"),
        ("vasprun.xml.static", "static"),
        ("Vasprun.XML", ""),
        ("static_vasprun.relax2.xml", "static_relax2"),
        ("anything.xml", "anything.xml"),
        ("result", "result"),
    ],
)
@pytest.mark.parametrize(("end", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_a_vasprun_is_found_by_any_name_and_packing(tmp_path, rows, name, step, end, pack):
    _write(tmp_path / "runs" / (name + end), pack(RUN.encode()))
    ((key, status),) = rows().items()
    assert key == (".", step + (end if step == name else "")) and status == "converged"


def test_packing_is_told_by_content_and_not_by_name(tmp_path, rows):
    _write(tmp_path / "runs/a/vasprun.xml.gz", RUN)
    _write(tmp_path / "runs/b/vasprun.xml", gzip.compress(RUN.encode()))
    _write(tmp_path / "runs/c/vasprun.xml.bz2", lzma.compress(RUN.encode(), format=lzma.FORMAT_ALONE))
    _write(tmp_path / "runs/d/b.out.gz", pwscf())
    assert set(rows().values()) == {"converged"}


@pytest.mark.parametrize("name", ["pw.log", "slurm-12345", "output", "scf.pwo.1", "b.out", "run.stdout", "log.pwscf", "e", "b.out.xz"])
@pytest.mark.parametrize("noise", ["", "[node07:12345] 3 more processes have sent help message help-mpi-btl-base.txt\n" * 5000])
def test_a_log_of_pwx_is_found_by_any_name_and_after_pages_of_noise(tmp_path, rows, name, noise):
    content = pwscf(noise=noise).encode()
    _write(tmp_path / "runs" / name, lzma.compress(content) if name.endswith(".xz") else content)
    assert list(rows().values()) == ["converged"]


def test_a_log_as_windows_redirects_it_is_read(tmp_path, rows):
    _write(tmp_path / "runs" / "b.out", pwscf().replace("\n", "\r\n").encode("utf-16"))
    assert list(rows().values()) == ["converged"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_cut_packed_file_is_a_row_with_its_reason(tmp_path, rows, pack):
    noise = os.urandom(40_000).hex()  # so that the end is far from the begin
    _write(tmp_path / "runs/a/b.out.gz", pack(pwscf(end=noise).encode())[:-50])
    _write(tmp_path / "runs/b/vasprun.xml.gz", pack(RUN.replace("</modeling>", f"<x>{noise}</x></modeling>").encode())[:-50])
    _write(tmp_path / "runs/c/vasprun.xml", RUN)
    _write(tmp_path / "runs/c/OUTCAR.gz", pack(outcar(before_end=noise).encode())[:-50])
    _write(tmp_path / "runs/d/lost.out.gz", pack(pwscf().encode())[:15])  # cut before the code names itself
    found = rows()
    assert len(found) == 4
    assert all(status.startswith("failed: ") and "packed data cut or damaged" in status for status in found.values()), found


def test_what_packs_a_file_and_is_not_read_is_named(tmp_path, rows):
    _write(tmp_path / "runs/vasprun.xml.zst", b"\x28\xb5\x2f\xfd" + bytes(50))
    _write(tmp_path / "runs/b.out.zip", b"PK\x03\x04" + bytes(50))
    asked = "expected plain, gzip, bzip2 or xz"
    assert list(rows().values()) == [f"failed: vasprun.xml.zst: packed by zstd; {asked}", f"failed: b.out.zip: packed by zip; {asked}"]


def test_links_to_folders_are_followed_once_each(tmp_path, rows):
    _write(tmp_path / "runs/real/vasprun.xml", RUN)
    _write(tmp_path / "elsewhere/vasprun.xml", vasprun(energies=(-7.0, -7.0)))
    (tmp_path / "runs/a-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "runs/another").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "runs/first").symlink_to(tmp_path / "runs/real")
    (tmp_path / "runs/real/loop").symlink_to(tmp_path / "runs")
    (tmp_path / "runs/real/itself").symlink_to(tmp_path / "runs/real/itself")
    assert rows() == {("a-link", ""): "converged", ("real", ""): "converged"}


def test_pipes_and_links_to_nothing_are_rows_and_never_opened(tmp_path, rows):
    folder = tmp_path / "runs"
    _write(folder / "vasprun.xml", RUN)
    os.mkfifo(folder / "OUTCAR")
    os.mkfifo(folder / "b.out")
    os.mkfifo(folder / "vasprun.xml.relax1")
    (folder / "vasprun.xml.relax2").symlink_to("nothing")
    (folder / "vasprun.xml.relax3").symlink_to("/dev/zero")
    start = time.perf_counter()
    found = rows()
    assert time.perf_counter() - start < 10
    assert found == {
        (".", ""): "failed: OUTCAR: a named pipe; not opened",
        (".", "b.out"): "failed: b.out: a named pipe; not opened",
        (".", "relax1"): "failed: vasprun.xml.relax1: a named pipe; not opened",
        (".", "relax2"): "failed: vasprun.xml.relax2: a link to nothing; not opened",
        (".", "relax3"): "failed: vasprun.xml.relax3: a device; not opened",
    }


def test_folders_and_files_that_are_closed_are_rows_until_they_open(tmp_path, rows, monkeypatch):
    _write(tmp_path / "runs/a/vasprun.xml", RUN)
    _write(tmp_path / "runs/closed/vasprun.xml", RUN)
    _write(tmp_path / "runs/b/b.out", pwscf())
    closed, walk, opened = True, os.scandir, Path.open

    def denied(function, name):
        def call(path, *rest, **options):
            if closed and Path(path).name == name:
                raise PermissionError(13, "Permission denied")
            return function(path, *rest, **options)

        return call

    monkeypatch.setattr(find.os, "scandir", denied(walk, "closed"))
    monkeypatch.setattr(Path, "iterdir", denied(Path.iterdir, "closed"))
    monkeypatch.setattr(Path, "open", denied(opened, "b.out"))
    reason = "not readable (permission denied)"
    assert rows() == {("a", ""): "converged", ("b", "b.out"): f"failed: b.out: {reason}", ("closed", ""): f"failed: closed: {reason}"}
    closed = False
    assert rows() == {("a", ""): "converged", ("b", "b"): "converged", ("closed", ""): "converged"}


def test_a_timeout_is_tried_again_and_a_result_is_not(tmp_path, rows, monkeypatch):
    _write(tmp_path / "runs/vasprun.xml", RUN)
    read = []

    def slow(path, out):
        read.append(path)
        deadline = time.perf_counter() + 0.3
        while time.perf_counter() < deadline:
            pass
        return {"status": "converged"}

    monkeypatch.setattr("crystalgen.dft.ingest.read_vasp", slow)
    assert rows(limit=0.1) == {(".", ""): "failed: took longer than 0.1 s"}
    assert rows(limit=5) == {(".", ""): "converged"}
    assert rows(limit=5) == {(".", ""): "converged"}
    assert len(read) == 2


def test_an_unforeseen_failure_is_tried_again(tmp_path, rows, monkeypatch):
    _write(tmp_path / "runs/vasprun.xml", RUN)
    with monkeypatch.context() as patch:
        patch.setattr("crystalgen.dft.ingest.read_vasp", lambda *files: [].pop())
        assert rows() == {(".", ""): "failed: IndexError: pop from empty list"}
    assert rows() == {(".", ""): "converged"}


def test_equal_files_of_other_names_are_judged_each_for_itself(tmp_path, rows):
    for name in ("a/vasprun.xml", "b/OUTCAR", "c/b.out"):
        _write(tmp_path / "runs" / name, RUN)
    assert list(rows().values()) == ["converged", "failed: no vasprun.xml", "converged"]
    (tmp_path / "runs/b/OUTCAR").rename(tmp_path / "runs/b/vasprun.xml")
    assert list(rows().values()) == ["converged"] * 3


def test_copies_that_are_packed_otherwise_are_rows_of_their_own(tmp_path, rows):
    _write(tmp_path / "runs/vasprun.xml", RUN)
    _write(tmp_path / "runs/vasprun.xml.gz", gzip.compress(vasprun(forces=0.8).encode()))
    _write(tmp_path / "runs/OUTCAR", outcar())
    _write(tmp_path / "runs/OUTCAR.gz", gzip.compress(outcar(before_end="").encode()))
    _write(tmp_path / "runs/OUTCAR.bz2", bz2.compress(outcar(before_end="").encode()))
    assert rows() == {
        (".", ""): "converged",
        (".", "vasprun.xml.gz"): "unconverged: ionic steps",
        (".", "OUTCAR.bz2"): "failed: no vasprun.xml",
    }


def test_a_torn_entry_of_the_store_is_named_and_computed_again(tmp_path, rows, capsys):
    _write(tmp_path / "runs/vasprun.xml", RUN)
    assert rows() == {(".", ""): "converged"}
    (entry,) = (tmp_path / "kept").rglob("*.json")
    whole = entry.read_text()
    for torn in (whole[: len(whole) // 2], "", "\0" * 500, "[]", '{"a": 1}', b"\xff\xfe"):
        _write(entry, torn)
        capsys.readouterr()
        assert rows() == {(".", ""): "converged"}
        assert f"{entry.name}: torn" in capsys.readouterr().err.split("kept")[1].replace("/read_calculation/", "")
        assert json.loads(entry.read_text()) == json.loads(whole)


def test_torn_packed_results_are_named(tmp_path, capsys):
    packed = gzip.compress(b'{"key": {"status": "converged"}}')
    _write(tmp_path / "whole.json.gz", packed)
    _write(tmp_path / "torn.json.gz", packed[:-5])
    assert cache._read(tmp_path) == {"key": {"status": "converged"}}
    assert "torn.json.gz: torn" in capsys.readouterr().err


def test_other_files_are_no_calculations(tmp_path, rows):
    for name in (
        "notes.txt",
        "INCAR",
        "POSCAR",
        "run.sh",
        "job.out",
        ".hidden.out",
        "__MACOSX/vasprun.xml",
        "data.bin",
        "plot_OUTCAR.py",
        "vasprun.xml.png",
        "OUTCAR.json",
    ):
        _write(tmp_path / "runs" / name, "nothing of a code" if name != "data.bin" else bytes(5000))
    (tmp_path / "runs" / "README.md").write_text(f"As in\n{pwscf()}")
    with pytest.raises(ValueError, match="no calculations"):
        rows()


def test_a_large_log_is_recognised_and_read_by_its_ends(tmp_path, rows, monkeypatch):
    for name, size in (("HEAD", 20_000), ("TAIL", 30_000), ("_BLOCK", 4_000)):
        monkeypatch.setattr(text, name, size)
    iterations = "     total energy              =     -45.75172043 Ry\n" * 40_000  # 2 MB
    whole = pwscf(scf=2)
    first, _, last = whole.partition("     End of self-consistent calculation")
    large = f"{first}{iterations}     End of self-consistent calculation{last}"
    for name, pack in (("b.out", bytes), ("c.out.gz", gzip.compress)):
        _write(tmp_path / "runs" / name, pack(large.encode()))
    _write(tmp_path / "runs/d.out", pwscf(functional="PZ") + iterations + large)  # another run that begins in the middle
    _write(tmp_path / "runs/noise.log", "nothing of a code\n" * 100_000)
    asked = []
    real = text.opened

    def counting(path):
        asked.append(path.name)
        return real(path)

    monkeypatch.setattr(text, "opened", counting)
    assert rows() == {(".", "b"): "converged", (".", "c"): "converged", (".", "d"): "converged"}
    table = ingest(tmp_path / "runs", tmp_path / "kept", workers=1)
    assert table["settings_id"].nunique() == 1
    assert asked.count("noise.log") == 2, "looked at once by each call, and not read"


def test_names_that_are_not_utf8_are_rows(tmp_path, rows):
    _write(tmp_path / "runs/vasprun.xml", RUN)
    folder = os.fsencode(tmp_path / "runs") + b"/caf\xe9"
    os.mkdir(folder)
    for name in (b"/vasprun-\xff.xml", b"/OUTCAR.\xff2"):
        with open(folder + name, "wb") as stream:
            stream.write(RUN.encode())
    assert rows() == {
        (".", ""): "converged",
        ("caf\\udce9", "\\udcff"): "converged",
        ("caf\\udce9", "\\udcff2"): "failed: no vasprun.xml",
    }
