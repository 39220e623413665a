"""Files written whole, so that a run killed while writing leaves the file that was there before, and their hashes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the name of `path` at the end."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    yield partial
    partial.replace(path)


def write_json(content, path: str | Path) -> None:
    """Write JSON with a stable layout."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def check_empty(folder: str | Path) -> None:
    """Raise ValueError where a folder to be filled holds something already."""
    if Path(folder).exists() and any(Path(folder).iterdir()):
        raise ValueError(f"{folder}: holds something; expected a new or empty folder, so that no run is overwritten")


def file_hash(path: str | Path) -> str:
    """First 16 hex digits of the file's SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
