"""Join and filter as many crystals as AFLOW has. Run: python benchmarks/polymorph_filter.py [--rows 3500000]

Makes a table like B's source (B §2.1: 3.5 million crystals, of which 85,000 polymorph groups with 2.1 million crystals stay)
as AFLUX pages in a temporary folder (2 GB), joins the pages, filters the joined file, and filters 1 % of the formulas by
plain Python (without a report) too. Every step runs in a process of its own, whose peak memory is printed.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymatgen.core import Element

from crystalgen.config import Filter
from crystalgen.crystals import read_crystals, write_crystals
from crystalgen.datasets.aflux import SCHEMA, join_pages
from crystalgen.datasets.polymorphs import filter_parquet, filter_polymorphs

PAGE = 10_000
SETTINGS = Filter()
LIMIT = 4096  # MB


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3_500_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(make_pages, folder, rows)
        record, seconds, memory = alone(join_pages, folder, folder / "crystals.parquet")
        print(f"join    {record['kept']:9,d} crystals of {record['pages']} pages: {seconds:6.1f} s, peak {memory:5.0f} MB", flush=True)
        report, seconds, filter_memory = alone(filter_parquet, folder / "crystals.parquet", SETTINGS, folder / "kept.parquet")
        rate = rows / seconds
        print(f"filter  {rows:9,d} crystals, file to file:   {seconds:6.1f} s, peak {filter_memory:5.0f} MB, {rate:9,.0f} crystals/s")
        print(report.to_string(index=False), flush=True)
        sample(folder / "crystals.parquet", folder / "sample.parquet")
        rates, _, _ = alone(compare, folder / "sample.parquet", folder / "out.parquet")
        for step, each in rates.items():
            print(f"1 % of the formulas, {step:30s} {each:11,.0f} crystals/s")
        ratios = {"in memory": rates["in memory"], "file to file": rates["file to file"], "file to file, all rows": rate}
        plain = {name: rates[f"{name.removesuffix(', all rows')}, plain Python"] for name in ratios}
        print("against plain Python on the sample: " + "; ".join(f"{n} {r / plain[n]:.0f} x" for n, r in ratios.items()))
    if max(memory, filter_memory) > LIMIT:
        raise SystemExit(f"peak memory {max(memory, filter_memory):.0f} MB: expected at most {LIMIT} MB")


def alone(function, *arguments) -> tuple:
    """Result, seconds and peak memory (MB) of a call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, function, arguments).result()


def _measured(function, arguments: tuple) -> tuple:
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_pages(folder: Path, rows: int) -> None:
    """Pages as `fetch_aflow` writes them: rows in no order, groups of a formula from 1 to 90, some rare elements and groups."""
    rng = np.random.default_rng(0)
    numbers, members = make_formulas(rng, rows)
    names = np.array(["".join(f"{Element.from_Z(z).symbol}{n}" for z, n in sorted(Counter(z.tolist()).items())) for z in numbers])
    sizes, flat = np.array([len(z) for z in numbers]), np.concatenate(numbers)
    starts = np.cumsum(sizes) - sizes
    odds = np.concatenate([np.geomspace(0.12, 0.02, 19), np.geomspace(0.002, 0.00005, 200)])
    groups = rng.choice(230, 219, replace=False) + 1
    (folder / "pages").mkdir()
    (folder / "query.json").write_text("{}")
    for page, codes in enumerate(np.split(members, range(PAGE, rows, PAGE)), 1):
        n, counts = len(codes), sizes[codes]
        sites = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - starts[codes], counts)
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        columns = {
            "id": [f"aflow:{i:016x}" for i in rng.integers(0, 2**62, n)],
            "formula": names[codes],
            "reduced_formula": names[codes],
            "nsites": counts,
            "lattice": pa.FixedSizeListArray.from_arrays((8 * np.eye(3).ravel() + rng.uniform(-1, 1, (n, 9))).ravel(), 9),
            "atomic_numbers": pa.ListArray.from_arrays(ends, flat[sites].astype(np.int16)),
            "frac_coords": pa.ListArray.from_arrays(ends * 3, rng.uniform(size=3 * ends[-1])),
            "space_group": rng.choice(groups, n, p=odds / odds.sum()),
            "symprec": pa.nulls(n),
            "formation_energy_per_atom": rng.normal(size=n),
            "energy_source": ["AFLOW, PAW_PBE"] * n,
            "source": ["aflow"] * n,
            "split": pa.nulls(n),
        }
        facts = {"page": page, "received": n, "announced": rows, "last": page * PAGE >= rows, "rejected": []}
        arrays = [pa.array(columns[f.name]).cast(f.type) for f in SCHEMA]
        table = pa.table(arrays, SCHEMA.with_metadata({"aflux": json.dumps(facts)}))
        pq.write_table(table, folder / "pages" / f"{page:06d}.parquet", compression="zstd")


def make_formulas(rng: np.random.Generator, rows: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Atomic numbers of each formula, and the formula (a code) of each row."""
    elements = rng.permutation(np.arange(1, 90))[:75]
    odds = np.concatenate([np.geomspace(1, 0.45, 55), np.full(20, 0.03)])
    found: dict[bytes, np.ndarray] = {}
    sizes: list[int] = []
    while sum(sizes) < rows:
        kinds = np.sort(rng.choice(elements, rng.choice([2, 3, 4], p=[0.25, 0.6, 0.15]), replace=False, p=odds / odds.sum()))
        numbers = np.repeat(kinds, rng.integers(1, rng.choice([2, 6, 12], p=[0.05, 0.85, 0.1]), len(kinds)))
        if found.setdefault(numbers.tobytes(), numbers) is numbers:
            sizes.append(int(rng.choice([rng.integers(1, 7), rng.integers(8, 47), rng.integers(72, 91)], p=[0.6, 0.38, 0.02])))
    return list(found.values()), rng.permutation(np.repeat(np.arange(len(sizes)), sizes)[:rows])


def sample(path: Path, out: Path) -> None:
    """Every hundredth formula of a file, with all of its rows."""
    with pq.ParquetFile(path) as file, pq.ParquetWriter(out, file.schema_arrow) as writer:
        chosen = pc.unique(file.read(columns=["formula"])["formula"])[::100]
        for batch in file.iter_batches():
            writer.write_batch(batch.filter(pc.is_in(batch["formula"], chosen)))


def compare(path: Path, out: Path) -> dict[str, float]:
    """Crystals per second of both ways; their results are the same or this fails."""
    table = read_crystals(path)
    clock = [time.perf_counter()]
    expected = plain_filter(table, SETTINGS)
    clock.append(time.perf_counter())
    kept, _ = filter_polymorphs(table, SETTINGS)
    clock.append(time.perf_counter())
    write_crystals(plain_filter(read_crystals(path), SETTINGS), out)
    clock.append(time.perf_counter())
    filter_parquet(path, SETTINGS, out)
    clock.append(time.perf_counter())
    pd.testing.assert_frame_equal(kept, expected)
    pd.testing.assert_frame_equal(read_crystals(out), expected)
    steps = ("in memory, plain Python", "in memory", "file to file, plain Python", "file to file")
    return dict(zip(steps, len(table) / np.diff(clock), strict=True))


def plain_filter(table: pd.DataFrame, settings: Filter) -> pd.DataFrame:
    """The filter's rules row by row, without any array."""
    rows = table[table["nsites"].between(settings.min_sites, settings.max_sites)]
    while True:
        before, least = len(rows), settings.min_share * len(rows) - 1e-9
        elements = Counter(z for numbers in rows["atomic_numbers"] for z in set(numbers.tolist()))
        groups = Counter(rows["space_group"].tolist())
        columns = zip(rows["atomic_numbers"], rows["space_group"], strict=True)
        rows = rows[[groups[g] >= least and all(elements[i] >= least for i in z.tolist()) for z, g in columns]]
        sizes = Counter(rows["formula"])
        rows = rows[[settings.min_group <= sizes[f] <= settings.max_group for f in rows["formula"]]]
        if len(rows) == before:
            return rows.reset_index(drop=True)


if __name__ == "__main__":
    main()
