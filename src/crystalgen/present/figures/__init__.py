"""The figures; each function returns the matplotlib figure and a table of the points drawn."""

from crystalgen.present.figures.coordinates import coordinate_distribution
from crystalgen.present.figures.data import element_bars, energy_histogram, group_size_histogram, space_group_bars
from crystalgen.present.figures.losses import pbc_example
from crystalgen.present.figures.model import model_diagram
from crystalgen.present.figures.results import match_rate_bars, rate_by_group, rate_by_steps
from crystalgen.present.figures.training import training_curves
from crystalgen.present.figures.unimat import denoising, energies_obtained, property_distributions, quality_by_size

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
