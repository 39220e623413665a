"""The crystals table to and from pymatgen structures, and to structure files (CIF, POSCAR, extxyz)."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals.geometry import right_handed
from crystalgen.crystals.schema import CrystalTableError
from crystalgen.crystals.table import from_columns
from crystalgen.utils.safe_names import safe_names

_SPECIES = {z: Element.from_Z(z) for z in range(1, 104)}


def to_structures(table: pd.DataFrame) -> list[Structure]:
    """pymatgen structures of the rows, in order."""
    columns = zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True)
    return [Structure(Lattice(m), [_SPECIES[int(z)] for z in zs], x) for m, zs, x in columns]


def from_structures(structures: Iterable[Structure], source: str, id: Sequence[str] | None = None, **columns) -> pd.DataFrame:
    """Return a crystals table of ordered pymatgen structures (see `table.from_columns`)."""
    structures = list(structures)
    names = [f"{source}-{i}" for i in range(len(structures))] if id is None else id
    for name, structure in zip(names, structures, strict=True):
        if not structure.is_ordered:
            raise CrystalTableError(f"{source}: '{name}' ({structure.formula}) has partial occupancies; expected one element per site")
    return from_columns(
        [s.lattice.matrix for s in structures],
        [np.array(s.atomic_numbers) for s in structures],
        [s.frac_coords for s in structures],
        source,
        id,
        **columns,
    )


def write_structure_files(table: pd.DataFrame, folder: str | Path, format: str = "cif") -> list[Path]:
    """Write one `<id>.<format>` per row (`cif`, `poscar` or `extxyz`); returns the paths.

    Names are ids made safe (see `utils.safe_names`), which never leave the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, structure in zip(safe_names(table["id"]), map(_right_handed, to_structures(table)), strict=True):
        path = folder / f"{name}.{format}"
        if format == "extxyz":
            ase.io.write(path, AseAtomsAdaptor.get_atoms(structure, msonable=False), format="extxyz")
        else:
            structure.to(filename=str(path), fmt=format)
        paths.append(path)
    return paths


def _right_handed(structure: Structure) -> Structure:
    lattice, coords = right_handed(structure.lattice.matrix, structure.frac_coords)
    return Structure(lattice, structure.species, coords)
