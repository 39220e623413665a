"""A limit on the time that one crystal may take."""

import ctypes
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

_Item, _Result = TypeVar("_Item"), TypeVar("_Result")


class TimeLimit(BaseException):
    """What was asked took longer than it may; no Exception, since libraries catch those and go on."""


def map_limited(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    limit_cpu_seconds: float,
    limit_wall_seconds: float | None = None,
    chunk: int = 16,
) -> list["_Result | TimeLimit"]:
    """Return `function` of each item, in order, and a TimeLimit in place of each that took too long.

    Processes do the work, and the system ends one whose item is over its limit, compiled calls included; a new process
    goes on with the rest. CPU time is counted, so that a busy machine changes no result. The wall clock, ten times the limit and
    a minute without another value, ends only what waits for something that never comes.

    An item costs about 80 µs in chunks of one and 2 µs in chunks of 256, the pool 0.1 s, and a process that is ended as much again.
    Needs a POSIX system; a script that calls it needs the usual `if __name__ == "__main__":`.

    Args:
        function: of a module, since processes import it.
        items: what it is called with; these and the results are pickled.
        workers: processes.
        limit_cpu_seconds: of one item, all threads of its process together.
        limit_wall_seconds: of one item.
        chunk: items that go to a process at once; more of them cost less each and share the work less evenly.

    Raises:
        Exception: what `function` raised, for the first chunk in order that has such an item.
        RuntimeError: a process died of something else, such as lack of memory; the message names the item.
    """
    items = list(items)
    wall = 10 * limit_cpu_seconds + 60 if limit_wall_seconds is None else limit_wall_seconds
    results: list = [None] * len(items)
    context = multiprocessing.get_context("forkserver")  # no copy of this process, whose threads and locks a fork would break
    context.set_forkserver_preload([function.__module__])
    begun = context.RawArray("q", max(1, len(items)))  # at a chunk's first item, the item that it is at

    def schedule(part: Sequence[int]) -> None:
        queue.append((part, pool.schedule(_run_chunk, (part, [items[i] for i in part]))))

    queue: deque = deque()
    with ProcessPool(min(workers, max(1, len(items))), 0, _start_worker, (function, begun, limit_cpu_seconds, wall), context) as pool:
        try:
            for start in range(0, len(items), chunk):
                schedule(range(start, min(start + chunk, len(items))))
            while queue:
                part, future = queue.popleft()
                try:
                    for i, result in zip(part, future.result(), strict=True):
                        results[i] = result
                except ProcessExpired as error:
                    late = begun[part[0]]
                    results[late] = _reason(error.exitcode, late, limit_cpu_seconds, wall)
                    if rest := [i for i in part if i != late]:
                        schedule(rest)
        except BaseException:
            pool.stop()
            raise
    return results


def _reason(exitcode: int, item: int, cpu: float, wall: float) -> "TimeLimit":
    if exitcode == -signal.SIGPROF:
        return TimeLimit(f"took longer than {cpu:g} s")
    if exitcode == -signal.SIGALRM:
        return TimeLimit(f"took longer than {wall:g} s by the clock")
    raise RuntimeError(f"item {item}: its process ended with exit code {exitcode}")


_worker: dict = {}  # of a process: what _start_worker was given


def _start_worker(function: Callable, begun, cpu: float, wall: float) -> None:
    _worker.update(function=function, begun=begun, timers=((signal.ITIMER_PROF, cpu), (signal.ITIMER_REAL, wall)))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends the process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _run_chunk(part: Sequence[int], items: list) -> list:
    function, begun, timers, results = _worker["function"], _worker["begun"], _worker["timers"], []
    try:
        for i, item in zip(part, items, strict=True):
            begun[part[0]] = i
            for timer, seconds in timers:
                signal.setitimer(timer, seconds)
            results.append(function(item))
    finally:
        for timer, _ in timers:
            signal.setitimer(timer, 0)
    return results


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in the block once it has run so long.

    In the main thread it rests on the process's alarm. In another one, such as a Dask worker's, and where there is no alarm
    (Windows), a timer raises the exception between two steps of the interpreter, so that one long call out of it is not stopped.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        with _timer(seconds):
            yield
        return

    def stop(*_):
        raise TimeLimit(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _timer(seconds: float) -> Iterator[None]:
    thread, lock, over = threading.get_ident(), threading.Lock(), False

    class Late(TimeLimit):
        """With the text, since an exception raised from outside has no arguments."""

        def __init__(self):
            super().__init__(f"took longer than {seconds:g} s")

    def stop():
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Late))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()
