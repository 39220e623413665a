"""Species of a cell by their counts, and which of them may change places."""

import itertools
from collections.abc import Sequence

import numpy as np


def ordered_species(numbers: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the species (s,) of a cell's atomic numbers, ordered by count and then atomic number, and their counts: its stoichiometry."""
    kinds, counts = np.unique(numbers, return_counts=True)
    order = np.lexsort((kinds, counts))
    return kinds[order], tuple(counts[order].tolist())


def permutations_of(counts: Sequence[int]) -> np.ndarray:
    """Return every permutation (p, s) of species, whose counts ascend, among those of equal count; the identity first."""
    counts = np.asarray(counts)
    alike = [np.flatnonzero(counts == count) for count in np.unique(counts)]
    choices = itertools.product(*(itertools.permutations(places) for places in alike))
    return np.array([np.concatenate(choice) for choice in choices])  # counts ascend, so that the pieces follow each other
