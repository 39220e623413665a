"""The library's recipe: strict parameters, so that a misspelt key is an error and not a default."""

from pathlib import Path

from crystalgen.library.volumes import Volumes
from crystalgen.utils.strict import Strict, read_strict


class Prototypes(Strict):
    """Which AFLOW prototypes are decorated; sizes are atoms in the primitive cell."""

    unary_sites: int
    binary_sites: int
    ternary_sites: int
    large_sites: int
    large_systems: list[str]


class Superstructures(Strict):
    """Which derivative structures of fcc, bcc and hcp enter."""

    binary_sites: int
    ternary_sites: int
    rich_sites: int
    rich_per_lattice: int
    rich_binary_formulas: list[tuple[int, int]]
    rich_ternary_formulas: list[tuple[int, int, int]]


class Relaxation(Strict):
    """Which structures are relaxed, how far, and how many at most."""

    hull_window: float
    lowest_of_each_formula: int
    fmax: float
    max_steps: int
    reference_max_steps: int
    max_structures: int


class Recipe(Strict):
    """Everything that decides the library's content."""

    elements: list[str]
    prototypes: Prototypes
    superstructures: Superstructures
    rich_systems: list[str]
    ternary_systems: list[str]
    volumes: Volumes
    relaxation: Relaxation
    symprec: float
    duplicate_energy: float
    shard_size: int
    seed: int


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        StudyError: naming the file and each key at fault.
    """
    return read_strict(Recipe, Path(path))
