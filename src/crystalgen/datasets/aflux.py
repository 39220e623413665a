"""AFLOW by its search interface AFLUX, page by page: kill it at any time, run it again, and it goes on.

A page is asked for until it is whole, and written once, as one parquet that also keeps what was set aside on it.
At the end the pages are joined into one crystals parquet, without ever holding all rows as Python objects.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from crystalgen.crystals import validate
from crystalgen.datasets.aflux_rows import DUPLICATE, OPTIONAL, REQUIRED, crystals_of, is_element, read_page
from crystalgen.datasets.download import BadAnswer, Client
from crystalgen.utils.files import atomic, write_json

URL = "https://aflow.org/API/aflux/"
ROW_GROUP = 65_536  # rows of the joined file that are in memory at once, at least

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "formula": pa.string(),
        "reduced_formula": pa.string(),
        "nsites": pa.int32(),
        "lattice": pa.list_(pa.float64(), 9),
        "atomic_numbers": pa.list_(pa.int16()),
        "frac_coords": pa.list_(pa.float64()),
        "space_group": pa.int16(),
        "symprec": pa.float64(),
        "formation_energy_per_atom": pa.float64(),
        "energy_source": pa.string(),
        "source": pa.string(),
        "split": pa.string(),
    }
)


class AfluxError(ValueError):
    """A query or a folder of pages that cannot be used; the message says why."""


@dataclass(frozen=True)
class Query:
    """Which entries are asked for: those that hold all of `species` and `nspecies` elements in all."""

    species: tuple[str, ...] = ()
    nspecies: int | None = None
    page_size: int = 1000

    def __post_init__(self):
        unknown = [s for s in self.species if not is_element(s)]
        if unknown:
            raise AfluxError(f"species {unknown}: expected element symbols from H to Lr")
        if self.page_size < 1 or (self.nspecies is not None and self.nspecies < 1):
            raise AfluxError(f"page size {self.page_size}, number of elements {self.nspecies}: expected 1 or more")
        object.__setattr__(self, "species", tuple(sorted(set(self.species))))  # one spelling of one query

    def url(self, base: str, page: int) -> str:
        """Return the address of a page, counted from 1 (page 0 would be everything at once)."""
        wanted = {"species": ",".join(self.species) or "*"}
        items = [f"{key}({wanted.get(key, '*')})" for key in REQUIRED]
        items += [] if self.nspecies is None else [f"nspecies({self.nspecies})"]
        return f"{base}?{','.join([*items, *OPTIONAL])},paging({page},{self.page_size}),format(json)"


def fetch_aflow(folder: Path, query: Query, base_url: str = URL, max_pages: int | None = None, client: Client | None = None) -> None:
    """Write every page that `folder` does not hold yet; stops at the last page or at number `max_pages`.

    Raises:
        AfluxError: the folder holds pages of another query.
        DownloadError: the service fails for good.
    """
    client = client or Client()
    _claim(folder, query, base_url)
    announced = None
    with tqdm(desc="AFLUX pages", unit="page", initial=len(_shards(folder)), mininterval=5) as bar:
        for number in count(1) if max_pages is None else range(1, max_pages + 1):
            path = folder / "pages" / f"{number:06d}.parquet"
            if not path.is_file():
                read = partial(_whole_page, number=number, size=query.page_size, announced=announced)
                rows, total = client.get(query.url(base_url, number), read, bar.set_postfix_str)
                _write_shard(number, rows, total, query.page_size, path)
                bar.set_postfix_str("", refresh=False)
                bar.update()
            facts = _facts(path)
            announced = facts["announced"]
            bar.total = max_pages or (announced and -(-announced // query.page_size))
            if facts["last"]:
                return


def join_pages(folder: Path, out: Path) -> dict:
    """Join the pages into one crystals parquet, each auid once (the first); returns and writes `record.json`.

    Record: the query, the pages and whether they are all, rows received and kept, each rejected row with its reason.

    Raises:
        AfluxError: there are no pages, or a file is none.
    """
    shards = _shards(folder)
    if not shards:
        raise AfluxError(f"{folder}: no pages; expected the folder of an earlier fetch-aflow")
    facts = [_facts(path) for path in shards]
    rejected = [{"page": page["page"], **row} for page in facts for row in page["rejected"]]
    ids = pa.concat_arrays([pq.read_table(path, columns=["id"])["id"].combine_chunks() for path in shards])
    repeated = pd.Series(ids.dictionary_encode().indices.to_numpy()).duplicated().to_numpy()
    waiting, start = [], 0
    with atomic(out) as partial_file, pq.ParquetWriter(partial_file, SCHEMA, compression="zstd") as writer:
        for path, page in zip(shards, facts, strict=True):
            table = pq.read_table(path).replace_schema_metadata()
            again = pa.array(repeated[start : start + len(table)])
            start += len(table)
            for auid in table["id"].filter(again).to_pylist():
                rejected.append({"page": page["page"], "row": None, "auid": auid, "reason": DUPLICATE, "found": "on an earlier page"})
            waiting.append(table.filter(pc.invert(again)))
            if sum(map(len, waiting)) >= ROW_GROUP or start == len(repeated):
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
    record = json.loads((folder / "query.json").read_text()) | {
        "pages": len(shards),
        "complete": facts[-1]["last"] and facts[-1]["page"] == len(shards),
        "announced": facts[-1]["announced"],
        "received": sum(page["received"] for page in facts),
        "kept": int((~repeated).sum()),
        "reasons": dict(Counter(row["reason"] for row in rejected).most_common()),
        "rejected": rejected,
    }
    write_json(record, folder / "record.json")
    return record


def _claim(folder: Path, query: Query, base_url: str) -> None:
    """Note the query in the folder, so that pages of two queries never mix."""
    path = folder / "query.json"
    asked = json.loads(json.dumps(asdict(query)))
    if not path.is_file():
        write_json({"query": asked, "base_url": base_url, "started": datetime.now(UTC).isoformat(timespec="seconds")}, path)
    held = json.loads(path.read_text())["query"]
    differing = [f"{key} {held.get(key)} there, {asked[key]} asked" for key in asked if held.get(key) != asked[key]]
    if differing:
        raise AfluxError(f"{folder}: holds the pages of another query ({'; '.join(differing)}); choose another folder")


def _shards(folder: Path) -> list[Path]:
    return sorted((folder / "pages").glob("*.parquet"))


def _whole_page(body: bytes, number: int, size: int, announced: int | None) -> tuple[list, int | None]:
    """Read a page; one with fewer rows than the total promises is no end of the data but a failure."""
    rows, total = read_page(body)
    total = announced if total is None else total
    promised = 0 if total is None else min(size, total - (number - 1) * size)
    if len(rows) < promised:
        raise BadAnswer(f"{len(rows)} rows instead of {promised} ({total} in all); a smaller page size may help")
    return rows, total


def _write_shard(number: int, rows: list, total: int | None, size: int, path: Path) -> None:
    """One page as parquet; what is known of the page goes into the file's metadata."""
    table, rejected = crystals_of(rows)
    last = len(rows) < size if total is None else number * size >= total
    facts = {"page": number, "received": len(rows), "announced": total, "last": last, "rejected": rejected}
    content = _to_arrow(validate(table, f"AFLUX page {number}")) if len(table) else SCHEMA.empty_table()
    with atomic(path) as partial_file:
        pq.write_table(content.replace_schema_metadata({"aflux": json.dumps(facts)}), partial_file, compression="zstd")


def _to_arrow(table: pd.DataFrame) -> pa.Table:
    columns = [[np.ravel(v) for v in table[f.name]] if pa.types.is_nested(f.type) else table[f.name] for f in SCHEMA]
    return pa.table([pa.array(c, f.type, from_pandas=True) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


def _facts(path: Path) -> dict:
    try:
        return json.loads(pq.read_schema(path).metadata[b"aflux"])
    except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
        raise AfluxError(f"{path}: no page of fetch-aflow ({error}); delete it and run the same command again") from None
