"""A study's crystals as files of tensors: all that a training job needs, on any machine.

`generative.data.format` says what is in a file; whoever reads it knows torch only, the chemistry stays on this side.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from crystalgen.chemistry.elements import standardised_properties
from crystalgen.chemistry.spacegroups import LOOSE, MAX_OPERATIONS, symmetry_operations
from crystalgen.datasets.polymorphs import made_of
from crystalgen.generative.data.format import LATTICE_ROWS, SCALARS, SPACE_GROUPS, SPLITS
from crystalgen.represent import matrix, unimat
from crystalgen.represent.canonical import wrap
from crystalgen.represent.scaffold import orbits_in
from crystalgen.utils.files import atomic
from crystalgen.utils.lattice import lattices_from_parameters


def matrix_tensors(table: pd.DataFrame, rows: int | None = None, templates: pd.DataFrame | None = None,
                   orbits: bool = False) -> dict[str, np.ndarray]:  # fmt: skip
    """Encode crystals as matrices, with their properties and the training set's scales.

    Returns the tensors of `generative.data.format`: element_properties (104, 22), operations (231, 192, 4, 4) with only the
    groups in use filled, and the mean and spread of lattice (3, 3; of vectors over nsites^(1/3), Å) and energy (eV/atom).

    An energy that a crystal lacks is NaN.

    templates: what is shown beside some of the crystals, described in the same way, with `row`, the place of each in the table; the
        matrices of the others are NaN. Without, there is no tensor of templates.
    orbits: whether to add which sites the symmetry makes alike, found at `spacegroups.LOOSE`.
    """
    encoded = matrix.encode(table, rows)
    split = _split_codes(table)
    nsites = table["nsites"].to_numpy(np.float32)
    scaled = encoded.x[:, -LATTICE_ROWS:] / np.cbrt(nsites)[:, None, None]
    energy = table["formation_energy_per_atom"].to_numpy(np.float32)
    train = split == SPLITS["train"]
    energies = energy[train & np.isfinite(energy)]
    groups = table["space_group"].to_numpy(dtype=np.int64, na_value=0)
    operations = np.zeros((SPACE_GROUPS, MAX_OPERATIONS, 4, 4), dtype=np.float32)
    for number in np.unique(groups[groups > 0]):
        operations[number] = symmetry_operations(int(number))
    shown = {}
    if templates is not None:
        beside, row = matrix.encode(templates, encoded.x.shape[1]), templates["row"].to_numpy()
        if (strange := (beside.atomic_numbers != encoded.atomic_numbers[row]).any(axis=1)).any():
            raise ValueError(f"the template of crystal '{table['id'].iloc[row[strange.argmax()]]}' has other atoms in its rows")
        shown["template"] = np.full_like(encoded.x, np.nan)
        shown["template"][row] = beside.x
    if orbits:
        shown |= _orbits(table, encoded.x.shape[1])
    return {
        "x": encoded.x,
        **shown,
        "atomic_numbers": encoded.atomic_numbers,
        "nsites": nsites,
        "space_group": groups,
        "energy": energy,
        "split": split,
        "group": np.unique(table["formula"].to_numpy(str), return_inverse=True)[1].astype(np.int64),
        "element_properties": standardised_properties(),
        "operations": operations,
        "lattice_mean": _mean(scaled[train]),
        "lattice_std": _spread(scaled[train]),
        "energy_mean": _mean(energies)[None] if len(energies) else np.zeros(1, np.float32),
        "energy_std": _spread(energies)[None] if len(energies) else np.ones(1, np.float32),
    }


def unimat_tensors(table: pd.DataFrame, elements: tuple[str, ...] | None = None, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Encode those crystals that hold no element but these for UniMat, with their properties and the training set's scales.

    shift: added to fractional coordinates, modulo 1.

    Returns the tensors of `generative.data.format`.
    """
    row = np.flatnonzero(made_of(table, elements)) if elements else np.arange(len(table))
    table = table.iloc[row]
    block = unimat.table_for(table)
    placed = unimat.encode(table, block)
    coords = np.where((placed.place >= 0)[:, :, None], wrap(placed.frac_coords + np.float32(shift)), placed.frac_coords)
    split = _split_codes(table)
    train = split == SPLITS["train"]
    scalars = {name: _floats(table, column) for column, name in SCALARS.items()}
    known = {name: values[train & np.isfinite(values)] for name, values in scalars.items()}
    positions = (coords[train] @ lattices_from_parameters(placed.cell[train]))[placed.place[train] >= 0]
    return {
        "row": row,
        "place": placed.place,
        "frac_coords": coords,
        "cell": placed.cell,
        "elements": block.elements,
        "depth": np.array([block.depth]),
        "split": split,
        "space_group": table["space_group"].to_numpy(dtype=np.int64, na_value=0),
        **scalars,
        "cell_mean": _mean(placed.cell[train]),
        "cell_std": _spread(placed.cell[train]),
        **{f"{name}_mean": _mean(values)[None] if len(values) else np.zeros(1, np.float32) for name, values in known.items()},
        **{f"{name}_std": _spread(values)[None] if len(values) else np.ones(1, np.float32) for name, values in known.items()},
        "cartesian_low": positions.min(axis=0).astype(np.float32),
        "cartesian_high": positions.max(axis=0).astype(np.float32),
    }


def _orbits(table: pd.DataFrame, rows: int) -> dict[str, np.ndarray]:
    orbit, fixed = np.full((len(table), rows), rows - 1), np.zeros((len(table), rows), bool)
    for place, crystal in enumerate(zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True)):
        sites = len(crystal[1])
        orbit[place, :sites], fixed[place, :sites] = orbits_in(*crystal, LOOSE)
    return {"orbit": orbit, "fixed": fixed}


def _floats(table: pd.DataFrame, column: str) -> np.ndarray:
    if column not in table:
        return np.full(len(table), np.nan, np.float32)
    return pd.to_numeric(table[column]).to_numpy(np.float32)


def save_tensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    """Write a safetensors file."""
    with atomic(path) as partial:
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, partial)


def _split_codes(table: pd.DataFrame) -> np.ndarray:
    return table["split"].map(SPLITS).to_numpy(np.int64)


def _mean(values: np.ndarray) -> np.ndarray:
    """Over rows; summed in double precision, for a constant must come out as that constant."""
    return values.mean(axis=0, dtype=np.float64).astype(np.float32)


def _spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over rows; 1 where nothing varies, so that scaling stays invertible."""
    spread = values.std(axis=0, dtype=np.float64)
    varies = spread > 1e-6 * np.maximum(1.0, np.abs(values).max(axis=0))
    return np.where(varies, spread, 1.0).astype(np.float32)
