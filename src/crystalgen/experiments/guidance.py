"""Energies asked for by classifier-free guidance, and those obtained, by the library's potential (A eq. 2)."""

from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from crystalgen.config import Guidance
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.objectives import build_objective
from crystalgen.generative.settings import UniMatModel
from crystalgen.potentials.single_point import rate_table
from crystalgen.represent.generate import generate_for_energies
from crystalgen.stability.hull import Hull


def energies_by_weight(settings: Guidance, model: UniMatModel, nets: dict[int, nn.Module], data: UniMatData, hull: Hull,
                       folder: Path) -> pd.DataFrame:  # fmt: skip
    """One row per sample: asked (eV/atom), weight, formula, status, energy (formation energy as generated, eV/atom; NaN where not rated).

    hull: gives the formation energies; of the potential's own energies. folder: of finished results (see `store.compute`).
    """
    asked = np.repeat(np.asarray(settings.energies, dtype=float), settings.count)
    tables = []
    for weight in settings.weights:
        sampling = model.sampling[settings.row].model_copy(update={"guidance": weight})
        samples, _ = generate_for_energies(nets, build_objective(model.objective), data, asked, sampling, settings.row)
        tables.append(rate_table(samples, hull, folder).assign(weight=weight))
    names = {"asked_formation_energy_per_atom": "asked", "formation_energy_per_atom": "energy"}
    table = pd.concat(tables, ignore_index=True).rename(columns=names)
    return table[["formula", "asked", "weight", "status", "energy"]]
