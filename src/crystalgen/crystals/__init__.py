"""The one table of crystals that every source, model and metric of the project speaks."""

from crystalgen.crystals.convert import (
    from_structures,
    to_structures,
    write_structure_files,
)
from crystalgen.crystals.reading import structure_from_file, structure_from_text
from crystalgen.crystals.schema import CrystalTableError, validate
from crystalgen.crystals.table import formulas, from_columns, read_crystals, write_crystals

__all__ = [
    "CrystalTableError",
    "formulas",
    "from_columns",
    "from_structures",
    "read_crystals",
    "structure_from_file",
    "structure_from_text",
    "to_structures",
    "validate",
    "write_crystals",
    "write_structure_files",
]
