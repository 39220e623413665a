"""Template substitution: copy a training crystal of the same stoichiometry and space group, swap its elements, rescale.

Neither paper has this baseline. It is given what the models are given: the target's composition, space group
and, where asked, formation energy.
"""

from typing import Literal

import numpy as np
import pandas as pd
from pymatgen.core import Element

from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.crystals import from_columns

Choice = Literal["random", "nearest_energy", "nearest_composition"]


def substitute_templates(targets: pd.DataFrame, training: pd.DataFrame, choice: Choice = "random", seed: int = 0) -> pd.DataFrame:
    """Return one crystal per target, a crystals table with `target_id` and `template_id`.

    A template has the target's counts of atoms (A1B1C6 for Ta1W1B6) and space group; without such a one,
    any of its counts; without that, the target gets no row. `random` draws one, `nearest_energy` takes the one
    whose formation energy is nearest. `nearest_composition` looks at no space group: it takes the one whose elements
    are nearest in Pettifor's order, and where a composition is asked for again the next one. Species of equal count are
    swapped in order of electronegativity. The volume is the template's, times the ratio of the compositions' mean atomic
    volumes in the training set.
    """
    generator = np.random.default_rng(seed)
    volumes = _atomic_volumes(training)
    by_group: dict[tuple, list[int]] = {}
    for row, key in enumerate(_keys(training)):
        by_group.setdefault(key, []).append(row)
        by_group.setdefault(key[:1], []).append(row)
    energies = training["formation_energy_per_atom"].to_numpy()
    ranked = _NearestCompositions(training, by_group) if choice == "nearest_composition" else None
    found, rows = [], []
    for target, key in enumerate(_keys(targets)):
        candidates = by_group.get(key) or by_group.get(key[:1])
        if not candidates:
            continue
        if ranked:
            row = ranked.next(targets["atomic_numbers"].iloc[target], key[:1])
        elif choice == "random":
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


class _NearestCompositions:
    """Hands out a composition's templates, the nearest first; after the last the first again."""

    def __init__(self, training: pd.DataFrame, by_counts: dict[tuple, list[int]]):
        self.numbers, self.by_counts = training["atomic_numbers"], by_counts
        self.places = np.array([0, *(Element.from_Z(z).mendeleev_no for z in range(1, 104))], dtype=float)  # Pettifor's order
        self.described: dict[tuple, np.ndarray] = {}
        self.handed: dict[bytes, list[int]] = {}

    def next(self, target: np.ndarray, counts: tuple) -> int:
        """Row of the training crystals."""
        rows = self.by_counts[counts]
        if counts not in self.described:
            self.described[counts] = np.stack([self._describe(self.numbers.iloc[row]) for row in rows])
        name = np.sort(target).tobytes()
        if not self.handed.get(name):
            distance = np.abs(self.described[counts] - self._describe(target)).sum(axis=1)
            self.handed[name] = [rows[i] for i in np.argsort(distance, kind="stable")[::-1]]
        return self.handed[name].pop()

    def _describe(self, numbers: np.ndarray) -> np.ndarray:
        """Places of the species in the order in which they are swapped, each as often as it has atoms."""
        kinds, counts = np.unique(numbers, return_counts=True)
        often = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
        return np.concatenate([np.full(often[z], self.places[z]) for z in _species(numbers)])


def _keys(table: pd.DataFrame) -> list[tuple]:
    """(sorted counts of each species, space group) of each row."""
    counts = [ordered_species(numbers)[1] for numbers in table["atomic_numbers"]]
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
