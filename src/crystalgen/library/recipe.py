"""The library's recipe: strict parameters, so that a misspelt key is an error and not a default."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from crystalgen.library.volumes import Volumes
from crystalgen.utils.strict import Strict, read_strict
from crystalgen.utils.values import Count, Distinct, DistinctSystems, Positive, Seed, Symbol, System, Whole

Sites = Annotated[Count, Field(le=1000)]  # atoms of a primitive cell
SystemList = Annotated[list[System], DistinctSystems]  # lists, in whose words the builder's folders are named
Formulas = Field(min_length=1, max_length=1000)


class Prototypes(Strict):
    """Which AFLOW prototypes are decorated; sizes are atoms in the primitive cell."""

    unary_sites: Sites
    binary_sites: Sites
    ternary_sites: Sites
    large_sites: Sites
    large_systems: SystemList


class Superstructures(Strict):
    """Which derivative structures of fcc, bcc and hcp enter."""

    binary_sites: Sites
    ternary_sites: Sites
    rich_sites: Sites
    rich_per_lattice: Count
    rich_binary_formulas: Annotated[list[tuple[Sites, Sites]], Formulas]
    rich_ternary_formulas: Annotated[list[tuple[Sites, Sites, Sites]], Formulas]


class Relaxation(Strict):
    """Which structures are relaxed, how far, and how many at most."""

    hull_window: Positive
    lowest_of_each_formula: Annotated[Whole, Field(ge=0)]
    fmax: Positive
    max_steps: Count
    reference_max_steps: Count
    max_structures: Count


class Recipe(Strict):
    """Everything that decides the library's content."""

    elements: Annotated[list[Symbol], Field(min_length=1), Distinct]
    prototypes: Prototypes
    superstructures: Superstructures
    rich_systems: SystemList
    ternary_systems: SystemList
    volumes: Volumes
    relaxation: Relaxation
    symprec: Positive
    duplicate_energy: Positive
    shard_size: Count
    seed: Seed

    @model_validator(mode="after")
    def _systems_are_of_its_elements(self):
        named = {"rich_systems": self.rich_systems, "ternary_systems": self.ternary_systems}
        for key, systems in (named | {"prototypes.large_systems": self.prototypes.large_systems}).items():
            if strange := [system for system in systems if not set(system.split("-")) <= set(self.elements)]:
                raise ValueError(f"{key}: {strange}; expected systems of the elements {list(self.elements)}")
        return self


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        StudyError: naming the file and each key at fault.
    """
    return read_strict(Recipe, Path(path))
