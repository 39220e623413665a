"""Settings of studies: strict, so that an unknown or misspelt key is an error that names it."""

from crystalgen.config.study import (
    Ablation,
    Ablations,
    Baseline,
    Data,
    Energies,
    Filter,
    Guidance,
    Ladder,
    Report,
    Representations,
    SamplerSteps,
    Search,
    Split,
    Study,
    load_study,
    read_study,
)

__all__ = [
    "Ablation",
    "Ablations",
    "Baseline",
    "Data",
    "Energies",
    "Filter",
    "Guidance",
    "Ladder",
    "Report",
    "Representations",
    "SamplerSteps",
    "Search",
    "Split",
    "Study",
    "load_study",
    "read_study",
]
