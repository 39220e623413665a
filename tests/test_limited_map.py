"""A map whose items have a limit each: what is over it is ended, compiled or not, and nothing else is lost."""

import os
import subprocess
import sys
import time

import pytest

from crystalgen.utils.limited_map import map_limited
from crystalgen.utils.timeout import TimeLimit


def task(item):
    """Do what the item says; importable by the processes."""
    kind, number = item if isinstance(item, tuple) else (None, item)
    if kind == "loop":
        while True:
            pass
    if kind == "compiled":
        return sum(range(10**13))  # one call that no Python signal handler gets into
    if kind == "nap":
        time.sleep(number)
    if kind == "raise":
        raise ValueError(f"item {number} is bad")
    if kind == "die":
        os.kill(os.getpid(), 9)
    return number * number


def test_results_come_in_order_whatever_their_time():
    items = [("nap", 0.2), *range(40), ("nap", 0.1)]
    results = map_limited(task, iter(items), workers=2, limit=5, chunk=3)
    assert results == [0.2 * 0.2, *(i * i for i in range(40)), 0.1 * 0.1]
    assert map_limited(task, [], 2, 5) == []


def test_what_prepares_a_process_does_not_count(tmp_path):
    assert map_limited(task, range(3), workers=1, limit=0.25, prepare=_long) == [0, 1, 4]


def _long():
    _quarter_second(0), _quarter_second(0)


def test_a_script_needs_no_guard(tmp_path):
    """Processes do not run the script that called for them."""
    script = tmp_path / "script.py"
    script.write_text("from crystalgen.utils.limited_map import map_limited\nimport math\nprint(map_limited(math.sqrt, [4, 9], 2, 5))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[2.0, 3.0]\n", "")


@pytest.mark.parametrize("kind", ["loop", "compiled"])
def test_what_takes_too_long_is_ended_and_the_others_stand(kind):
    items = [0, 1, (kind, 0), 3, (kind, 0), 5, 6]
    start = time.perf_counter()
    results = map_limited(task, items, workers=2, limit=0.3, chunk=4)
    assert time.perf_counter() - start < 20
    assert [i for i, r in enumerate(results) if isinstance(r, TimeLimit)] == [2, 4]
    assert str(results[2]) == "took longer than 0.3 s"
    assert [r for r in results if not isinstance(r, TimeLimit)] == [0, 1, 9, 25, 36]


def test_waiting_costs_no_cpu_time_and_each_item_has_its_own_limit():
    assert map_limited(task, [("nap", 0.5), *[("nap", 0.01)] * 3], workers=1, limit=0.25)[0] == 0.25
    assert map_limited(_quarter_second, range(4), workers=1, limit=0.6) == [0, 1, 2, 3]


def _quarter_second(item):
    end = time.process_time() + 0.25
    while time.process_time() < end:
        pass
    return item


def test_an_exception_is_raised_and_the_next_call_works():
    start = time.perf_counter()
    with pytest.raises(ValueError, match="item 2 is bad"):
        map_limited(task, [0, ("raise", 2), ("nap", 60), ("nap", 60)], workers=2, limit=60, chunk=1)
    assert time.perf_counter() - start < 30
    assert map_limited(task, range(3), 2, 5) == [0, 1, 4]


def test_a_process_that_dies_of_something_else_is_an_error_that_names_the_item():
    with pytest.raises(RuntimeError, match=r"item 2: its process ended with exit code -9"):
        map_limited(task, [0, 1, ("die", 0), 3], workers=1, limit=5)
