"""The crystals table to and from pymatgen structures and structure files (CIF, POSCAR, extxyz)."""

import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

import ase.io
import numpy as np
import pandas as pd
from pymatgen.core import DummySpecies, Element, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals.geometry import right_handed
from crystalgen.crystals.schema import CrystalTableError
from crystalgen.crystals.table import from_columns

STRUCTURE_SUFFIXES = (".cif", ".vasp", ".poscar", ".extxyz", ".xyz")
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


def structure_from_text(text: str, format: str, where: str) -> Structure:
    """Parse one crystal.

    Args:
        text: the file's content.
        format: `cif`, `poscar` or `extxyz`.
        where: named in the error (a file, or a file and row).

    Raises:
        CrystalTableError: naming `where` and what the parser said.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if format == "extxyz":
                atoms = ase.io.read(io.StringIO(text), format="extxyz", index=0)
                if not atoms.pbc.all():
                    raise ValueError("no periodic cell (a 'Lattice=' entry is expected)")
                structure = AseAtomsAdaptor.get_structure(atoms)
            else:
                structure = Structure.from_str(text, fmt=format)
            unknown = [str(s) for s in structure.composition if isinstance(s, DummySpecies)]
            if unknown:
                raise ValueError(f"unknown element {', '.join(unknown)}")
            return structure
    except Exception as error:  # each parser raises types of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CrystalTableError(f"{where}: not a readable {format} crystal ({reason})") from None


def structure_from_file(path: str | Path) -> Structure:
    """Read the crystal of one CIF, POSCAR/CONTCAR or extxyz file."""
    path = Path(path)
    return structure_from_text(path.read_text(errors="replace"), format_of(path), str(path))


def is_structure_file(path: PurePath) -> bool:
    """Return whether the name is one that `structure_from_file` reads."""
    return path.suffix.lower() in STRUCTURE_SUFFIXES or path.name.upper().startswith(("POSCAR", "CONTCAR"))


def without_suffix(name: str) -> str:
    """Return the name of a structure file without what says its format."""
    return str(PurePath(name).with_suffix("")) if PurePath(name).suffix.lower() in STRUCTURE_SUFFIXES else name


def write_structure_files(table: pd.DataFrame, folder: str | Path, format: str = "cif") -> list[Path]:
    """Write one `<id>.<format>` per row (`cif`, `poscar` or `extxyz`); returns the paths.

    A slash in an id becomes `_`; ids that then coincide get their row number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = table["id"].str.replace("/", "_")
    names = names.where(~names.duplicated(), names + "-row" + pd.Series(range(len(table)), index=table.index).astype(str))
    paths = []
    for name, structure in zip(names, map(_right_handed, to_structures(table)), strict=True):
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


def format_of(path: PurePath) -> str:
    """`cif`, `extxyz` or `poscar`, by the name."""
    if path.suffix.lower() == ".cif":
        return "cif"
    return "extxyz" if path.suffix.lower() in (".extxyz", ".xyz") else "poscar"
