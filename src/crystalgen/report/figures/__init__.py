"""The figures; each function returns the matplotlib figure and a table of the points drawn."""

from crystalgen.report.figures.coordinates import coordinate_distribution
from crystalgen.report.figures.data import element_bars, energy_histogram, group_size_histogram, space_group_bars
from crystalgen.report.figures.losses import pbc_example
from crystalgen.report.figures.model import model_diagram
from crystalgen.report.figures.results import match_rate_bars, rate_by_group, rate_by_steps
from crystalgen.report.figures.training import training_curves
from crystalgen.report.figures.unimat import denoising, energies_obtained, property_distributions, quality_by_size

__all__ = [
    "coordinate_distribution",
    "denoising",
    "element_bars",
    "energies_obtained",
    "energy_histogram",
    "group_size_histogram",
    "match_rate_bars",
    "model_diagram",
    "pbc_example",
    "property_distributions",
    "rate_by_group",
    "rate_by_steps",
    "space_group_bars",
    "training_curves",
    "quality_by_size",
]
