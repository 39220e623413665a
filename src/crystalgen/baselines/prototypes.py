"""The search's baseline: every training crystal of a composition's stoichiometry, its elements swapped."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crystalgen.baselines.stoichiometry import ordered_species, permutations_of
from crystalgen.baselines.template import substitute_templates
from crystalgen.crystals import from_columns
from crystalgen.represent.canonical import composition_numbers

TEMPLATE = "template"  # the baseline's row
NO_LADDER = "none"  # it is asked for no energy


def decorate_prototypes(compositions: Sequence[str], crystals: pd.DataFrame) -> pd.DataFrame:
    """Return all template substitutions for the compositions, in every assignment of elements that occur equally often.

    Neither paper has this baseline. Duplicates are left in: what follows (`search.rate_generated`) finds them, as it
    does among a model's crystals.

    Args:
        compositions: e.g. `Ta1W1B6`.
        crystals: the study's; only its training crystals are templates.

    Returns:
        crystals with row (`template`), composition, ladder (`none`), asked_space_group (the template's) and template_id; none for a
        composition whose stoichiometry the training crystals lack.
    """
    training = crystals[crystals["split"] == "train"].reset_index(drop=True)
    # The nearest energy picks each template for itself once its energy is its place in the table.
    training = training.assign(formation_energy_per_atom=np.arange(len(training), dtype=float))
    stoichiometries = training["atomic_numbers"].map(lambda z: ordered_species(z)[1])
    tables = []
    for composition in compositions:
        numbers = composition_numbers(composition)
        templates = training[stoichiometries == ordered_species(numbers)[1]]
        if len(templates):
            tables.append(_decorations(numbers, templates, training).assign(composition=composition))
    table = pd.concat(tables or [_nothing()], ignore_index=True)
    places = zip(table["composition"], table.groupby("composition").cumcount(), strict=True)
    table = table.assign(id=[f"{TEMPLATE}-{composition}-{place}" for composition, place in places], source=TEMPLATE)
    return table.assign(row=TEMPLATE, ladder=NO_LADDER, asked_formation_energy_per_atom=np.nan)


def _decorations(numbers: np.ndarray, templates: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    swapped = substitute_templates(templates.assign(atomic_numbers=[numbers] * len(templates)), training, "nearest_energy")
    swapped = swapped.assign(asked_space_group=templates["space_group"].to_numpy()).drop(columns="target_id")
    return pd.concat([swapped.assign(atomic_numbers=swapped["atomic_numbers"].map(m.__getitem__)) for m in _permutations(numbers)])


def _nothing() -> pd.DataFrame:
    return from_columns([], [], [], TEMPLATE, composition=[], template_id=[], asked_space_group=pd.array([], dtype="Int16"))


def _permutations(numbers: np.ndarray) -> list[np.ndarray]:
    """Look-up tables (120,) that permute the elements of equal count among each other, the identity among them."""
    species, counts = ordered_species(numbers)
    tables = []
    for permutation in permutations_of(counts):
        table = np.arange(120, dtype=np.int16)
        table[species] = species[permutation]
        tables.append(table)
    return tables
