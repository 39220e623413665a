"""Training crystals of one prototype, space group and Wyckoff sites, each laid on the first of them with its species in the same roles."""

from collections.abc import Iterator
from dataclasses import dataclass

import joblib
import numpy as np

from crystalgen.baselines.distilled.symmetry import Symmetry, hencky_strain
from crystalgen.baselines.retrieval.templates import ELEMENTS, TemplateGroup, Templates
from crystalgen.matching.align import align
from crystalgen.matching.matcher import CSP
from crystalgen.matching.reduction import ReducedCell

_ASYMMETRIC = 0.15  # Å and, times 5, of strain: a crystal this far from the reference's symmetry occupies other sites


@dataclass(frozen=True)
class PrototypeClass:
    """Training crystals of one protostructure; m members, s roles, n sites.

    counts: atoms of each role, ascending, (s,). symmetry: of the first member. roles: of each site, (n,).
    members: rows in the training table, (m,). species: atomic number in each role of each member, (m, s).
    strains, displacements, volumes: what makes the first member's symmetric cell each member, (m, 3, 3), (m, n, 3) in Å and
    the members' volumes in Å^3, (m,).
    permutations, arrangements: (p, s) and (p,), see `TemplateGroup`, with the first member for a template.
    """

    space_group: int
    counts: np.ndarray
    symmetry: Symmetry
    roles: np.ndarray
    members: np.ndarray
    species: np.ndarray
    strains: np.ndarray
    displacements: np.ndarray
    volumes: np.ndarray
    permutations: np.ndarray
    arrangements: np.ndarray


def find_classes(templates: Templates, min_members: int = 3, workers: int = 2) -> list[PrototypeClass]:
    """Return the classes of at least `min_members` training crystals, the larger first.

    Args:
        templates: with arrangements; crystals that the matcher takes for one prototype and that have one space group are laid on
            the first of them; those that do not share its symmetry make classes of their own.
        min_members: of a class.
        workers: processes.
    """
    jobs = [job for group in templates.groups.values() for job in _jobs(templates, group, min_members)]
    jobs.sort(key=lambda job: -len(job[2]))
    found = joblib.Parallel(n_jobs=workers, batch_size=4)(joblib.delayed(_classes)(*job, min_members) for job in jobs)
    return sorted((each for classes in found for each in classes), key=lambda each: -len(each.members))


def _jobs(templates: Templates, group: TemplateGroup, min_members: int) -> Iterator[tuple]:
    space_groups = templates.table["space_group"].to_numpy(int, na_value=0)[group.rows]
    prototypes = group.arrangements.min(axis=1)
    for prototype, space_group in np.unique(np.stack([prototypes, space_groups], axis=1), axis=0):
        places = np.flatnonzero((prototypes == prototype) & (space_groups == space_group))
        places = [place for place in places if not isinstance(templates.cells[group.rows[place]], str)]
        if len(places) >= min_members and space_group > 0:
            cells = [templates.cells[group.rows[place]] for place in places]
            yield (
                int(space_group),
                group.counts,
                group.rows[places],
                group.species[places],
                cells,
                group.permutations,
                group.arrangements[places],
            )


def _classes(space_group, counts, rows, species, cells, permutations, arrangements, min_members) -> list[PrototypeClass]:
    left, classes = np.arange(len(rows)), []
    while len(left) >= min_members:
        first = left[0]
        reference = _by_role(cells[first], species[first])
        symmetry = Symmetry.of(reference, space_group)
        laid: dict[int, tuple] = {}
        for place in left if symmetry is not None else []:
            # the first crystal becomes this one where its species take the roles of one of these permutations
            ways = species[place][permutations[arrangements[first] == arrangements[place][0]]]
            for kinds in sorted(ways, key=lambda taken: np.abs(taken - species[first]).sum()):
                if (found := _laid(symmetry, reference, cells[place], kinds)) is not None:
                    laid[place] = (kinds, *found)
                    break
        if len(laid) >= min_members:
            kinds, strains, displacements, volumes = (np.array(values) for values in zip(*laid.values(), strict=True))
            members = rows[list(laid)]
            classes.append(PrototypeClass(space_group, counts, symmetry, reference.numbers - 1, members, kinds, strains, displacements,
                                          volumes, permutations, arrangements[first]))  # fmt: skip
        left = np.array([place for place in left[1:] if place not in laid])
    return classes


def _laid(symmetry: Symmetry, reference: ReducedCell, cell: ReducedCell, kinds: np.ndarray) -> tuple | None:
    """Return strain, displacements and volume of a crystal laid on the reference; None where it does not have its symmetry."""
    found = align(_by_role(cell, kinds), reference, CSP)
    if found is None:
        return None
    strain = hencky_strain(symmetry.lattice, found.lattice)
    apart = found.coords - symmetry.coords
    apart = (apart - apart.mean(axis=0)) @ symmetry.lattice
    kept, kept_strain = symmetry.displacements(apart), symmetry.strain(strain)
    if np.abs(kept - apart).max() > _ASYMMETRIC or 5 * np.abs(kept_strain - strain).max() > _ASYMMETRIC:
        return None
    return kept_strain, kept, abs(np.linalg.det(found.lattice))


def _by_role(cell: ReducedCell, species: np.ndarray) -> ReducedCell:
    """Return the cell with the place of each site's species among `species`, + 1, for its atomic number."""
    table = np.zeros(ELEMENTS, dtype=int)
    table[species] = np.arange(len(species)) + 1
    return ReducedCell(cell.lattice, table[cell.numbers], cell.coords)
