"""Where candidates come from: distilled prototypes, looked-up crystals, the generator without templates, random search, a given crystal.

Each source answers a formula in cells of several formula units with a table of crystals: source, units, origin (which prototype,
template or draw), weight, and `share`, its part of all that the source says for the formula, over all cells; NaN of random search.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.baselines.distilled.prototypes import SOURCE as PROTOTYPES
from crystalgen.baselines.distilled.store import shipped_prototypes
from crystalgen.baselines.random_search import RANDOM, random_crystals
from crystalgen.baselines.retrieval.neighbours import request_distances
from crystalgen.baselines.retrieval.retrieve import SOURCE as RETRIEVAL
from crystalgen.baselines.retrieval.retrieve import candidate_crystals, find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.chemistry.orbits import fillings
from crystalgen.corrector.model import Networks
from crystalgen.corrector.sites import Sites
from crystalgen.crystals import from_columns
from crystalgen.experiments.correcting import SOURCE as CORRECTOR
from crystalgen.experiments.correcting import Choosing
from crystalgen.experiments.scaffolds import choose_scaffolds
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.settings import Sampling
from crystalgen.represent.canonical import counted_numbers, ordered_numbers
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.utils import paths
from crystalgen.utils.elements import SYMBOLS
from crystalgen.utils.limits import FORMULA_UNITS

GENERATOR = "generator"
SEED = "seed"
SOURCES = (PROTOTYPES, RETRIEVAL, CORRECTOR, GENERATOR, RANDOM, SEED)
MAX_ATOMS = 60  # of a cell: what the shipped prototypes go to
GENERATOR_ATOMS = 20  # of a cell that the shipped generator was trained on
SHIPPED_GENERATOR = paths.SHIPPED / "mp_20_generator" / "models" / "generator"
SHIPPED_CORRECTOR = paths.SHIPPED / "mp_20" / "models" / "corrector"
_NO_VOTE = 1e-300  # a chance of none at all, whose logarithm is finite
_PER_CELL = 12  # candidates of a source in cells of one size
_DRAWS = 8  # of the generator for cells of one size
_RANDOM_ATOMS = 24  # of a cell that a random search draws


def cells_of(counts: dict[str, int], units: Iterable[int] = FORMULA_UNITS, most: int = MAX_ATOMS) -> dict[int, np.ndarray]:
    """Return the atomic numbers of cells of several formula units, by these.

    counts: atoms of each element in a formula unit, by symbol. most: atoms of a cell; one formula unit is there however large it is.
    """
    one = counted_numbers(counts)
    return {n: ordered_numbers(np.tile(one, n)) for n in units if n == 1 or n * len(one) <= most}


def prototype_candidates(cells: dict[int, np.ndarray], space_group: int | None = None, count: int = _PER_CELL) -> pd.DataFrame:
    """Return crystals of the shipped prototypes; with a space group, of prototypes that have it where there is one."""
    prototypes, rows = _prototypes(), []
    for units, numbers in cells.items():
        for candidate in prototypes.candidates(numbers, count, space_group):
            found = candidate.prototype
            if not candidate.shift.any():
                origin = f"{found.members} crystals of space group {found.space_group}"
                rows.append((*prototypes.crystal(candidate), units, candidate.weight, origin))
    return _table(rows, PROTOTYPES)


def prototype_votes(counts: dict[str, int]) -> float:
    """Return the natural logarithm of all votes of the shipped prototypes for a formula; minus infinity without a prototype."""
    candidates = (found for numbers in cells_of(counts).values() for found in _prototypes().candidates(numbers, _PER_CELL))
    return float(np.logaddexp.reduce([found.weight for found in candidates if not found.shift.any()]))


def retrieved_candidates(cells: dict[int, np.ndarray], known: pd.DataFrame, space_group: int | None = None, count: int = _PER_CELL,
                         workers: int = 1, correct: bool = True) -> pd.DataFrame:  # fmt: skip
    """Return known crystals of like composition with their elements exchanged, by votes of all of equal stoichiometry.

    Where the shipped networks are at hand, the same follow as their answers: corrected, with the chances that the scorers give.

    known: crystals to copy from; those of the formula itself take part. correct: whether the networks are asked.
    """
    prototypes = _prototypes()
    wanted = {ordered_species(numbers)[1] for numbers in cells.values()}
    sizes = {sum(counts) for counts in wanted}
    near = known[known["nsites"].isin(sizes)]
    near = near[[ordered_species(numbers)[1] in wanted for numbers in near["atomic_numbers"]]]
    if near.empty:
        return _table([], RETRIEVAL)
    templates, distances = Templates(near, workers=workers), prototypes.vectors.distances()
    templates.volumes = prototypes.volumes  # few crystals say little of an element's volume
    requests = pd.DataFrame({"id": [str(units) for units in cells], "atomic_numbers": list(cells.values()), "space_group": space_group})
    found = find_candidates(templates, requests, distances, count, within_space_group=space_group is not None, repeats=False)
    if found.empty:
        return _table([], RETRIEVAL)
    totals = np.array([_total(templates, numbers, distances) for numbers in cells.values()])
    voted = found.assign(weight=totals[found["request"]] + np.log(np.maximum(found["votes"].to_numpy(), _NO_VOTE)))
    tables = [_looked_up(candidate_crystals(templates, requests, voted), voted["weight"], templates, voted, RETRIEVAL)]
    if correct and SHIPPED_CORRECTOR.is_dir():
        choosing = Choosing(templates, Sites.of(templates), distances, _networks(SHIPPED_CORRECTOR))
        chosen = choosing.ranked(requests, found, told=space_group is not None).dropna(subset="probability").reset_index(drop=True)
        cells_of_chosen = choosing.corrected(requests, chosen)
        fine = [not isinstance(cell, str) for cell in cells_of_chosen]
        crystals, chosen = choosing.crystals(requests, chosen, cells_of_chosen), chosen[fine].reset_index(drop=True)
        chances = totals[chosen["request"]] + np.log(np.maximum(chosen["probability"].to_numpy(), _NO_VOTE))
        tables.append(_looked_up(crystals, chances, templates, chosen, CORRECTOR))
    return pd.concat(tables, ignore_index=True)


def seed_candidates(counts: dict[str, int], seed: pd.DataFrame) -> pd.DataFrame:
    """Return a crystal with its elements exchanged for a formula's: of equal amounts the most similar ones, at the formula's volume.

    seed: one crystal of the formula's stoichiometry, in a primitive cell.
    """
    given = seed.iloc[0]
    units = given["nsites"] // sum(counts.values())
    table = retrieved_candidates(cells_of(counts, [units], max(MAX_ATOMS, given["nsites"])), seed, count=1, correct=False)
    numbers = zip(given["atomic_numbers"], table["atomic_numbers"].iloc[0], strict=True)
    exchanged = {SYMBOLS[old - 1]: SYMBOLS[new - 1] for old, new in numbers if old != new}
    origin = f"{given['reduced_formula']} with " + (", ".join(f"{new} for {old}" for old, new in exchanged.items()) or "its own elements")
    return table.assign(source=SEED, share=np.nan, origin=origin)


def generated_candidates(cells: dict[int, np.ndarray], space_group: int | None = None, energy: float | None = None,
                         draws: int = _DRAWS, seed: int = 0, folder: Path | None = None, exact: bool = True) -> pd.DataFrame:  # fmt: skip
    """Return crystals of the shipped generator, the first of each cell the most probable one; none of cells that it cannot be told.

    energy: formation energy to condition on, eV/atom. exact: whether the space group is kept by construction.
    """
    folder = folder or SHIPPED_GENERATOR
    if not folder.is_dir():
        return _table([], GENERATOR)
    model = _generator(folder)
    exact = exact and space_group is not None
    fit = {units: numbers for units, numbers in cells.items() if len(numbers) <= GENERATOR_ATOMS and model.knows(numbers)}
    if exact:
        fit = {units: numbers for units, numbers in fit.items() if fillings(numbers, space_group, most=1)}
    if not fit:
        return _table([], GENERATOR)
    withhold = [name for name, value in (("space_group", space_group), ("formation_energy_per_atom", energy)) if value is None]
    sampling = Sampling(sampler="unmask", steps=50, temperature=1.0, per_target=draws, seed=seed, withhold=withhold)
    told = {"space_group": space_group or 0, "formation_energy_per_atom": np.nan if energy is None else energy}
    made = []
    for units, numbers in fit.items():  # one after the other: a batch costs what its longest cell does
        asked = pd.DataFrame([{"atomic_numbers": numbers, "units": units, **told}] * draws)
        scaffolds = choose_scaffolds(numbers, space_group, draws, _prototypes(), seed) if exact else None
        made.append(generate_for_conditions(model, asked, sampling, GENERATOR, None, scaffolds)[0])
    made = pd.concat(made, ignore_index=True)
    columns = (made[name] for name in ("lattice", "atomic_numbers", "frac_coords", "units"))
    origins = [f"draw {name.rsplit('-', 1)[1]}" for name in made["id"]]
    return _table([(*row, 0.0, origin) for *row, origin in zip(*columns, origins, strict=True)], GENERATOR)


def random_candidates(cells: dict[int, np.ndarray], count: int, seed: int = 0, workers: int = 1) -> pd.DataFrame:
    """Return random symmetric crystals, `count` in all, of cells of at most 24 atoms."""
    small = {str(units): numbers for units, numbers in cells.items() if len(numbers) <= _RANDOM_ATOMS} or {"1": cells[min(cells)]}
    drawn = random_crystals(small, -(-count // len(small)), seed, workers).head(count)
    columns = (drawn[name] for name in ("lattice", "atomic_numbers", "frac_coords"))
    origins = [f"drawn in space group {group}" for group in drawn["asked_space_group"]]
    return _table([(*row, 0.0, origin) for *row, origin in zip(*columns, drawn["composition"].astype(int), origins, strict=True)], RANDOM)


def element_distances() -> np.ndarray:
    """Return distances between elements as the shipped prototypes have them, see `element_vectors.FittedVectors.distances`."""
    return _prototypes().vectors.distances()


@cache
def _prototypes():
    return shipped_prototypes()


@cache
def _networks(folder: Path) -> Networks:
    return Networks.load(folder)


@cache
def _generator(folder: Path) -> Model:
    return Model.load(folder, count=1)


def known_elements() -> frozenset[int]:
    """Return the atomic numbers that the shipped prototypes know."""
    return frozenset(int(z) for z in _prototypes().elements)


def _looked_up(crystals: pd.DataFrame, weights: np.ndarray, templates: Templates, found: pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows of a source that looks up: crystals of candidates, in the same order."""
    columns = (crystals[name] for name in ("lattice", "atomic_numbers", "frac_coords"))
    origins = ["as " + name for name in templates.table["id"].to_numpy()[found["template"]]]
    return _table(list(zip(*columns, crystals["target_id"].astype(int), weights, origins, strict=True)), source)


def _total(templates: Templates, numbers: np.ndarray, distances: np.ndarray) -> float:
    """Return the logarithm of all votes on a cell; minus infinity without a template."""
    kinds, counts = ordered_species(numbers)
    group = templates.groups.get(counts)
    return float(np.logaddexp.reduce(-request_distances(group, kinds[None], distances).ravel())) if group is not None else -np.inf


def _table(rows: list[tuple], source: str) -> pd.DataFrame:
    """Rows of lattice, numbers, coordinates, units, weight, origin as crystals."""
    lattices, numbers, coords, units, weights, origins = zip(*rows, strict=True) if rows else ((),) * 6
    weights = np.array(weights, dtype=float)
    shares = np.exp(weights - np.logaddexp.reduce(weights)) if len(weights) else weights
    table = from_columns(lattices, numbers, coords, source)
    return table.assign(
        units=np.array(units, dtype=int), weight=weights, share=np.nan if source == RANDOM else shares, origin=list(origins)
    )
