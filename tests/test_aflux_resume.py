"""An AFLUX fetch goes on where it stopped, and ends in the same bytes."""

import subprocess
import sys
import threading

import pytest
from aflux_service import Service, entry, run

from crystalgen.datasets import aflux
from crystalgen.datasets.aflux import AfluxError, Query, join_pages


def test_a_fetch_goes_on_after_max_pages(tmp_path):
    with Service([entry(i) for i in range(23)]) as service:
        first = run(service, tmp_path, max_pages=2)
        assert (first["kept"], first["complete"], first["announced"]) == (10, False, 23)
        assert run(service, tmp_path, max_pages=3)["kept"] == 15
        assert run(service, tmp_path)["kept"] == 23
        assert run(service, tmp_path)["complete"]
    assert service.pages == [1, 2, 3, 4, 5]


SCRIPT = """
import sys
from pathlib import Path
from crystalgen.datasets.aflux import Query, fetch_aflow
from crystalgen.datasets.download import Client
fetch_aflow(Path(sys.argv[1]), Query(page_size=5), sys.argv[2], client=Client(rate=1000))
"""


def test_a_killed_fetch_goes_on_and_ends_in_the_same_bytes(tmp_path):
    """Killed while page 4 is on its way; no page that was written is asked for again."""
    rows = [entry(i) for i in range(33)]
    rows[17] = entry(17, natoms="2.5")
    rows[28] = rows[3]
    with Service(rows, "list") as service:
        whole = run(service, tmp_path / "whole")
        asked, killed = threading.Event(), threading.Event()
        service.pages.clear()
        service.faults = {4: [lambda body: asked.set() or killed.wait(60) and (200, body, {})]}
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "halves"), service.url], stderr=subprocess.DEVNULL)
        assert asked.wait(60)
        process.kill()
        process.wait()
        killed.set()
        assert service.pages == [1, 2, 3, 4]
        (tmp_path / "halves" / "pages" / "000004.parquet.part").write_bytes(b"half a pa")
        halves = run(service, tmp_path / "halves")
        assert service.pages == [1, 2, 3, 4, 4, 5, 6, 7]
    assert (tmp_path / "halves" / "crystals.parquet").read_bytes() == (tmp_path / "whole" / "crystals.parquet").read_bytes()
    assert {**halves, "started": ""} == {**whole, "started": ""}
    assert halves["kept"] == 31


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def write_half(table, path, **_):
        path.write_bytes(b"PAR1 half")
        raise KeyboardInterrupt

    with Service([entry(i) for i in range(12)]) as service:
        with monkeypatch.context() as patch:
            patch.setattr(aflux.pq, "write_table", write_half)
            with pytest.raises(KeyboardInterrupt):
                run(service, tmp_path)
        assert run(service, tmp_path)["kept"] == 12
    assert service.pages == [1, 1, 2, 3]


def test_pages_of_two_queries_do_not_mix(tmp_path):
    with Service([entry(i) for i in range(3)]) as service:
        run(service, tmp_path)
        with pytest.raises(AfluxError, match=r"another query \(species \[\] there, \['Ta'\] asked; page_size 5 there, 7 asked\)"):
            run(service, tmp_path, Query(("Ta",), page_size=7))


def test_a_page_that_is_none_is_named(tmp_path):
    with Service([entry(i) for i in range(3)]) as service:
        run(service, tmp_path)
        page = tmp_path / "pages" / "000001.parquet"
        page.write_bytes(b"not a parquet")
        with pytest.raises(AfluxError, match="000001.parquet: no page of fetch-aflow.*delete it"):
            run(service, tmp_path)
        page.unlink()
        assert run(service, tmp_path)["kept"] == 3


def test_joining_nothing_says_so(tmp_path):
    with pytest.raises(AfluxError, match="no pages"):
        join_pages(tmp_path, tmp_path / "crystals.parquet")
