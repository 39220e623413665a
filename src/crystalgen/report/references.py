"""The papers' values for a study, from the package's reference folder."""

import yaml

from crystalgen.config import Study
from crystalgen.metrics.benchmarks import benchmark
from crystalgen.utils import paths

_OURS = {"unconditional": ("unimat", "UniMat (paper)", "A, Table 1"), "structure_prediction": ("unimat_composition", "DiffCSP", "DiffCSP")}


def headline_reference(config: Study) -> dict:
    """`<row>.<metric>` -> value, where and data, for `tables.headline_table`; a benchmark's values are of its own data."""
    published = benchmark(config)
    if not published:
        return yaml.safe_load((paths.REFERENCE / "headline.yaml").read_text())
    found = {}
    for kind, (row, method, where) in _OURS.items():
        for metric, value in published[kind].get(method, {}).items():
            if metric != "recalled":
                found[f"{row}.{metric}"] = {"value": value, "where": where, "data": published["data"]}
    return found
