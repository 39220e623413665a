"""Results per crystal, kept by content, so that a killed run loses nothing and an unchanged one is instant."""

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib
import numpy as np
from pymatgen.core import Structure
from tqdm import tqdm

from crystalgen.utils.code_digest import function_digest
from crystalgen.utils.files import atomic, write_json
from crystalgen.utils.limited_map import map_limited
from crystalgen.utils.timeout import TimeLimit

_DIGITS = 8  # of Å and of fractional coordinates; what differs less is one crystal
_SPAN = 64  # batches that are in one file of results with a limit


@dataclass(frozen=True)
class Limited:
    """A limit of CPU time of one item (see `map_limited`).

    seconds: of one item. late: the result of an item that took longer, by the reason. prepare: called in a process before its items.
    """

    seconds: float
    late: Callable[[str], dict]
    prepare: Callable[[], object] | None = None


def compute(function: Callable[..., dict], structures: Sequence[Structure], settings: dict, basis: list, folder: Path,
            workers: int = 1, batch: int = 1, shipped: Path | None = None, version: int | None = None,
            limited: Limited | None = None) -> list[dict]:  # fmt: skip
    """`function(structure, **settings)` of each structure, in order; what is in `folder` or `shipped` already is only read.

    Args:
        function: its name, its settings, the code that it reaches and `basis` are part of what a result is kept under.
        structures: equal ones are computed once.
        settings: the function's further arguments, JSON values.
        basis: what else a result depends on, such as `versions` of packages; JSON values.
        folder: where finished batches are kept, one file each.
        workers: processes; in this one if 1.
        batch: structures per file; a killed run loses the batches at work.
        shipped: a folder of packed results (see `pack`), never written to.
        version: stands for the code, of results that took hours: they are computed anew when it is counted up, and not with every edit.
        limited: of the time of one structure; its seconds are part of what a result is kept under.
    """
    code = function_digest(function) if version is None else version
    base = json.dumps([settings, code, *([limited.seconds] if limited else []), *basis], sort_keys=True)
    items = [(_key(base, structure), structure) for structure in structures]
    return compute_keyed(function, items, settings, folder, workers, batch, shipped=shipped, limited=limited)


def compute_keyed(function: Callable[..., dict], items: Sequence[tuple[str, object]], settings: dict, folder: Path, workers: int = 1,
                  batch: int = 1, unit: str = "crystal", shipped: Path | None = None,
                   limited: Limited | None = None, keep: Callable[[dict], bool] = lambda result: True) -> list[dict]:  # fmt: skip
    """`compute` of anything: `items` are pairs of what a result is kept under and the function's first argument.

    Only results that `keep` says true of are in the folder for a further run.
    """
    folder = Path(folder) / function.__name__
    known = (_read(Path(shipped) / function.__name__) if shipped else {}) | _read(folder)
    missing = {key: argument for key, argument in items if key not in known}
    run = _run if limited is None else partial(_run_limited, limited)
    for results in run(function, list(missing.items()), settings, workers, batch, unit):
        if lasting := {key: result for key, result in results.items() if keep(result)}:
            write_json(lasting, folder / f"{digest(''.join(lasting))}.json")
        known |= results
    return [known[key] for key, _ in items]


def pack(function: Callable[..., dict], folder: Path, target: Path) -> int:
    """Add one file to `target`, for `compute` to read as `shipped`: the results in `folder` that `target` lacks; returns how many."""
    folder, target = Path(folder) / function.__name__, Path(target) / function.__name__
    packed = _read(target)
    new = {key: result for key, result in sorted(_read(folder).items()) if key not in packed}
    if new:
        with atomic(target / f"{digest(''.join(new))}.json.gz") as partial:
            text = json.dumps(new, separators=(",", ":")).encode()
            partial.write_bytes(gzip.compress(text, mtime=0))  # equal results, equal bytes
    return len(new)


def versions(*packages: str) -> list[str]:
    """Return the versions of installed packages.

    Raises:
        ModuleNotFoundError: one is not installed.
    """
    try:
        return [version(package) for package in packages]
    except PackageNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is not installed; pip install it, as requirements.lock pins it if it does") from None


def _run(function: Callable[..., dict], items: list, settings: dict, workers: int, batch: int, unit: str) -> Iterator[dict]:
    batches = [items[i : i + batch] for i in range(0, len(items), batch)]
    runner = joblib.Parallel(n_jobs=min(workers, max(len(batches), 1)), return_as="generator_unordered")
    jobs = (joblib.delayed(_run_batch)(function, part, settings) for part in batches)
    with tqdm(total=len(items), desc=function.__name__, unit=unit, mininterval=5, disable=not items) as bar:
        for results in runner(jobs):
            bar.update(len(results))
            yield results


def _run_limited(limited: Limited, function: Callable[..., dict], items: list, settings: dict, workers: int, batch: int,
                 unit: str) -> Iterator[dict]:  # fmt: skip
    with tqdm(total=len(items), desc=function.__name__, unit=unit, mininterval=5, disable=not items) as bar:
        for start in range(0, len(items), _SPAN * batch):
            keys, arguments = zip(*items[start : start + _SPAN * batch], strict=True)
            found = map_limited(partial(function, **settings), arguments, workers, limited.seconds, batch, limited.prepare)
            bar.update(len(found))
            yield {key: limited.late(str(one)) if isinstance(one, TimeLimit) else one for key, one in zip(keys, found, strict=True)}


def _run_batch(function: Callable[..., dict], items: list, settings: dict) -> dict:
    return {key: function(argument, **settings) for key, argument in items}


def _read(folder: Path) -> dict:
    known = {}
    for path in [*sorted(folder.glob("*.json.gz")), *sorted(folder.glob("*.json"))]:
        try:
            content = path.read_bytes()
            results = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
            if not isinstance(results, dict) or not all(isinstance(result, dict) for result in results.values()):
                raise ValueError("holds no results")
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            print(f"{path}: torn ({type(error).__name__}: {error}); its results are computed again", file=sys.stderr)
            continue
        known |= results
    return known


def _key(base: str, structure: Structure) -> str:
    numbers = np.asarray(structure.atomic_numbers, dtype="<i8")
    geometry = [np.round(a, _DIGITS).astype("<f8") + 0.0 for a in (structure.lattice.matrix, structure.frac_coords)]  # no -0.0
    return digest(base, numbers.tobytes(), *(a.tobytes() for a in geometry))


def digest(*parts: str | bytes) -> str:
    """24 hexadecimal digits that stand for the parts, one after the other."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part.encode() if isinstance(part, str) else part)
    return hasher.hexdigest()[:24]
