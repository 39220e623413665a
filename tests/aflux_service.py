"""A stand-in for aflow.org on this machine, what it says of crystals, and a clock that passes only by sleeping."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from crystalgen.datasets.aflux import Query, fetch_aflow, join_pages
from crystalgen.datasets.download import Client

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


def run(service: Service, folder, query=None, client=None, **settings) -> dict:
    fetch_aflow(folder, query or Query(page_size=SIZE), service.url, client=client or Time().client(), **settings)
    return join_pages(folder, folder / "crystals.parquet")
