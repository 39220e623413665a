"""Crystals of a generator that is shown no template, one beside the candidates of each request."""

import numpy as np
import pandas as pd

from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.matching.match import reduce_table
from crystalgen.represent.canonical import ordered_numbers
from crystalgen.represent.generate import generate_for_conditions

SOURCE = "generator"


def free_crystals(generator: Model, requests: pd.DataFrame, told: bool, steps: int = 50) -> pd.DataFrame:
    """Return the most probable crystal of each request with its place among them, `request`, and its `cell`, reduced.

    Requests that the generator cannot be asked (an element or space group that it does not know, too many atoms) have none.

    Args:
        generator: of matrices, by masked prediction. requests: atomic_numbers, and space_group where it is told. steps: of sampling.
    """
    numbers = [ordered_numbers(np.asarray(atoms, dtype=np.int64)) for atoms in requests["atomic_numbers"]]
    groups = requests["space_group"].to_numpy(int, na_value=0) if told else np.zeros(len(requests), dtype=int)
    asked = np.array([generator.knows(z, group if told else None) for z, group in zip(numbers, groups, strict=True)], dtype=bool)
    conditions = pd.DataFrame({"atomic_numbers": numbers, "space_group": groups, "request": np.arange(len(requests))})[asked]
    sampling = Sampling(sampler="unmask", steps=steps, withhold=("formation_energy_per_atom",) + (() if told else ("space_group",)))
    drawn, _ = generate_for_conditions(generator, conditions.assign(formation_energy_per_atom=np.nan), sampling, SOURCE)
    return drawn.assign(cell=reduce_table(drawn, workers=1))
