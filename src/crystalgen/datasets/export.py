"""A crystals table as the files of benchmarks and generators, which `read_generated` reads again."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import torch
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals import to_structures
from crystalgen.crystals.convert import write_structure_files
from crystalgen.crystals.geometry import right_handed
from crystalgen.utils.files import atomic


def write_genbench(table: pd.DataFrame, path: Path) -> None:
    """LeMat-GenBench's CSV: material_id, structure (a pymatgen Structure as JSON), and energies where they are known."""
    frame = pd.DataFrame({"material_id": table["id"].to_numpy()})
    frame["structure"] = [json.dumps(structure.as_dict()) for structure in to_structures(table)]
    for name in ("energy_per_atom", "e_above_hull"):
        if name in table:
            frame[name] = table[name].to_numpy()
    frame.to_csv(path, index=False, lineterminator="\n")


def write_mattergen(table: pd.DataFrame, path: Path) -> None:
    """MatterGen's extxyz: a frame for each crystal, with its `energy` (eV) where that is known."""
    _write_frames(table, path, indexed=False)


def write_metre(table: pd.DataFrame, path: Path) -> None:
    """METRe's extxyz: `index` says which target a crystal is of (`target_place`, else its own place), `energy` (eV) where that is known."""
    _write_frames(table, path, indexed=True)


def write_tensors(table: pd.DataFrame, path: Path) -> None:
    """DiffCSP's and CDVAE's tensors, with a first axis of one generation; Å and degrees, so that the orientation is lost."""
    cells = [right_handed(*cell) for cell in zip(table["lattice"], table["frac_coords"], strict=True)]
    lattices = np.array([lattice for lattice, _ in cells])
    lengths = np.linalg.norm(lattices, axis=2)
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = np.stack([(lattices[:, i] * lattices[:, j]).sum(axis=1) / lengths[:, i] / lengths[:, j] for i, j in pairs], axis=1)
    tensors = {
        "frac_coords": np.concatenate([coords for _, coords in cells]),
        "atom_types": np.concatenate(table["atomic_numbers"].to_numpy()).astype(np.int64),
        "num_atoms": table["nsites"].to_numpy().astype(np.int64),
        "lattices": lattices,
        "lengths": lengths,
        "angles": np.degrees(np.arccos(np.clip(cosines, -1, 1))),
    }
    torch.save({name: torch.from_numpy(values)[None] for name, values in tensors.items()}, path)


def write_cif_zip(table: pd.DataFrame, path: Path) -> None:
    """A .zip of CIFs in a folder `cifs`, named by ids."""
    folder = path.with_suffix(".cifs")
    try:
        files = write_structure_files(table, folder)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, f"cifs/{file.name}")
    finally:
        for file in folder.glob("*.cif"):
            file.unlink()
        folder.rmdir()


FORMATS: dict[str, tuple[str, Callable[[pd.DataFrame, Path], None]]] = {
    "genbench": (".csv", write_genbench),
    "mattergen": (".extxyz", write_mattergen),
    "metre": (".extxyz", write_metre),
    "diffcsp": (".pt", write_tensors),
    "cif": (".zip", write_cif_zip),
}


def export_table(table: pd.DataFrame, path: str | Path, format: str | None = None) -> Path:
    """Write a crystals table as one file; return its path.

    Args:
        table: crystals.
        path: to write.
        format: of `FORMATS`; without it, by the name's suffix (an .extxyz is MatterGen's).

    Raises:
        ValueError: the format is unknown, the name does not end as it should, or there is no crystal.
    """
    path = Path(path)
    chosen = format or next((name for name, (suffix, _) in FORMATS.items() if path.name.endswith(suffix)), None)
    if chosen not in FORMATS or not path.name.endswith(FORMATS[chosen][0]):
        endings = ", ".join(f"{name} ({suffix})" for name, (suffix, _) in FORMATS.items())
        raise ValueError(f"{path}{f' as {format}' if format else ''}: expected one of {endings}")
    if table.empty:
        raise ValueError(f"{path}: there is no crystal to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as partial:
        FORMATS[chosen][1](table, partial)
    return path


def _write_frames(table: pd.DataFrame, path: Path, indexed: bool) -> None:
    frames = [AseAtomsAdaptor.get_atoms(structure, msonable=False) for structure in to_structures(table)]
    places = table["target_place"] if "target_place" in table else range(len(table))
    energies = table["energy_per_atom"] * table["nsites"] if "energy_per_atom" in table else [np.nan] * len(table)
    for atoms, place, energy in zip(frames, places, energies, strict=True):
        atoms.info |= ({"index": int(place)} if indexed else {}) | ({"energy": float(energy)} if np.isfinite(energy) else {})
    ase.io.write(path, frames, format="extxyz")
