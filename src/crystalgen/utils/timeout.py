"""A limit on the time that one crystal may take."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TimeLimit(BaseException):
    """What was asked took longer than it may; no Exception, since libraries catch those and go on."""


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
