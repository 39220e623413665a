"""A calculation's text output, plain or gzipped."""

import gzip
import zlib
from pathlib import Path

from crystalgen.dft.rows import FailedRun


def read_text(path: Path) -> str:
    """Read the text of a plain or gzipped file.

    Raises:
        FailedRun: it cannot be read.
    """
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode(errors="replace")
    except PermissionError:
        raise FailedRun(f"{path.name}: not readable (permission denied)") from None
    except (OSError, EOFError, zlib.error) as error:
        raise FailedRun(f"{path.name}: {type(error).__name__}: {error}") from None
