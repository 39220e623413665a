"""The figures; each function takes a table and returns the matplotlib figure that is drawn of it."""

from crystalgen.report.figures.choosing import outcomes_by_energy
from crystalgen.report.figures.coordinates import coordinate_distribution
from crystalgen.report.figures.data import element_bars, energy_histogram, group_size_histogram, space_group_bars, space_group_shares
from crystalgen.report.figures.dft import convergence_curves, potential_parity
from crystalgen.report.figures.energies import candidate_strips, composition_differences, decomposition_histograms, energies_obtained
from crystalgen.report.figures.losses import pbc_example
from crystalgen.report.figures.model import model_diagram
from crystalgen.report.figures.representations import matrices, representations
from crystalgen.report.figures.results import match_rates, quality_by_size, rates_by_compute, rates_by_size, rates_by_steps
from crystalgen.report.figures.training import training_curves
from crystalgen.report.figures.unimat import denoising, property_distributions, unimat_slots

__all__ = [
    "candidate_strips",
    "composition_differences",
    "convergence_curves",
    "coordinate_distribution",
    "decomposition_histograms",
    "denoising",
    "element_bars",
    "energies_obtained",
    "energy_histogram",
    "group_size_histogram",
    "match_rates",
    "matrices",
    "model_diagram",
    "outcomes_by_energy",
    "pbc_example",
    "potential_parity",
    "property_distributions",
    "quality_by_size",
    "rates_by_compute",
    "rates_by_size",
    "rates_by_steps",
    "representations",
    "space_group_bars",
    "space_group_shares",
    "training_curves",
    "unimat_slots",
]
