"""Energies asked for by classifier-free guidance, and those obtained, by the library's potential (A eq. 2)."""

import numpy as np
import pandas as pd

from crystalgen.config import Guidance
from crystalgen.crystals import to_structures
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.potentials import single_point
from crystalgen.represent.generate import generate_for_energies
from crystalgen.stability.hull import Hull

MIN_DISTANCE = 0.5  # share of the sum of two covalent radii; closer atoms are not rated, the potential would invent


def energies_by_weight(settings: Guidance, model: Model, sampling: Sampling, hull: Hull) -> pd.DataFrame:
    """One row per sample: asked (eV/atom), weight, formula, status, energy (formation energy as generated, eV/atom; NaN where not rated).

    sampling: the model's, whose guidance is replaced. hull: gives the formation energies; of the potential's own energies.
    """
    asked = np.repeat(np.asarray(settings.energies, dtype=float), settings.count)
    tables = []
    for weight in settings.weights:
        samples, _ = generate_for_energies(model, asked, sampling.model_copy(update={"guidance": weight}), settings.row)
        outcomes = [single_point.rate(structure, MIN_DISTANCE) for structure in to_structures(samples)]
        table = samples[["formula", "asked_formation_energy_per_atom"]].rename(columns={"asked_formation_energy_per_atom": "asked"})
        table = table.assign(weight=weight, status=[outcome["status"] for outcome in outcomes], energy=np.nan)
        rated = (table["status"] == single_point.RATED).to_numpy()
        energies = [outcome["energy_per_atom"] for outcome in outcomes if outcome["status"] == single_point.RATED]
        numbers = samples["atomic_numbers"][rated].tolist()
        table.loc[rated, "energy"] = hull.formation_energies(energies, numbers, single_point.ENERGY_SOURCE)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
