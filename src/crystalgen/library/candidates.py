"""The library's candidates: decorated AFLOW prototypes and superstructures of fcc, bcc and hcp.

Each candidate is a Niggli-reduced primitive cell at a volume estimated from the elements' atomic
volumes; the volume scan that follows replaces it.
"""

import itertools
import warnings
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd
from ase.build import bulk
from icet.tools import enumerate_structures
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Element, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals import from_structures
from crystalgen.library.recipe import Recipe
from crystalgen.matching.match import reduce_table
from crystalgen.matching.novelty import is_same

PARENT_LATTICES = {
    "fcc": bulk("Al", "fcc", a=4.0),
    "bcc": bulk("W", "bcc", a=3.2),
    "hcp": bulk("Ti", "hcp", a=2.9, c=2.9 * np.sqrt(8 / 3)),
}
_PLACEHOLDERS = ("Ta", "W", "B")  # species the enumeration runs with, replaced by each system's
_ATOMIC_VOLUMES = {"N": 10.0}  # Å^3; the molar volume of a molecular solid says little of its compounds


def enumerate_candidates(recipe: Recipe) -> pd.DataFrame:
    """Return all candidates as a crystals table with the extra columns `prototype` and `family`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [*_prototype_candidates(recipe), *_superstructure_candidates(recipe)]
    structures, prototypes, families = zip(*found, strict=True)
    table = from_structures(structures, source="library")
    table["prototype"], table["family"] = prototypes, families
    return table


def estimated_volume(structure: Structure) -> float:
    """Sum of elemental atomic volumes (molar volumes of the elements), Å^3."""
    return sum(_atomic_volume(element) * count for element, count in structure.composition.items())


def _atomic_volume(element: Element) -> float:
    """Å^3; cm^3/mol over Avogadro's number unless listed above."""
    return _ATOMIC_VOLUMES.get(element.symbol, float(element.molar_volume) / 0.602214)


def _prototype_candidates(recipe: Recipe) -> Iterator[tuple[Structure, str, str]]:
    limits, elements = recipe.prototypes, recipe.elements
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        parent = _reduced(entry["snl"].structure)
        species, sites = parent.elements, len(parent)
        if len(species) == 1 and sites <= limits.unary_sites:
            assignments = [(e,) for e in elements]
        elif len(species) == 2 and sites <= limits.binary_sites:
            assignments = list(itertools.combinations(elements, 2))
        elif len(species) == 2 and sites <= limits.large_sites:
            assignments = [system.split("-") for system in limits.large_systems]
        elif len(species) == 3 and sites <= limits.ternary_sites:
            assignments = [system.split("-") for system in recipe.ternary_systems]
        else:
            continue
        orders = _distinct_orders(parent)
        chosen = {tuple(sorted(a)) for a in assignments}
        for system in sorted(chosen):
            for order in orders:
                mapping = {s: system[i] for s, i in zip(species, order, strict=True)}
                yield _decorated(parent, mapping), entry["tags"]["aflow"], "prototype"


def _superstructure_candidates(recipe: Recipe) -> Iterator[tuple[Structure, str, str]]:
    limits = recipe.superstructures
    pairs = [list(p) for p in itertools.combinations(recipe.elements, 2)]
    triples = [system.split("-") for system in recipe.ternary_systems]
    generator = np.random.default_rng(recipe.seed)
    for lattice in PARENT_LATTICES:
        groups = _superstructures(lattice, limits.rich_sites)
        for systems, largest in ((pairs, limits.binary_sites), (triples, limits.ternary_sites)):
            for elements in systems:
                for counts, members in groups[len(elements)].items():
                    if sum(counts) <= largest:
                        yield from _decorate_group(members, elements, lattice)
        for elements in (system.split("-") for system in recipe.rich_systems):
            wanted = limits.rich_binary_formulas if len(elements) == 2 else limits.rich_ternary_formulas
            for counts in wanted:
                members = groups[len(elements)].get(tuple(counts), [])
                count = min(limits.rich_per_lattice, len(members))
                chosen = np.sort(generator.choice(len(members), size=count, replace=False))
                yield from _decorate_group([members[i] for i in chosen], elements, lattice)


def _decorate_group(members, elements, lattice):
    for number, parent in members:
        mapping = {Element(p): e for p, e in zip(_PLACEHOLDERS, elements, strict=False)}
        yield _decorated(parent, mapping), f"{lattice}-{number}", "superstructure"


def _superstructures(lattice: str, max_sites: int) -> dict[int, dict[tuple[int, ...], list]]:
    """Derivative structures by species count, then by counts of each species, numbered within a lattice."""
    parent = PARENT_LATTICES[lattice]
    groups: dict[int, dict] = {2: defaultdict(list), 3: defaultdict(list)}
    for species in (2, 3):
        sizes = range(1, max_sites // len(parent) + 1)
        names = _PLACEHOLDERS[:species]
        for number, atoms in enumerate(enumerate_structures(parent, sizes, list(names))):
            counts = tuple(atoms.get_chemical_symbols().count(name) for name in names)
            if all(counts):
                structure = AseAtomsAdaptor.get_structure(atoms).get_reduced_structure()
                groups[species][counts].append((f"{species}.{number}", structure))
    return groups


def _distinct_orders(parent: Structure) -> list[tuple[int, ...]]:
    """Orders of species over the parent's sublattices that give different crystals (rocksalt has one)."""
    orders = list(itertools.permutations(range(len(parent.elements))))
    names = [dict(zip(parent.elements, (_PLACEHOLDERS[i] for i in order), strict=True)) for order in orders]
    trials = [Structure(parent.lattice, [mapping[e] for e in parent.species], parent.frac_coords) for mapping in names]
    kept = []
    for order, cell in zip(orders, reduce_table(from_structures(trials, "trial"), workers=1), strict=True):
        if not any(is_same(cell, other) for _, other in kept):
            kept.append((order, cell))
    return [order for order, _ in kept]


def _reduced(structure: Structure) -> Structure:
    return structure.get_primitive_structure().get_reduced_structure()


def _decorated(parent: Structure, mapping: dict) -> Structure:
    structure = Structure(parent.lattice, [mapping[e] for e in parent.species], parent.frac_coords)
    structure = structure.get_sorted_structure()
    structure.scale_lattice(estimated_volume(structure))
    return structure
