"""Files of calculations, plain or packed: what packs them is told by their first bytes, and none is held in memory beyond a bound."""

import bz2
import gzip
import hashlib
import lzma
import stat
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from crystalgen.dft.rows import FailedRun

HEAD, TAIL = 4 << 20, 12 << 20  # bytes of a log that are read from its begin and from its end
_BLOCK = 1 << 20
_SEAM = 64  # bytes of a block that are seen with the next one, more than a mark has
_OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open), (b"\x5d\x00\x00", lzma.open))
_FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x9d", "compress"),
    (b"7z\xbc\xaf", "7z"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
_TORN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class Unreadable(FailedRun):
    """A file that the system does not hand out now; it may at another time."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file to read its unpacked bytes; the block's errors of reading become reasons.

    Raises:
        FailedRun: it is no regular file, cut, or packed by a program that is not read.
        Unreadable: the system refuses it.
    """
    try:
        if (reason := irregular(path)) is not None:
            raise FailedRun(f"{path.name}: {reason}; not opened")
        with path.open("rb") as raw:
            begin = raw.read(6)
        if (foreign := next((name for mark, name in _FOREIGN if begin.startswith(mark)), None)) is not None:
            raise FailedRun(f"{path.name}: packed by {foreign}; expected plain, gzip, bzip2 or xz")
        opener = next((opener for mark, opener in _OPENERS if begin.startswith(mark)), open)
        with opener(path, "rb") as stream:
            yield stream
    except PermissionError:
        raise Unreadable(f"{path.name}: not readable (permission denied)") from None
    except _TORN as error:
        raise FailedRun(f"{path.name}: {type(error).__name__}, packed data cut or damaged: {error}") from None
    except OSError as error:
        raise (FailedRun if isinstance(error, FileNotFoundError) else Unreadable)(
            f"{path.name}: {type(error).__name__}: {error.strerror or error}"
        ) from None


def irregular(path: Path) -> str | None:
    """Return what a path is if not a regular file, None of one; nothing is opened."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "gone"
    except PermissionError:
        raise
    except OSError as error:
        return f"no file ({error.strerror})"
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    return None if stat.S_ISREG(mode) else next((name for test, name in kinds if test(mode)), "a device")


def read_text(path: Path, tail: int | None = None, marks: tuple[bytes, ...] = ()) -> str:
    """Return a log's text: all of it, or its first `HEAD` bytes and its last `tail`, `TAIL` without, where it is larger than both.

    Args:
        path: plain or packed.
        tail: bytes.
        marks: what begins a run; the text begins a few bytes before the last of them.

    Raises:
        FailedRun: it cannot be read.
    """
    kept = -(-(tail or TAIL) // _BLOCK)
    head, end, seam, left_out = b"", deque(), b"", False
    with opened(path) as stream:
        while block := stream.read(_BLOCK):
            joined = seam + block
            seam = block[-_SEAM:]
            if (start := max((joined.rfind(mark) for mark in marks), default=-1)) >= 0:
                head, end, left_out = joined[max(start - _SEAM // 8, 0) :], deque(), False
            elif len(head) < HEAD:
                head += block
            else:
                end.append(block)
                if len(end) > kept + 1:  # the last block may be a short one
                    end.popleft()
                    left_out = True
    last = b"".join(end)
    if left_out:  # whole lines on both sides
        head, last = head[: head.rfind(b"\n") + 1], last[last.find(b"\n") + 1 :]
    return _decoded(head + last)


def is_cut_short(path: Path) -> bool:
    """Return whether `read_text` leaves out the middle of a plain log."""
    return path.stat().st_size > HEAD + TAIL


def ends_of(path: Path, head: int, tail: int) -> tuple[str, str | None]:
    """Return at most so many bytes of a file's begin and, of a plain one, of its end, as text; the begin is what was readable.

    Returns:
        text, and why a packed file could not be read so far, if it could not.

    Raises:
        FailedRun: it is not opened or not handed out.
    """
    got = b""
    try:
        with opened(path) as stream:
            while len(got) < head and (block := stream.read(min(1 << 16, head - len(got)))):
                got += block
                if _is_binary(got[:4096]):
                    return "", None
            if isinstance(stream, gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile):
                return _decoded(got), None
            if len(got) == head and (size := path.stat().st_size) > head:
                stream.seek(-min(tail, size - head), 2)
                got += b"\n" + stream.read(tail)
    except Unreadable:
        raise
    except FailedRun as error:
        if not got and irregular(path):
            raise
        return _decoded(got), str(error)
    return _decoded(got), None


def _decoded(content: bytes) -> str:
    """Return text of UTF-8, or of UTF-16 as a redirection in Windows writes it, with the line ends of Unix."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return content.decode(encoding, errors="replace").replace("\r\n", "\n")


def _is_binary(begin: bytes) -> bool:
    return begin[:2] not in (b"\xff\xfe", b"\xfe\xff") and begin.count(b"\0") > len(begin) // 10


def content_hash(path: Path) -> str:
    """Return 16 hexadecimal digits that stand for a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
