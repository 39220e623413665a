"""Read structure files out of zip and tar archives in memory; what is too large is refused by the sizes that it declares."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from crystalgen.crystals import CrystalTableError

MAX_FILE = 200_000_000  # bytes of one file when unpacked
_MAX_TOTAL = 1_000_000_000  # of an archive's structure files
_MAX_RATIO, _SMALL = 250, 10_000_000  # text shrinks by 5 to 100 times; what does so by more is a bomb where it is not small
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_LOCKED = 0x1 | 0x40  # flags of encryption
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_STREAMS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, struct.error, ValueError,
           NotImplementedError, RuntimeError, KeyError, OverflowError)  # fmt: skip

Member = tuple[str, bytes | None, str | None]  # name, content, reason


def is_archive(path: Path) -> bool:
    """Return whether a name is an archive's."""
    return path.name.lower().endswith((".zip", *_TARS))


def read_archive(path: Path, wanted: Callable[[PurePosixPath], bool]) -> Iterator[Member]:
    """Yield name, content and reason of each file in an archive; of those not wanted, the name alone.

    A wanted member has no content, but a reason, where its name leaves the folder (`..`, absolute), where it is a link or where it is
    damaged. Nothing is written, so that no name can do harm.

    Raises:
        CrystalTableError: no archive, a password, an unknown compression, or a bomb; naming it and what is wrong.
    """
    try:
        yield from (_zip if path.name.lower().endswith(".zip") else _tar)(path, wanted)
    except CrystalTableError:
        raise
    except _DAMAGE as error:
        raise CrystalTableError(f"{path}: not a readable archive ({' '.join(str(error).split()) or type(error).__name__})") from None


def most_unpacked(packed: int, most: int) -> int:
    """Return how many bytes may come of so many, `most` at most."""
    return min(most, max(_SMALL, _MAX_RATIO * packed))


def _zip(path: Path, wanted: Callable) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        members = [(member, member.filename.replace("\\", "/")) for member in archive.infolist() if not member.is_dir()]
        chosen = {member for member, name in members if wanted(PurePosixPath(name))}
        for member in chosen:
            if member.flag_bits & _LOCKED:
                raise CrystalTableError(f"{path}: '{member.filename}' is locked by a password; expected an archive without one")
            if member.compress_type not in _METHODS:
                raise CrystalTableError(
                    f"{path}: '{member.filename}' is compressed by method {member.compress_type}, which Python does not read; "
                    "expected deflate, as `zip` writes it"
                )
            if member.file_size <= MAX_FILE:
                _check_ratio(path, f"'{member.filename}'", member.file_size, member.compress_size)
        _check_total(path, sum(member.file_size for member in chosen))
        for member, name in members:
            if member not in chosen:
                yield name, None, None
                continue
            link = stat.S_ISLNK(member.external_attr >> 16)
            problem = _problem(name, member.file_size, "a link" if link else None)
            try:
                yield name, None if problem else archive.read(member), problem
            except _DAMAGE as error:
                yield name, None, f"damaged in the archive ({error})"


def _tar(path: Path, wanted: Callable) -> Iterator[Member]:
    """Member after member, since to reach one of a compressed archive is to unpack all before it."""
    with path.open("rb") as file:
        head, packed = file.read(6), path.stat().st_size
        file.seek(0)
        opener = next((opener for mark, opener in _STREAMS if head.startswith(mark)), None)
        bounded = _Bounded(opener(file) if opener else file, path, packed if opener else None)
        total = 0
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            for member in archive:
                name = member.name.replace("\\", "/")
                if member.isdir():
                    continue
                if not wanted(PurePosixPath(name)):
                    yield name, None, None
                    continue
                total += member.size
                _check_total(path, total)
                link = f"a link to '{member.linkname}'" if member.islnk() or member.issym() else None
                problem = _problem(name, member.size, link or (None if member.isfile() else "no regular file"))
                yield name, None if problem else archive.extractfile(member).read(), problem
            if bounded.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes any block that is no header for the end
                raise tarfile.ReadError(f"cut or damaged after {len(archive.getmembers())} members")


def _problem(name: str, size: int, kind: str | None) -> str | None:
    if name.startswith("/") or PureWindowsPath(name).drive or ".." in PurePosixPath(name).parts:
        return "its name leads out of the archive's folder"
    if kind:
        return f"{kind}; expected the file itself"
    return f"a file of {size} bytes; expected at most {MAX_FILE}" if size > MAX_FILE else None


def _check_ratio(path: Path, what: str, size: int, packed: int) -> None:
    if size > most_unpacked(packed, size):
        raise CrystalTableError(
            f"{path}: {what} would unpack from {packed} to {size} bytes or more; refused above {_MAX_RATIO} times, since no text shrinks so"
        )


def _check_total(path: Path, size: int) -> None:
    if size > _MAX_TOTAL:
        raise CrystalTableError(f"{path}: its structure files would unpack to {size} bytes or more; expected at most {_MAX_TOTAL}")


class _Bounded(io.RawIOBase):
    """A stream that unpacks only as many bytes as an archive of text may hold, whatever the sizes in its headers say."""

    def __init__(self, stream, path: Path, packed: int | None):
        self.stream, self.path, self.packed, self.last = stream, path, packed, b""

    def _check(self, end: int) -> None:
        if self.packed is not None:
            _check_ratio(self.path, "it", end, self.packed)
            if end > 2 * _MAX_TOTAL:
                raise CrystalTableError(f"{self.path}: unpacks to more than {2 * _MAX_TOTAL} bytes")

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes; all are never asked for."""
        self._check(self.stream.tell() + max(size, 0))
        self.last = self.stream.read(size if size >= 0 else _MAX_TOTAL)
        return self.last

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place counted from the start."""
        self._check(place)
        return self.stream.seek(place, whence)

    def tell(self) -> int:
        """Return the place."""
        return self.stream.tell()

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def readable(self) -> bool:
        """Return that it is."""
        return True
