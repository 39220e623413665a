"""Metrics of an evaluation, collected row by row with their intervals."""

import numpy as np
import pandas as pd

from crystalgen.utils.statistics import clustered_bootstrap

DRAWS = 1000  # of whole formulas, for the intervals


class MetricRows:
    """Collects metrics; shares are of all that was asked for, what could not be read among it."""

    def __init__(self, asked: int, formulas: pd.Series, lost: pd.Series):
        self.asked = asked
        self._formulas = [*formulas, *(f"lost {name}" for name in lost)]
        self._rows: list[dict] = []

    def add(self, metric: str, interval: dict, n: int, meaning: str, reference: float = np.nan) -> None:
        """Add a row; interval holds value, low and high, reference the reference's own value."""
        self._rows.append({"metric": metric, **interval, "n": n, "reference": reference, "meaning": meaning})

    def mean(self, metric: str, values: pd.Series, clusters, meaning: str, reference: float = np.nan) -> None:
        """Add the mean of values (n,), whole clusters of labels (n,) redrawn; nothing of none."""
        values = np.asarray(values, float)
        if not len(values):
            return
        low, high = clustered_bootstrap(values, np.asarray(clusters, str), DRAWS)
        self.add(metric, {"value": float(values.mean()), "low": low, "high": high}, len(values), meaning, reference)

    def share(self, metric: str, verdicts, meaning: str, reference: float = np.nan, broken_count: bool = True) -> None:
        """Add the share of true verdicts, of all that was asked for or, unless the broken count, of the verdicts alone."""
        values = np.asarray(verdicts, float)
        lost = self.asked - len(values) if broken_count else 0
        clusters = self._formulas if broken_count else self._formulas[: len(values)]
        self.mean(metric, np.concatenate([values, np.zeros(lost)]), clusters, meaning, reference)

    def table(self) -> pd.DataFrame:
        """Return the rows."""
        return pd.DataFrame(self._rows, columns=["metric", "value", "low", "high", "n", "reference", "meaning"])
