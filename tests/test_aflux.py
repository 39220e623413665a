"""AFLUX: every page once, whatever the service and the power supply do; what is no crystal is counted, not lost."""

import json
import random
import re
import subprocess
import sys
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import requests
from pymatgen.core import Lattice

from crystalgen.crystals import read_crystals, validate
from crystalgen.data import aflux
from crystalgen.data.aflux import AfluxError, Query, fetch_aflow, join_pages
from crystalgen.data.aflux_rows import crystals_of, read_page
from crystalgen.data.download import BadAnswer, Client, DownloadError
from crystalgen.pipeline.cli import main

SIZE = 5


def entry(number: int, typed: bool = False, **changes) -> dict:
    """What AFLUX says of one crystal, as texts or typed."""
    generator = np.random.default_rng(number)
    species = [["Ta", "W"], ["B", "Ta", "W"], ["Al"]][number % 3]
    composition = generator.integers(1, 3, len(species)).tolist()
    geometry = [*generator.uniform(3, 6, 3).round(4), 90.0, 95.5, 120.0]
    positions = generator.uniform(0, 1, (sum(composition), 3)).round(6).tolist()
    row = {
        "auid": f"aflow:{number:016x}",
        "species": species,
        "composition": composition,
        "natoms": sum(composition),
        "geometry": geometry,
        "positions_fractional": positions,
        "spacegroup_relax": int(generator.integers(1, 231)),
        "enthalpy_formation_atom": round(float(generator.normal()), 5),
        "dft_type": ["PAW_PBE"],
    }
    if not typed:
        row |= {key: ",".join(map(str, row[key])) for key in ("species", "composition", "geometry", "dft_type")}
        row |= {key: str(row[key]) for key in ("natoms", "spacegroup_relax", "enthalpy_formation_atom")}
        row["positions_fractional"] = ";".join(",".join(map(str, x)) for x in positions)
    return row | changes


class Service:
    """A stand-in for aflow.org that answers from `rows`, once the faults planned for a page are used up."""

    def __init__(self, rows: list, shape: str = "keyed"):
        self.rows, self.shape = rows, shape
        self.faults: dict[int, list] = {}
        self.pages: list[int] = []
        self.paths: list[str] = []

    def body(self, page: int, size: int) -> bytes:
        rows = self.rows[(page - 1) * size : page * size]
        if self.shape == "keyed":
            rows = {f"{(page - 1) * size + i} of {len(self.rows)}": row for i, row in enumerate(rows, 1)}
        return json.dumps(rows).encode()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        page, size = map(int, re.search(r"paging\((\d+),(\d+)\)", handler.path).groups())
        self.pages.append(page)
        self.paths.append(handler.path)
        planned = self.faults.get(page, [])
        status, body, headers = (planned.pop(0) if planned else lambda b: (200, b, {}))(self.body(page, size))
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def __enter__(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                service.answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/API/aflux/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Time:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.now, self.sleeps = 0.0, []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def client(self, **settings) -> Client:
        return Client(**{"rate": 1e6, **settings}, sleep=self.sleep, clock=lambda: self.now)


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


def run(service: Service, folder, query=None, client=None, **settings) -> dict:
    fetch_aflow(folder, query or Query(page_size=SIZE), service.url, client=client or Time().client(), **settings)
    return join_pages(folder, folder / "crystals.parquet")


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "texts"])
@pytest.mark.parametrize("shape", ["keyed", "list"])
def test_every_entry_of_either_shape_becomes_its_crystal(tmp_path, shape, typed):
    rows = [entry(i, typed) for i in range(12)]
    with Service(rows, shape) as service:
        record = run(service, tmp_path)
    table = read_crystals(tmp_path / "crystals.parquet")
    assert service.pages == [1, 2, 3]
    assert (record["kept"], record["received"], record["rejected"], record["complete"]) == (12, 12, [], True)
    assert table["id"].tolist() == [r["auid"] for r in rows]
    for crystal, row in zip(table.itertuples(), (entry(i, typed=True) for i in range(12)), strict=True):
        np.testing.assert_allclose(crystal.lattice, Lattice.from_parameters(*row["geometry"]).matrix)
        np.testing.assert_array_equal(crystal.frac_coords, row["positions_fractional"])
        assert crystal.space_group == row["spacegroup_relax"]
        assert crystal.formation_energy_per_atom == row["enthalpy_formation_atom"]
        assert (crystal.source, crystal.energy_source) == ("aflow", "AFLOW, PAW_PBE")
    assert table["atomic_numbers"][1].tolist() == [5] * rows_of(1)[0] + [73] * rows_of(1)[1] + [74] * rows_of(1)[2]


def rows_of(number: int) -> list[int]:
    return entry(number, typed=True)["composition"]


@pytest.mark.parametrize(("count", "keyed", "listed"), [(0, [1], [1]), (4, [1], [1]), (10, [1, 2], [1, 2, 3])])
def test_fetching_stops_at_a_short_or_empty_page(tmp_path, count, keyed, listed):
    """A keyed answer says how many there are; after a bare list that is full, there is no knowing without asking."""
    for shape, pages in (("keyed", keyed), ("list", listed)):
        with Service([entry(i) for i in range(count)], shape) as service:
            record = run(service, tmp_path / shape)
        assert service.pages == pages
        assert (record["kept"], record["complete"]) == (count, True)
        assert len(read_crystals(tmp_path / shape / "crystals.parquet")) == count


def test_the_address_asks_for_what_the_query_says(tmp_path):
    with Service([entry(0)]) as service:
        run(service, tmp_path, Query(species=("W", "B", "Ta"), nspecies=3, page_size=SIZE))
    query = service.paths[0].partition("?")[2]
    assert query.startswith("auid(*),species(B,Ta,W),composition(*),")
    assert query.endswith(",nspecies(3),dft_type,paging(1,5),format(json)")
    assert Query(("W", "B")) == Query(("B", "W", "B"))


@pytest.mark.parametrize("query", [{"species": ("Xx",)}, {"species": ("Ta),paging(0",)}, {"nspecies": 0}, {"page_size": 0}])
def test_a_senseless_query_is_refused_before_anything_is_asked(query):
    with pytest.raises(AfluxError, match="expected"):
        Query(**query)


# Failures of the service


@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_page_is_asked_for_again(tmp_path, name):
    rows, clock = [entry(i) for i in range(12)], Time()
    with Service(rows) as service:
        service.faults = {2: [FAULTS[name], FAULTS[name]]}
        run(service, tmp_path, client=clock.client())
    assert service.pages == [1, 2, 2, 2, 3]
    waits = [s for s in clock.sleeps if s > 0.1]
    assert len(waits) == 2
    assert read_crystals(tmp_path / "crystals.parquet")["id"].tolist() == [r["auid"] for r in rows]
    if name == "429":
        assert min(waits) >= 7


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
        assert len(waits) == 7
        for attempt, wait in enumerate(waits):
            assert 0.5 * min(2**attempt, 60) <= wait <= 1.5 * min(2**attempt, 60)
        assert run(service, tmp_path)["kept"] == 12
    assert service.pages == [1, *[2] * 9, 3]


@pytest.mark.parametrize(("header", "least", "most"), [("30", 30, 30), ("date", 55, 60), ("past", 0.5, 1.5), ("soon", 0.5, 1.5)])
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


# Going on


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
from crystalgen.data.aflux import Query, fetch_aflow
from crystalgen.data.download import Client
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


# Rows


def test_an_auid_is_kept_once_within_and_across_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(aflux, "ROW_GROUP", 4)
    rows = [entry(i) for i in (0, 1, 2, 1, 3, 0, 4, 5, 6, 2, 7)]
    with Service(rows) as service:
        record = run(service, tmp_path)
    assert read_crystals(tmp_path / "crystals.parquet")["id"].tolist() == [entry(i)["auid"] for i in range(8)]
    assert pq.ParquetFile(tmp_path / "crystals.parquet").num_row_groups > 1
    assert record["reasons"] == {"duplicate auid": 3}
    assert [(r["page"], r["row"], r["auid"]) for r in record["rejected"]] == [
        (1, 3, entry(1)["auid"]),
        (2, None, entry(0)["auid"]),
        (2, None, entry(2)["auid"]),
    ]


MALFORMED = [
    (None, "not an object"),
    ("text", "not an object"),
    ({"auid": None}, "auid is missing"),
    ({"auid": 7}, "auid is no plain text"),
    ({"auid": "aflow:\ud800"}, "auid is no plain text"),
    ({"geometry": ""}, "geometry is missing"),
    ({"enthalpy_formation_atom": None}, "enthalpy_formation_atom is missing"),
    ({"enthalpy_formation_atom": "nan"}, "enthalpy_formation_atom is no number"),
    ({"enthalpy_formation_atom": [1.0, 2.0]}, "enthalpy_formation_atom is no number"),
    ({"natoms": "2.5"}, "natoms is no whole number"),
    ({"natoms": "many"}, "natoms is no whole number"),
    ({"natoms": 10**400}, "natoms is no whole number"),
    ({"natoms": 3}, "positions_fractional and natoms disagree"),
    ({"species": "Ta,Xx"}, "unknown element"),
    ({"species": [["Ta"], "W"]}, "unknown element"),
    ({"species": "Ta"}, "species and composition disagree"),
    ({"composition": "1.5,0.5"}, "composition is no list of whole numbers"),
    ({"composition": "2,0"}, "composition is no list of whole numbers"),
    ({"composition": {"Ta": 1}}, "composition is no list of whole numbers"),
    ({"composition": "1,2"}, "composition and natoms disagree"),
    ({"positions_fractional": "0,0,0;0.5,0.5"}, "positions_fractional is not x, y, z per atom"),
    ({"positions_fractional": "0,0,0,0.5,0.5,0.5"}, "positions_fractional is not x, y, z per atom"),
    ({"positions_fractional": [[0, 0, 0], [0, None, 0]]}, "positions_fractional is not x, y, z per atom"),
    ({"geometry": "4,4,4,90,90"}, "geometry is no cell"),
    ({"geometry": "4,4,-4,90,90,90"}, "geometry is no cell"),
    ({"geometry": "4,4,4,60,60,150"}, "geometry is no cell"),
    ({"geometry": [4, 4, 4, 90, 90, 180]}, "geometry is no cell"),
    ({"spacegroup_relax": 231}, "spacegroup_relax is not 1 to 230"),
    ({"spacegroup_relax": "Fm-3m"}, "spacegroup_relax is not 1 to 230"),
]


def plain(**changes) -> dict:
    base = {"species": "Ta,W", "composition": "1,1", "natoms": "2.0", "positions_fractional": "0,0,0;0.5,0.5,0.5;"}
    return entry(1, **{**base, "geometry": "4,4,4,90,90,90", **changes})


def test_malformed_rows_are_counted_and_listed(tmp_path):
    bad = [plain(**change) if isinstance(change, dict) else change for change, _ in MALFORMED]
    rows = [plain(auid="aflow:first"), *bad, plain(auid="aflow:last")]
    with Service(rows) as service:
        record = run(service, tmp_path)
    assert read_crystals(tmp_path / "crystals.parquet")["id"].tolist() == ["aflow:first", "aflow:last"]
    assert (record["received"], record["kept"]) == (len(rows), 2)
    assert [((r["page"] - 1) * SIZE + r["row"] - 1, r["reason"]) for r in record["rejected"]] == list(
        enumerate(reason for _, reason in MALFORMED)
    )
    assert sum(record["reasons"].values()) == len(MALFORMED)
    assert record == json.loads((tmp_path / "record.json").read_text())
    assert all(len(r["found"]) <= 80 for r in record["rejected"])


def test_whatever_a_row_holds_it_is_a_valid_crystal_or_rejected():
    values = [None, "", "x", "1", "0", "-1", "1e999", "nan", True, {}, [], [[]], [None], ["Ta"], 0, 1.5, 1e308, -2, [[0, 0, 0]], "0,0,0"]
    values += ["4,4,4,90,90,90", [1e-300] * 6, [4, 4, 4, 1e-300, 90, 90], [1e200, 1e200, 1e200, 90, 90, 90], "Ta,W", "\ud800", "Ta_pv"]
    values += [[1e-9, 1e-9, 1e-9, 90, 90, 90], [4, 4, 4, 179.999, 179.999, 179.999], [[4, 4, 4], [90, 90, 90]], 10**30, "1;1", "9" * 500]
    generator = random.Random(0)
    rows = []
    for number in range(4000):
        row = plain(auid=f"aflow:{number}")
        for key in generator.sample(sorted(row), generator.choice((1, 1, 2, 3))):
            row[key] = generator.choice(values)
        rows.append(row)
    table, rejected = crystals_of(rows)
    validate(table)
    assert len(table) + len(rejected) == len(rows)
    assert len(table) > 100
    json.dumps(rejected, ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", [None, "", 5, "PAW\n", []])
def test_without_a_functional_the_energy_is_aflows(kind):
    table, _ = crystals_of([plain(dft_type=kind)])
    assert table["energy_source"].tolist() == ["AFLOW"]


@pytest.mark.parametrize("body", [b"", b"1", b'"text"', b"[1", b"[" * 100_000, b'{"a": 1}', b'{"1 of 2": 1, "x": 2}'])
def test_what_is_no_page_is_a_bad_answer(body):
    with pytest.raises(BadAnswer):
        read_page(body)


def test_keyed_rows_are_in_the_order_of_their_numbers():
    page = read_page(b'{"10 of 912": "b", "9 of 912": "a", "11 of 912": "c"}')
    assert (page.rows, page.total) == (["a", "b", "c"], 912)


# Command


def test_the_command_fetches_joins_and_tells(tmp_path, capsys):
    with Service([entry(i) for i in range(11)] + [entry(12, natoms="x")]) as service:
        arguments = ["fetch-aflow", "--url", service.url, "--folder", str(tmp_path), "--page-size", "5", "--rate", "1000"]
        assert main([*arguments, "--pages", "2"]) == 0
        assert "10 crystals of 10 entries on 2 pages" in (out := capsys.readouterr().out) and "goes on" in out
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert "11 crystals of 12 entries on 3 pages" in out and "1 x natoms is no whole number" in out and "goes on" not in out
        assert main([*arguments, "--species", "Xx"]) == 1
        assert "crystalgen: species ['Xx']: expected element symbols" in capsys.readouterr().err
    assert len(read_crystals(tmp_path / "crystals.parquet")) == 11
