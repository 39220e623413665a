"""AFLUX's failures: a page that failed is asked for again, after waits that grow, until it is plainly refused."""

from email.utils import formatdate
from time import time

import numpy as np
import pytest
import requests
from aflux_service import Service, Time, entry, run

from crystalgen.crystals import read_crystals
from crystalgen.datasets.aflux import Query, fetch_aflow
from crystalgen.datasets.download import DownloadError

FAULTS = {
    "429": lambda body: (429, b"", {"Retry-After": "7"}),
    "503": lambda body: (503, b"busy", {}),
    "empty body": lambda body: (200, b"", {}),
    "only a byte order mark": lambda body: (200, b"\xef\xbb\xbf", {}),
    "no database": lambda body: (200, b"DB Fail!null", {}),
    "truncated": lambda body: (200, body[: len(body) // 2], {}),
    "connection lost": lambda body: (200, body[:40], {"Content-Length": str(len(body))}),
    "null": lambda body: (200, b"null", {}),
    "an error as an object": lambda body: (200, b'{"error": "timeout"}', {}),
    "not text": lambda body: (200, b"\xff\xfe\x00", {}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_page_is_asked_for_again(tmp_path, name):
    rows, clock = [entry(i) for i in range(12)], Time()
    with Service(rows) as service:
        service.faults = {2: [FAULTS[name], FAULTS[name]]}
        run(service, tmp_path, client=clock.client())
    assert service.pages == [1, 2, 2, 2, 3]
    assert len([s for s in clock.sleeps if s > 0.1]) == (2 if name == "429" else 1)  # the first wait is that between two requests
    assert read_crystals(tmp_path / "crystals.parquet")["id"].tolist() == [r["auid"] for r in rows]
    if name == "429":
        assert clock.now >= 14


def test_a_byte_order_mark_before_a_page_is_no_failure(tmp_path):
    with Service([entry(i) for i in range(3)]) as service:
        service.faults = {1: [lambda body: (200, b"\xef\xbb\xbf" + body, {})]}
        assert run(service, tmp_path)["kept"] == 3
    assert service.pages == [1]


@pytest.mark.parametrize("rows", [b"[]", b"{}", b'{"6 of 12": {}}'])
def test_a_page_with_less_than_the_total_promises_is_a_failure_and_not_the_end(tmp_path, rows):
    with Service([entry(i) for i in range(12)]) as service:
        service.faults = {2: [lambda body: (200, rows, {})]}
        assert run(service, tmp_path)["kept"] == 12
    assert service.pages == [1, 2, 2, 3]


def test_waits_grow_and_the_last_failure_says_how_to_go_on(tmp_path):
    clock = Time()
    with Service([entry(i) for i in range(12)]) as service:
        service.faults = {2: [FAULTS["503"]] * 8}
        with pytest.raises(DownloadError, match=r"paging\(2,5\).*failed 8 times.*HTTP 503.*run the same command again"):
            run(service, tmp_path, client=clock.client())
        waits = [s for s in clock.sleeps if s > 0.1]
        assert len(waits) == 6
        for attempt, wait in enumerate(waits, 1):
            assert min(2**attempt, 60) <= wait <= min(2**attempt + 1, 60)
        assert run(service, tmp_path)["kept"] == 12
    assert service.pages == [1, *[2] * 9, 3]


@pytest.mark.parametrize(("header", "least", "most"), [("30", 30, 30), ("date", 55, 60), ("past", 0, 0), ("soon", 0, 0)])
def test_retry_after_may_be_seconds_or_a_date(tmp_path, header, least, most):
    header = {"date": formatdate(time() + 60, usegmt=True), "past": formatdate(0, usegmt=True)}.get(header, header)
    clock = Time()
    with Service([entry(0)]) as service:
        service.faults = {1: [lambda body: (429, b"", {"Retry-After": header})]}
        run(service, tmp_path, client=clock.client())
    assert least <= sum(clock.sleeps) <= most + 0.01


def test_a_wait_that_is_too_long_is_an_error(tmp_path):
    with Service([entry(0)]) as service:
        service.faults = {1: [lambda body: (503, b"", {"Retry-After": "7200"})]}
        with pytest.raises(DownloadError, match="asks to wait 7200 s; run the same command later"):
            run(service, tmp_path)
    assert service.pages == [1]


def test_a_refused_query_is_not_repeated(tmp_path):
    with Service([entry(0)]) as service:
        service.faults = {1: [lambda body: (404, b"", {})]}
        with pytest.raises(DownloadError, match="HTTP 404"):
            run(service, tmp_path)
    assert service.pages == [1]


def test_no_service_and_a_slow_one_are_failures_too(tmp_path, monkeypatch):
    with pytest.raises(DownloadError, match="failed 2 times, at last: ConnectionError"):
        fetch_aflow(tmp_path, Query(), "http://127.0.0.1:9/", client=Time().client(tries=2))

    def too_slow(*_, **__):
        raise requests.ReadTimeout("slow")

    monkeypatch.setattr(requests.Session, "get", too_slow)
    with pytest.raises(DownloadError, match="at last: ReadTimeout"):
        fetch_aflow(tmp_path, Query(), "http://127.0.0.1:9/", client=Time().client(tries=2))


def test_the_rate_is_kept(tmp_path):
    clock, asked = Time(), []
    with Service([entry(i) for i in range(40)]) as service:
        service.faults = {n: [lambda body: asked.append(clock.now) or (200, body, {})] for n in range(1, 9)}
        run(service, tmp_path, client=clock.client(rate=2.0))
    np.testing.assert_allclose(np.diff(asked), 0.5)
