"""A map whose items have a limit of CPU time each, by processes that can be ended, compiled calls included."""

import atexit
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import joblib
from joblib.externals.loky.backend.context import get_context
from joblib.parallel import get_active_backend
from pebble import ProcessExpired, ProcessPool

from crystalgen.utils.timeout import TimeLimit, time_limit

_Item, _Result = TypeVar("_Item"), TypeVar("_Result")
_PLACE = 8  # bytes of an item's number in the file of what is being done
_pools: dict[int, ProcessPool] = {}  # by number of processes; at most one, which stays for the next call


def map_limited(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    limit: float,
    chunk: int = 16,
    prepare: Callable[[], object] | None = None,
) -> list[_Result | TimeLimit]:
    """Return `function` of each item, in order, and a TimeLimit in place of each that took too long.

    Processes do the work, and the system ends one whose item is over its limit; a new process goes on with the rest. CPU time is
    counted, so that a busy machine changes no result. The wall clock, ten times the limit and a minute, ends only what waits for
    something that never comes. Processes stay for the next call: the first takes 2 s to start them, a further one next to nothing.

    Where `joblib.parallel_config` names another way, such as a Dask cluster, and on systems without such timers, items go that way,
    each limited by the clock, and a compiled call is not ended.

    Args:
        function: of a module, since processes import it.
        items: what it is called with; these and the results are pickled.
        workers: processes.
        limit: s of CPU time of one item, all threads of its process together.
        chunk: items that go to a process at once; more of them cost less each and share the work less evenly.
        prepare: called in a process before its items, whose time it does not count for, such as what compiles.

    Raises:
        Exception: what `function` raised, for the first chunk in order that has such an item.
        RuntimeError: a process died of something else, such as lack of memory; the message names the item.
    """
    items = list(items)
    parts = [range(start, min(start + chunk, len(items))) for start in range(0, len(items), chunk)]
    backend, _ = get_active_backend()
    if type(backend).__name__ != "LokyBackend" or not hasattr(signal, "setitimer"):
        jobs = (joblib.delayed(_run_by_the_clock)(function, [items[i] for i in part], limit, prepare) for part in parts)
        return [result for part in joblib.Parallel(n_jobs=max(1, min(workers, len(parts))))(jobs) for result in part]
    if not items:
        return []
    results: list = [None] * len(items)
    with tempfile.NamedTemporaryFile() as begun:  # at a chunk's first item, the number of the item that it is at
        begun.truncate(_PLACE * len(items))
        pool = _pool(workers)
        queue: deque = deque()

        def schedule(part: Sequence[int]) -> None:
            chosen = [items[i] for i in part]
            queue.append((part, pool.schedule(_run_chunk, (function, part, chosen, begun.name, limit, prepare))))

        try:
            for part in parts:
                schedule(part)
            while queue:
                part, future = queue.popleft()
                try:
                    for i, result in zip(part, future.result(), strict=True):
                        results[i] = result
                except ProcessExpired as error:
                    late = int.from_bytes(os.pread(begun.fileno(), _PLACE, _PLACE * part[0]), "little")
                    results[late] = _reason(error.exitcode, late, limit)
                    if rest := [i for i in part if i != late]:
                        schedule(rest)
        except BaseException:
            _end()
            raise
    return results


def _pool(workers: int) -> ProcessPool:
    """Processes that start without this program's main module, so that a script needs no guard."""
    if workers not in _pools:
        _end()
        _pools[workers] = ProcessPool(workers, context=get_context("loky"))
    return _pools[workers]


@atexit.register
def _end() -> None:
    while _pools:
        _, pool = _pools.popitem()
        pool.stop()
        pool.join()


def _wall(limit: float) -> float:
    return 10 * limit + 60


def _reason(exitcode: int, item: int, limit: float) -> TimeLimit:
    if exitcode == -signal.SIGPROF:
        return TimeLimit(f"took longer than {limit:g} s")
    if exitcode == -signal.SIGALRM:
        return TimeLimit(f"took longer than {_wall(limit):g} s by the clock")
    raise RuntimeError(f"item {item}: its process ended with exit code {exitcode}")


def _run_chunk(function: Callable, part: Sequence[int], items: list, begun: str, limit: float, prepare: Callable | None) -> list:
    if prepare is not None:
        prepare()
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, limit), (signal.SIGALRM, signal.ITIMER_REAL, _wall(limit)))
    for sent, _, _ in timers:
        signal.signal(sent, signal.SIG_DFL)  # which ends the process
    results = []
    with open(begun, "r+b", buffering=0) as file:
        try:
            for i, item in zip(part, items, strict=True):
                os.pwrite(file.fileno(), i.to_bytes(_PLACE, "little"), _PLACE * part[0])
                for _, timer, seconds in timers:
                    signal.setitimer(timer, seconds)
                results.append(function(item))
        finally:
            for _, timer, _ in timers:
                signal.setitimer(timer, 0)
    return results


def _run_by_the_clock(function: Callable, items: list, limit: float, prepare: Callable | None) -> list:
    if prepare is not None:
        prepare()
    results: list = []
    for item in items:
        try:
            with time_limit(limit):
                results.append(function(item))
        except TimeLimit as error:
            results.append(error)
    return results
