"""The search's baseline: every training prototype decorated in every order, and no held-out one."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, generic, perovskite

from crystalgen.baselines.prototypes import decorate_prototypes
from crystalgen.crystals import from_structures


@pytest.fixture
def prototypes() -> pd.DataFrame:
    """Three training crystals of one stoichiometry, two of them in one space group, and another one."""
    structures = [perovskite(4.0, "Ti", "Ni", "Al"), perovskite(4.1, "Ni", "Ti", "B"), generic(1, ["Ta", "W", "B", "B", "B"])]
    structures.append(caesium_chloride(3.0, "Ti", "Ni"))
    groups = pd.array([221, 221, 1, 221], dtype="Int16")
    return from_structures(structures, "p", space_group=groups, split="train", formation_energy_per_atom=np.nan)


def test_every_prototype_is_decorated_in_every_order(prototypes):
    """ABC3 for TaWB3: the two single sites are Ta and W, or W and Ta."""
    made = decorate_prototypes(["Ta1W1B3", "Ta1W1B9"], prototypes)
    assert set(made["formula"]) == {"Ta1B3W1"}
    assert made["template_id"].value_counts().to_dict() == {"p-0": 2, "p-1": 2, "p-2": 2}
    assert made["id"].is_unique
    for template, pair in made.groupby("template_id"):
        assert pair["atomic_numbers"].map(tuple).nunique() == 2
        own = prototypes.set_index("id").loc[template, "frac_coords"]
        assert all(np.array_equal(coords, own) for coords in pair["frac_coords"])


def test_held_out_crystals_are_no_templates(prototypes):
    assert decorate_prototypes(["Ta1W1B3"], prototypes.assign(split="test")).empty
