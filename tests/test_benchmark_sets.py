"""Benchmark sets: the manifest's files and no others, from the network or a mirror, as one table with its splits."""

import hashlib
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pooch
import pytest
from conftest import caesium_chloride, generic, rocksalt

from crystalgen.cli import main
from crystalgen.crystals import CrystalTableError, read_crystals
from crystalgen.datasets import benchmarks
from crystalgen.datasets.benchmarks import BenchmarkSet, Manifest, fetch_benchmark, load_benchmark, load_manifest
from crystalgen.datasets.download import Client, DownloadError
from crystalgen.datasets.sources import load_source
from crystalgen.utils import paths

SPLITS = {"train.csv": ["m-1", "m-2"], "val.csv": ["m-3"], "test.csv": ["m-1", "m-4"]}


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Three CSVs as CDVAE's are; the name m-1 stands in two of them."""
    structures = iter([rocksalt(5.6), caesium_chloride(4.1, "Cs", "Cl"), generic(4, ["Ta", "W", "B"]), rocksalt(4.2), rocksalt(5.1)])
    made = {}
    for file, names in SPLITS.items():
        frame = pd.DataFrame({"material_id": names, "cif": [next(structures).to(fmt="cif") for _ in names]})
        frame["formation_energy_per_atom"] = [np.nan, -1.5][: len(names)]
        frame["band_gap"], frame["pretty_formula"], frame["spacegroup.number"] = 0.5, "X", 1
        made[file] = frame.to_csv().encode()
    return made


class Files:
    """Serves files, once the answers planned for a name are used up."""

    def __init__(self, contents: dict[str, bytes]):
        self.contents, self.asked = contents, []
        self.planned: dict[str, list] = {}

    def __enter__(self):
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rpartition("/")[2]
                files.asked.append(name)
                status, length, body = files.planned[name].pop(0) if files.planned.get(name) else (200, None, files.contents[name])
                self.send_response(status)
                self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def manifest(self) -> Manifest:
        return _manifest(self.contents, f"http://127.0.0.1:{self.server.server_port}/data/toy/")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest(contents: dict[str, bytes], url: str = "http://127.0.0.1:9/") -> Manifest:
    files = {name: f"sha256:{sha256(content)}" for name, content in contents.items()}
    return Manifest(sets={"toy": BenchmarkSet(title="Toy", source="here", licence="MIT", url=url, files=files)})


def _client(**settings) -> Client:
    return Client(**{"rate": 1e6, "tries": 3, **settings}, sleep=lambda seconds: None)


def _put(contents: dict[str, bytes], folder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


# The manifest


def test_the_manifest_pins_every_file_of_the_three_sets():
    sets = load_manifest().sets
    assert set(sets) == {"perov_5", "carbon_24", "mp_20"}
    blobs = [blob for known in sets.values() for blob in known.files.values()]
    assert len(set(blobs)) == 9 and all(re.fullmatch("git:[0-9a-f]{40}|sha256:[0-9a-f]{64}", blob) for blob in blobs)
    for name, known in sets.items():
        assert re.fullmatch(rf"https://raw\.githubusercontent\.com/txie-93/cdvae/[0-9a-f]{{40}}/data/{name}/", known.url)
        assert set(known.files) == {"train.csv", "val.csv", "test.csv"}
        assert known.licence and known.source


def test_a_checksum_may_be_the_one_of_git(tmp_path):
    (tmp_path / "file").write_bytes(b"a\r\nb\x00")
    expected = subprocess.run(["git", "hash-object", "--no-filters", "file"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert pooch.file_hash(tmp_path / "file", "git") == expected.stdout.strip()


# Fetching


def test_files_are_fetched_once_and_their_checksums_recorded(contents, tmp_path):
    with Files(contents) as files:
        record = fetch_benchmark("toy", tmp_path, manifest=files.manifest, client=_client())
        assert fetch_benchmark("toy", tmp_path, manifest=files.manifest, client=_client()) == record
        assert files.asked == list(contents)
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*.csv")} == contents
    assert record["licence"] == "MIT"
    assert record["files"] == {name: {"sha256": sha256(content), "checked": True} for name, content in contents.items()}


def test_only_what_is_missing_or_broken_is_fetched(contents, tmp_path):
    _put({"train.csv": contents["train.csv"], "val.csv": b"half"}, tmp_path)
    with Files(contents) as files:
        fetch_benchmark("toy", tmp_path, manifest=files.manifest, client=_client())
        assert files.asked == ["val.csv", "test.csv"]
    assert (tmp_path / "val.csv").read_bytes() == contents["val.csv"]


def test_a_busy_server_and_a_cut_off_file_are_asked_again(contents, tmp_path):
    with Files(contents) as files:
        files.planned = {"train.csv": [(503, None, b""), (200, 10**6, contents["train.csv"][:50])]}
        fetch_benchmark("toy", tmp_path, manifest=files.manifest, client=_client())
        assert files.asked == ["train.csv"] * 3 + ["val.csv", "test.csv"]
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*.csv")} == contents


def test_a_wrong_checksum_is_an_error_that_names_the_file_and_leaves_none(contents, tmp_path):
    with Files({**contents, "val.csv": b"another file"}) as files:
        manifest = _manifest(contents, files.manifest.sets["toy"].url)
        with pytest.raises(DownloadError) as error:
            fetch_benchmark("toy", tmp_path, manifest=manifest, client=_client())
    for part in ("/data/toy/val.csv", sha256(b"another file"), sha256(contents["val.csv"])):
        assert part in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["train.csv"]


def test_a_missing_file_and_a_missing_network_are_named(contents, tmp_path):
    with Files(contents) as files:
        files.planned = {"train.csv": [(404, None, b"")]}
        with pytest.raises(DownloadError, match="train.csv: HTTP 404"):
            fetch_benchmark("toy", tmp_path, manifest=files.manifest, client=_client())
    with pytest.raises(DownloadError, match="train.csv: failed 3 times, at last: ConnectionError"):
        fetch_benchmark("toy", tmp_path, manifest=_manifest(contents), client=_client())
    assert not list(tmp_path.iterdir())


def test_an_unknown_set_says_which_are_known(tmp_path):
    with pytest.raises(DownloadError, match=r"'mp20': no such benchmark set; expected one of \['carbon_24', 'mp_20', 'perov_5'\]"):
        fetch_benchmark("mp20", tmp_path)


# Mirrors


@pytest.mark.parametrize("below", ["toy", "."])
def test_a_mirror_takes_the_place_of_the_network(contents, tmp_path, below):
    _put(contents, tmp_path / "mirror" / below)
    record = fetch_benchmark("toy", tmp_path / "raw", tmp_path / "mirror", _manifest(contents))
    assert {p.name: p.read_bytes() for p in (tmp_path / "raw").glob("*.csv")} == contents
    assert all(facts["checked"] for facts in record["files"].values())


def test_a_wrong_or_missing_file_of_a_mirror_is_named(contents, tmp_path):
    _put({**contents, "test.csv": b"another"}, tmp_path / "mirror" / "toy")
    with pytest.raises(DownloadError) as error:
        fetch_benchmark("toy", tmp_path / "raw", tmp_path / "mirror", _manifest(contents))
    for part in (str(tmp_path / "mirror" / "toy" / "test.csv"), sha256(b"another"), sha256(contents["test.csv"])):
        assert part in str(error.value)
    (tmp_path / "mirror" / "toy" / "test.csv").unlink()
    with pytest.raises(DownloadError, match=r"mirror: lacks toy/test.csv; expected the set's CSVs or toy.parquet"):
        fetch_benchmark("toy", tmp_path / "raw", tmp_path / "mirror", _manifest(contents))


def test_a_mirrored_parquet_is_taken_as_it_is(contents, tmp_path):
    _benchmark_parquet(tmp_path / "toy.parquet")
    record = fetch_benchmark("toy", tmp_path / "raw" / "toy", tmp_path, _manifest(contents))
    assert [facts["checked"] for facts in record["files"].values()] == [False]
    assert fetch_benchmark("toy", tmp_path / "raw" / "toy", tmp_path / "raw", _manifest(contents)) == record  # its own mirror
    table = load_benchmark(tmp_path / "raw" / "toy")
    assert table["split"].tolist() == ["train", "val"]
    assert table["source"].tolist() == ["toy"] * 2
    assert table["space_group"].tolist() == [221] * 2


def _benchmark_parquet(path) -> None:
    columns = {"lattice": [[4.0, 4, 4, 90, 90, 90]] * 2, "z": [[55, 17]] * 2, "frac": [[0.0, 0, 0, 0.5, 0.5, 0.5]] * 2}
    pd.DataFrame({**columns, "split": ["train", "val"]}).to_parquet(path)


# Reading


def test_the_csvs_become_one_table_with_its_splits(contents, tmp_path):
    _put(contents, tmp_path / "toy")
    table = load_benchmark(tmp_path / "toy")
    assert table["split"].tolist() == ["train", "train", "val", "test", "test"]
    assert table["id"].tolist() == ["m-1-train", "m-2", "m-3", "m-1-test", "m-4"]
    assert set(table["source"]) == {"toy"}
    assert table["energy_source"].tolist() == [None, "toy", None, None, "toy"]
    assert table["space_group"].tolist() == [225, 221, 1, 225, 225]
    assert table["band_gap"].tolist() == [0.5] * 5
    assert not {"Unnamed: 0", "cif", "pretty_formula", "spacegroup.number"} & set(table.columns)


def test_a_folder_without_the_set_says_what_was_expected(contents, tmp_path):
    _put({"train.csv": contents["train.csv"]}, tmp_path / "toy")
    with pytest.raises(CrystalTableError, match=r"toy: lacks \['val.csv', 'test.csv'\]; expected .* or toy.parquet"):
        load_benchmark(tmp_path / "toy")


def test_the_command_leaves_a_parquet_that_a_study_can_name(contents, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    monkeypatch.setattr(benchmarks, "load_manifest", lambda: _manifest(contents))
    _put(contents, tmp_path / "mirror" / "toy")
    assert main(["fetch", "toy", "--mirror", str(tmp_path / "mirror")]) == 0
    out = capsys.readouterr().out
    assert "licence: MIT" in out and "train.csv: checksum right" in out and "5 crystals (2 train, 1 val, 2 test)" in out
    path = tmp_path / "raw" / "toy" / "crystals.parquet"
    pd.testing.assert_frame_equal(load_source(path), read_crystals(path))
    assert main(["fetch", "other"]) == 1
    assert "crystalgen: 'other': no such benchmark set" in capsys.readouterr().err
    _benchmark_parquet(tmp_path / "toy.parquet")
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw2")
    assert main(["fetch", "toy", "--mirror", str(tmp_path)]) == 0
    assert "toy.parquet: taken as it is, no checksum is known" in capsys.readouterr().out
