"""Energies asked for by classifier-free guidance, and those obtained, by the library's potential (A eq. 2)."""

from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.config import Guidance
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.potentials.single_point import rate_table
from crystalgen.represent.generate import generate_for_energies
from crystalgen.stability.hull import Hull


def energies_by_weight(settings: Guidance, model: Model, sampling: Sampling, hull: Hull, folder: Path) -> pd.DataFrame:
    """One row per sample: asked (eV/atom), weight, formula, status, energy (formation energy as generated, eV/atom; NaN where not rated).

    sampling: the model's, whose guidance is replaced. hull: gives the formation energies; of the potential's own energies.
    folder: of finished results (see `cache.compute`).
    """
    asked = np.repeat(np.asarray(settings.energies, dtype=float), settings.count)
    tables = []
    for weight in settings.weights:
        samples, _ = generate_for_energies(model, asked, sampling.model_copy(update={"guidance": weight}), settings.row)
        tables.append(rate_table(samples, hull, folder).assign(weight=weight))
    names = {"asked_formation_energy_per_atom": "asked", "formation_energy_per_atom": "energy"}
    table = pd.concat(tables, ignore_index=True).rename(columns=names)
    return table[["formula", "asked", "weight", "status", "energy"]]
