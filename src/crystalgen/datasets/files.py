"""Structure files of a folder or archive, as bytes; what is no such file is passed over and counted, and nothing is unpacked to disk."""

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from crystalgen.crystals import CrystalTableError
from crystalgen.crystals.reading import is_structure_file
from crystalgen.datasets.archives import MAX_FILE, is_archive, most_unpacked, read_archive

_BACKUPS = {".bak", ".backup", ".orig", ".old", ".save", ".swp", ".swo", ".swn", ".tmp", ".temp", ".part", ".crdownload", ".rej"}
_COPY = re.compile(r"(copy of )?(?P<stem>.+?)( - copy( \(\d+\))?| copy( \d+)?|-copy\d*)?", re.I)
_LISTED = 6  # kinds of files that a line names
_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_MAX_PLAIN = 1_000_000_000  # bytes of a file that is not compressed


@dataclass(frozen=True)
class File:
    """A structure file: its name within the folder or archive, and its content or the reason why there is none."""

    name: str
    content: bytes | None
    reason: str | None = None


def find_files(path: Path) -> tuple[list[File], Counter]:
    """Return the structure files of a folder or an archive or a file that is one, by name, and how many others there are of each kind.

    Hidden files (of macOS and Jupyter too), backups and exact copies of a file beside them are counted among the others.

    Raises:
        CrystalTableError: the path is none of these, or an archive that cannot be read; naming it.
    """
    passed: Counter = Counter()
    if path.is_dir():
        given = _below(path)
    elif is_archive(path):
        given = read_archive(path, lambda name: _kind(name) is None)
    elif is_structure_file(path):
        return [_unpacked(_read(path, path.name))], passed
    else:
        raise CrystalTableError(
            f"{path}: expected a folder, .zip or .tar of structure files, .cif, .extxyz, POSCAR, .csv with a column 'cif', .pt or .parquet"
        )
    found = []
    for name, content, reason in given:
        name = name.encode(errors="surrogateescape").decode(errors="replace")  # of a name that is not UTF-8
        kind = _kind(PurePosixPath(name))
        if kind == "hidden" or (kind and not reason):
            passed[kind] += 1
        else:
            found.append(_unpacked(File(name, content, reason)))
    contents = {file.name: file.content for file in found}
    copies = {file.name for file in found if _is_copy(file, contents)}
    if copies:
        passed["copies"] += len(copies)
    kept = [file for file in found if file.name not in copies]
    return sorted(kept, key=lambda file: PurePosixPath(file.name).parts), passed


def passed_over(passed: Counter) -> str | None:
    """Return a line such as "passed over 5 files: 3 hidden, 2 .pdb"; None where there are none."""
    if not passed:
        return None
    kinds = sorted(passed.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [f"{count} {kind}" for kind, count in kinds[:_LISTED]]
    named += [f"{rest} of other kinds"] if (rest := sum(count for _, count in kinds[_LISTED:])) else []
    return f"passed over {passed.total()} file{'s' if passed.total() > 1 else ''}: {', '.join(named)}"


def _kind(name: PurePosixPath) -> str | None:
    """What a name that is no structure file's is called in the line; None of a structure file's."""
    last = name.name
    if "__MACOSX" in name.parts or any(part.startswith(".") and part not in (".", "..") for part in name.parts):
        return "hidden"
    if last.endswith("~") or last.startswith(("#", "~$")) or name.suffix.lower() in _BACKUPS:
        return "backups"
    if is_structure_file(name):
        return None
    return name.suffix or (last if re.fullmatch(r"[A-Z]+", last) else "without a suffix")  # as VASP calls its files


def _below(folder: Path) -> Iterator[tuple[str, bytes | None, str | None]]:
    """Every file below a folder, through links too, each folder once."""
    seen = {os.path.realpath(folder)}
    denied: list[OSError] = []
    for home, folders, files in os.walk(folder, followlinks=True, onerror=denied.append):
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(home, name))
            if real in seen:
                folders.remove(name)
            seen.add(real)
        folders.sort()
        for name in files:
            file = Path(home, name)
            relative = file.relative_to(folder).as_posix()
            known = _kind(PurePosixPath(relative)) is None
            read = _read(file, relative) if known else File(relative, b"")
            yield read.name, read.content, read.reason
    for error in denied:
        yield Path(error.filename).relative_to(folder).as_posix(), None, f"a folder that cannot be read ({error.strerror})"


def _read(file: Path, name: str) -> File:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return File(name, None, "no regular file")
        if status.st_size > _MAX_PLAIN:
            return File(name, None, f"a file of {status.st_size} bytes; expected at most {_MAX_PLAIN}")
        return File(name, file.read_bytes())
    except OSError as error:
        return File(name, None, f"cannot be read ({error.strerror})")


def _unpacked(file: File) -> File:
    """The file without its compression, as far as its size is one of a structure file."""
    suffix = PurePosixPath(file.name).suffix.lower()
    if file.content is None or suffix not in _OPENERS:
        return file
    content, reason = unpack(file.content, suffix)
    return File(file.name, content, reason)


def unpack(content: bytes, suffix: str, most: int = MAX_FILE) -> tuple[bytes | None, str | None]:
    """Return what compressed bytes hold, or None and the reason: cut, damaged, or too large, of which no more than the limit is made."""
    most = most_unpacked(len(content), most)
    try:
        with _OPENERS[suffix](io.BytesIO(content)) as stream:
            found = stream.read(most + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        return None, f"not a whole {suffix} file ({error})"
    return (found, None) if len(found) <= most else (None, f"more than {most} bytes when unpacked")


def _is_copy(file: File, contents: dict[str, bytes | None]) -> bool:
    """Whether it is called a copy of a file beside it and is one, byte by byte."""
    path = PurePosixPath(file.name)
    match = _COPY.fullmatch(path.stem)
    original = path.with_name(match["stem"] + path.suffix) if match else path
    return original != path and file.content is not None and contents.get(str(original)) == file.content
