"""Templates as networks see them: pair features and species of their sites, those with equally many sites in one array."""

from dataclasses import dataclass

import numpy as np

from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.corrector.neighbours import pair_features


@dataclass(frozen=True)
class Sites:
    """Reduced cells of templates.

    count: sites of each template's reduced cell, (t,); 0 where there is none. place: its row in the arrays below, (t,).
    species: by number of sites, which of the template's species (`ordered_species`) each site has, (rows, n).
    radial: by number of sites, sums over neighbours (`pair_features`), float16 (rows, n, n, RADIAL).
    """

    count: np.ndarray
    place: np.ndarray
    species: dict[int, np.ndarray]
    radial: dict[int, np.ndarray]

    @classmethod
    def of(cls, templates: Templates) -> "Sites":
        """Describe every template; about ten seconds and 120 MB for MP-20."""
        cells = templates.cells
        count = np.array([0 if isinstance(cell, str) else len(cell.numbers) for cell in cells])
        place, species, radial = np.zeros(len(cells), dtype=int), {}, {}
        for n in np.unique(count[count > 0]).tolist():
            rows = np.flatnonzero(count == n)
            place[rows] = np.arange(len(rows))
            radial[n] = np.stack([pair_features(cells[row].lattice, cells[row].coords)[0].astype(np.float16) for row in rows])
            kinds = [ordered_species(templates.table["atomic_numbers"].iloc[row])[0] for row in rows]
            species[n] = np.stack([_indices(cells[row].numbers, kind) for row, kind in zip(rows, kinds, strict=True)])
        return cls(count, place, species, radial)


def _indices(numbers: np.ndarray, species: np.ndarray) -> np.ndarray:
    """Return the place of each site's element among the species, (n,)."""
    return (numbers[:, None] == species).argmax(axis=1)
