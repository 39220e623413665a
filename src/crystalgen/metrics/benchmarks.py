"""Read what reference/benchmarks.yaml knows of a benchmark set: published values, and how coverage is counted on it."""

import yaml

from crystalgen.config import Study
from crystalgen.metrics.coverage import Cutoffs
from crystalgen.utils import paths


def benchmark(config: Study) -> dict:
    """Return what is known of the study's benchmark set: data, coverage, unconditional, structure_prediction; empty without one."""
    known = yaml.safe_load((paths.REFERENCE / "benchmarks.yaml").read_text())
    return known[config.benchmark] if config.benchmark else {}


def coverage_cutoffs(config: Study) -> Cutoffs | None:
    """Return the cut-offs of the study's benchmark set; None without one."""
    known = benchmark(config)
    return Cutoffs(**known["coverage"]) if known else None


def cutoffs_of(name: str) -> Cutoffs:
    """Return the cut-offs of a benchmark set by its name.

    Raises:
        ValueError: it is not known.
    """
    known = yaml.safe_load((paths.REFERENCE / "benchmarks.yaml").read_text())
    if name not in known:
        raise ValueError(f"cutoffs '{name}': expected one of {sorted(known)}, or none")
    return Cutoffs(**known[name]["coverage"])
