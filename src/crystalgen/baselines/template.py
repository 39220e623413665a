"""Template substitution: copy a training crystal of the same stoichiometry and space group, swap its elements, rescale.

Neither paper has this baseline. It is given what the models are given: the target's composition, space group
and, where asked, formation energy.
"""

from typing import Literal

import numpy as np
import pandas as pd
from pymatgen.core import Element

from crystalgen.crystals import from_columns

Choice = Literal["random", "nearest_energy"]


def substitute_templates(targets: pd.DataFrame, training: pd.DataFrame, choice: Choice = "random", seed: int = 0) -> pd.DataFrame:
    """One crystal per target, a crystals table with `target_id` and `template_id`.

    A template has the target's counts of atoms (A1B1C6 for Ta1W1B6) and space group; without such a one,
    any of its counts; without that, the target gets no row. `random` draws one, `nearest_energy` takes the one
    whose formation energy is nearest. Species of equal count are swapped in order of electronegativity. The
    volume is the template's, times the ratio of the compositions' mean atomic volumes in the training set.
    """
    generator = np.random.default_rng(seed)
    volumes = _atomic_volumes(training)
    by_group: dict[tuple, list[int]] = {}
    for row, key in enumerate(_keys(training)):
        by_group.setdefault(key, []).append(row)
        by_group.setdefault(key[:1], []).append(row)
    energies = training["formation_energy_per_atom"].to_numpy()
    found, rows = [], []
    for target, key in enumerate(_keys(targets)):
        candidates = by_group.get(key) or by_group.get(key[:1])
        if not candidates:
            continue
        if choice == "random":
            row = candidates[generator.integers(len(candidates))]
        else:
            gap = np.abs(energies[candidates] - targets["formation_energy_per_atom"].iloc[target])
            row = candidates[int(np.argmin(np.where(np.isnan(gap), np.inf, gap)))]
        found.append(target)
        rows.append(row)
    numbers = [_swap(training["atomic_numbers"].iloc[r], targets["atomic_numbers"].iloc[t]) for t, r in zip(found, rows, strict=True)]
    scales = [np.cbrt(volumes[z].sum() / volumes[training["atomic_numbers"].iloc[r]].sum()) for z, r in zip(numbers, rows, strict=True)]
    templates = training.iloc[rows]
    return from_columns(
        [m * s for m, s in zip(templates["lattice"], scales, strict=True)],
        numbers,
        list(templates["frac_coords"]),
        "template",
        target_id=targets["id"].to_numpy()[found],
        template_id=templates["id"].to_numpy(),
    )


def _keys(table: pd.DataFrame) -> list[tuple]:
    """(sorted counts of each species, space group) of each row."""
    counts = [tuple(sorted(np.unique(z, return_counts=True)[1].tolist())) for z in table["atomic_numbers"]]
    groups = table["space_group"].to_numpy(dtype=int, na_value=0)
    return list(zip(counts, groups.tolist(), strict=True))


def _swap(template: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The template's species replaced by the target's, matched by count, then electronegativity."""
    mapping = np.zeros(120, dtype=np.int16)
    mapping[_species(template)] = _species(target)
    return mapping[template]


def _species(numbers: np.ndarray) -> list[int]:
    kinds, counts = np.unique(numbers, return_counts=True)
    order = sorted(zip(counts.tolist(), kinds.tolist(), strict=True), key=lambda item: (item[0], Element.from_Z(item[1]).X, item[1]))
    return [z for _, z in order]


def _atomic_volumes(training: pd.DataFrame) -> np.ndarray:
    """Å^3 per atom of each element, (120,): least squares of cell volumes on compositions."""
    counts = np.stack([np.bincount(z, minlength=120) for z in training["atomic_numbers"]])
    volumes = np.abs(np.linalg.det(np.stack(training["lattice"].to_numpy())))
    solution = np.linalg.lstsq(counts.astype(float), volumes, rcond=None)[0]
    mean = volumes.sum() / counts.sum()
    return np.where(solution > 1.0, solution, mean)
