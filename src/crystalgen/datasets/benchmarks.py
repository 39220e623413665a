"""The benchmark sets of manifest.yaml: fetched or taken from a mirror, checked by pooch, and read into one crystals table."""

import hashlib
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
from pooch.hashes import ALGORITHMS_AVAILABLE
from tqdm import tqdm

from crystalgen.crystals import CrystalTableError, validate
from crystalgen.crystals.schema import COLUMNS
from crystalgen.datasets.download import Client, DownloadError
from crystalgen.datasets.sources import load_source
from crystalgen.utils.files import write_json
from crystalgen.utils.strict import Strict, read_strict

MANIFEST = resources.files("crystalgen.datasets") / "manifest.yaml"
_SPLITS = ("train", "val", "test")
_UNUSED = ("Unnamed: 0", "material_id", "spacegroup.number")  # the CSVs' row numbers, names and groups, which are found anew


class BenchmarkSet(Strict):
    """Files below `url`, each with its checksum: `sha256:` and 64 hex digits, or `git:` and the blob id of `git hash-object`."""

    title: str
    source: str
    licence: str
    url: str
    files: dict[str, str]


class Manifest(Strict):
    """What can be fetched, by name."""

    sets: dict[str, BenchmarkSet]


class _GitBlob:
    """A hasher for pooch: git's sha1 begins with the number of bytes, so that all of them are collected first."""

    def __init__(self):
        self._content = bytearray()
        self.update = self._content.extend

    def hexdigest(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self._content) + self._content).hexdigest()


ALGORITHMS_AVAILABLE["git"] = _GitBlob


def load_manifest(path: Path = MANIFEST) -> Manifest:
    """Read the manifest.

    Raises:
        StudyError: the file is no YAML, or keys are unknown, missing or of the wrong kind.
    """
    return read_strict(Manifest, path)


def fetch_benchmark(
    name: str, folder: Path, mirror: Path | None = None, manifest: Manifest | None = None, client: Client | None = None
) -> dict:
    """Put the set's files into `folder`; what is there and whole stays. Returns and writes `record.json`.

    Args:
        name: a set of the manifest.
        folder: where the files go.
        mirror: a folder to copy from instead of the network: `NAME/train.csv` and so on, these files themselves, or a
            benchmark table `NAME.parquet`, for which no checksum is known.
        manifest: the sets; those of manifest.yaml by default.
        client: asks the network.

    Raises:
        DownloadError: there is no such set or file, or a file is not the one of the manifest.
    """
    sets = (manifest or load_manifest()).sets
    if name not in sets:
        raise DownloadError(f"'{name}': no such benchmark set; expected one of {sorted(sets)}")
    known, table, client = sets[name], f"{name}.parquet", client or Client(tries=3)
    files = known.files
    if mirror is not None and (taken := _mirrored(mirror, name, table)) and not any(_mirrored(mirror, name, file) for file in files):
        files = {table: f"sha256:{pooch.file_hash(taken)}"}
    for file, checksum in files.items():
        source, download = known.url + file, client.download
        if mirror is not None:
            source, download = _mirrored(mirror, name, file), _copy
            if source is None:
                raise DownloadError(f"{mirror}: lacks {name}/{file}; expected the set's CSVs or {table}")
        try:
            pooch.retrieve(str(source), checksum, file, folder, downloader=download)
        except DownloadError:
            raise
        except ValueError as error:
            raise DownloadError(f"{source}: {error}") from None
    sums = {file: {"sha256": pooch.file_hash(folder / file), "checked": file in known.files} for file in files}
    record = {"name": name, **known.model_dump(include={"title", "source", "licence", "url"}), "files": sums}
    write_json(record, folder / "record.json")
    return record


def load_benchmark(folder: str | Path) -> pd.DataFrame:
    """Read the crystals of a set's folder, find space groups, fill in `split` from the names of the CSVs.

    Numeric columns of the CSVs are taken along; `source` is the folder's name.

    Raises:
        CrystalTableError: neither train.csv, val.csv and test.csv nor NAME.parquet are there, or one of them is broken.
    """
    folder = Path(folder)
    parquet = folder / f"{folder.name}.parquet"
    missing = [f"{split}.csv" for split in _SPLITS if not (folder / f"{split}.csv").is_file()]
    if missing and parquet.is_file():
        return load_source(parquet)
    if missing:
        raise CrystalTableError(f"{folder}: lacks {missing}; expected train.csv, val.csv and test.csv, or {parquet.name}")
    table = pd.concat([_read_split(folder / f"{split}.csv") for split in tqdm(_SPLITS, desc=f"reading {folder.name}")], ignore_index=True)
    repeated = table["id"].duplicated(keep=False)
    table["id"] = table["id"].where(~repeated, table["id"] + "-" + table["split"])
    sources = np.where(table["formation_energy_per_atom"].notna(), folder.name, None)
    return validate(table.assign(source=folder.name, energy_source=sources), str(folder))


def _read_split(path: Path) -> pd.DataFrame:
    table, frame = load_source(path), pd.read_csv(path)
    numeric = frame.select_dtypes("number").drop(columns=[*COLUMNS, *_UNUSED], errors="ignore")
    return table.assign(split=path.stem, **{name: numeric[name].to_numpy() for name in numeric})


def _mirrored(mirror: Path, name: str, file: str) -> Path | None:
    return next((p for p in (mirror / name / file, mirror / file) if p.is_file()), None)


def _copy(source: str, path: str, _pooch: object) -> None:
    shutil.copyfile(source, path)
