"""The figures; each function returns the matplotlib figure and a table of the points drawn."""

from crystalgen.present.figures.data import (
    coordinate_distribution,
    element_bars,
    energy_histogram,
    group_size_histogram,
    space_group_bars,
)
from crystalgen.present.figures.losses import pbc_example
from crystalgen.present.figures.results import match_rate_bars, rate_by_group, training_curves

__all__ = [
    "coordinate_distribution",
    "element_bars",
    "energy_histogram",
    "group_size_histogram",
    "match_rate_bars",
    "pbc_example",
    "rate_by_group",
    "space_group_bars",
    "training_curves",
]
