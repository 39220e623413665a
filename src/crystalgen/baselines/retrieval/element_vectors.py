"""How unlike two elements are: by Mendeleev number, by vectors mined from a training table, and by vectors fitted to it.

A table of distances has shape (r, 120, 120), indexed by role and two atomic numbers; r is 1, or `len(ROLES) + 1` where the
distance depends on the share of the atoms that the species has. Templates weigh as exp(-distance).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element

from crystalgen.baselines.retrieval.templates import ELEMENTS, Templates

ROLES = (0.15, 0.3, 0.5)  # shares of a cell's atoms between which a species' role changes
# Both from leave-one-out queries of MP-20's training crystals: the scale at which votes name most of the arrangements.
_MENDELEEV_SCALE = 2.0
_MINED_SCALE = 1 / 0.03
_MAX_Z = 103


def mendeleev_numbers() -> np.ndarray:
    """Return each element's place in Pettifor's order as pymatgen has it, (120,); 0 for no element."""
    numbers = np.zeros(ELEMENTS)
    numbers[1 : _MAX_Z + 1] = [Element.from_Z(z).mendeleev_no for z in range(1, _MAX_Z + 1)]
    return numbers


def mendeleev_distances() -> np.ndarray:
    """Return scaled differences of Mendeleev numbers, (1, 120, 120)."""
    numbers = mendeleev_numbers()
    return np.abs(numbers[:, None] - numbers[None, :])[None] * _MENDELEEV_SCALE


def mined_vectors(templates: Templates, dims: int = 24) -> np.ndarray:
    """Return element vectors (120, dims) of length 1, mined from where elements stand in the training crystals.

    Positive pointwise mutual information between an element and its surroundings (stoichiometry, space group, the
    element's place in the sorted counts), then a truncated singular value decomposition (Levy and Goldberg, NeurIPS 2014). An element
    that no crystal has gets the vector of its neighbour in Pettifor's order.
    """
    space_groups = templates.table["space_group"].to_numpy(int, na_value=0)
    met: Counter = Counter()
    for counts, group in templates.groups.items():
        places = [counts.index(count) for count in counts]  # species of equal count have one place
        for row, species in zip(group.rows, group.species, strict=True):
            met.update((int(z), (counts, space_groups[row], place)) for z, place in zip(species, places, strict=True))
    columns = {where: column for column, where in enumerate(dict.fromkeys(where for _, where in met))}
    together = np.zeros((ELEMENTS, len(columns)))
    for (z, where), times in met.items():
        together[z, columns[where]] = times
    expected = together.sum(axis=1, keepdims=True) * together.sum(axis=0, keepdims=True) / together.sum()
    information = np.log(np.maximum(together / np.where(expected > 0, expected, 1), 1))
    left, values, _ = np.linalg.svd(information, full_matrices=False)
    vectors = np.zeros((ELEMENTS, dims))
    kept = min(dims, len(values))
    vectors[:, :kept] = left[:, :kept] * values[:kept]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return fill_unseen(vectors, seen_elements(templates))


def mined_distances(vectors: np.ndarray) -> np.ndarray:
    """Return scaled cosine distances (1, 120, 120) of vectors (120, d) of length 1."""
    return (1 - vectors @ vectors.T)[None] * _MINED_SCALE


@dataclass(frozen=True)
class FittedVectors:
    """Element vectors (120, d) and, for each role, the weight of each of their dimensions, (r, d)."""

    vectors: np.ndarray
    weights: np.ndarray

    def distances(self) -> np.ndarray:
        """Return squared distances of the weighted vectors, (r, 120, 120)."""
        weighted = self.vectors[None] * self.weights[:, None]
        squares = (weighted**2).sum(axis=-1)
        return np.maximum(squares[:, :, None] + squares[:, None, :] - 2 * weighted @ weighted.transpose(0, 2, 1), 0)

    def save(self, path) -> None:
        """Write an `.npz` of plain arrays."""
        np.savez_compressed(path, vectors=self.vectors, weights=self.weights)

    @classmethod
    def load(cls, path) -> "FittedVectors":
        """Read what `save` wrote; pickled content is refused."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["vectors"], file["weights"])


def roles_of(counts: np.ndarray) -> np.ndarray:
    """Return the role of each species, by its share of the atoms, (s,)."""
    return np.digitize(counts / counts.sum(), ROLES)


def seen_elements(templates: Templates) -> np.ndarray:
    """Return the atomic numbers of which some training crystal has an atom, ascending."""
    return np.unique(np.concatenate(templates.table["atomic_numbers"].to_numpy()))


def fill_unseen(vectors: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the vectors (120, d) with those of unseen elements copied from the seen one next in Pettifor's order."""
    numbers, filled = mendeleev_numbers(), vectors.copy()
    for z in set(range(1, _MAX_Z + 1)) - set(seen.tolist()):
        filled[z] = vectors[seen[np.abs(numbers[seen] - numbers[z]).argmin()]]
    return filled
