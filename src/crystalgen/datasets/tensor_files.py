"""Crystals as tensors in a PyTorch file: what CDVAE, DiffCSP and their kin leave of a generation.

`eval_gen.pt` holds generated crystals; `eval_diff.pt` and `eval_recon.pt` hold several samples of each target, and the targets as a batch
of torch-geometric. Tensors and plain values are read, never code: classes of torch-geometric are stood in for by one that only holds.
"""

import argparse
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals import CrystalTableError, from_columns
from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER
from crystalgen.crystals.table import formulas
from crystalgen.datasets.cells import checked_cell
from crystalgen.utils.lattice import lattices_from_parameters

SUFFIXES = (".pt", ".npz")
_KEYS = ("frac_coords", "atom_types", "num_atoms", "lengths", "angles")
_TARGETS = "input_data_batch"


def read_tensor_file(path: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read generated crystals.

    A first axis of repeated generations is taken as further crystals. Where the file holds the targets (see `read_targets`), the columns
    `target_place` and `attempt` say which target a crystal is of, and in which generation.

    Returns:
        The crystals, and what is none: id, reason, reduced_formula (if all its elements are known), and the same columns.

    Raises:
        CrystalTableError: not such a file, or its tensors do not fit together.
    """
    path = Path(path)
    data = _load(path)
    return _tables(path, list(_crystals(path, data)), _TARGETS in data)


def read_targets(path: str | Path) -> pd.DataFrame | None:
    """Return the crystals that a file's samples were asked to be, in order; None where it holds none.

    Raises:
        CrystalTableError: not such a file, or a target is no crystal.
    """
    path = Path(path)
    data = _load(path)
    if _TARGETS not in data:
        return None
    held = data[_TARGETS]
    batch = held.values() if isinstance(held, _Held) else held
    if not isinstance(batch, dict):
        raise CrystalTableError(f"{path}: '{_TARGETS}' is {type(batch).__name__}, expected a dict or a batch of torch-geometric")
    table, broken = _tables(path, list(_crystals(path, batch)), False)
    if len(broken):
        raise CrystalTableError(f"{path}: target {broken['id'][0]}: {broken['reason'][0]}")
    return table


def _tables(path: Path, found: list, with_targets: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = pd.DataFrame([(f"{run}-{place}", run, place) for run, place, _ in found], columns=["id", "attempt", "target_place"])
    checked = [checked_cell(*cell) for _, _, cell in found]
    cells = [cell for cell in checked if not isinstance(cell, str)]
    good = np.array([not isinstance(cell, str) for cell in checked], dtype=bool)
    asked = {name: rows[name].to_numpy() for name in (("target_place", "attempt") if with_targets else ())}
    arrays = [list(part) for part in zip(*cells, strict=True)] if cells else [[], [], []]
    table = from_columns(*arrays, path.name, rows["id"][good].tolist(), **{name: values[good] for name, values in asked.items()})
    known = [formula_of(numbers) for (_, _, (_, numbers, _)), keep in zip(found, good, strict=True) if not keep]
    broken = rows[["id", *asked]][~good].assign(reason=[cell for cell in checked if isinstance(cell, str)], reduced_formula=known)
    return table, broken[["id", "reason", "reduced_formula", *asked]].reset_index(drop=True)


def formula_of(numbers) -> str | None:
    """Return the reduced formula of atomic numbers; None where these are no crystal's."""
    try:
        numbers = np.asarray(numbers, dtype=int)
    except (TypeError, ValueError, OverflowError):
        return None
    known = numbers.ndim == 1 and len(numbers) and ((numbers >= 1) & (numbers <= MAX_ATOMIC_NUMBER)).all()
    return formulas([numbers])[1][0] if known else None


def _crystals(path: Path, data: dict) -> Iterator[tuple[int, int, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Generation, place in it, and lattice (3, 3), atomic numbers (n,) and fractional coordinates (n, 3), unchecked."""
    keys = [*_KEYS[:3], "lattices"] if "lattices" in data and "lengths" not in data else list(_KEYS)
    missing = [key for key in keys if key not in data]
    if missing:
        raise CrystalTableError(f"{path}: lacks {missing}; found {sorted(map(str, data))}, expected {list(_KEYS)}")
    axes = {"frac_coords": 3, "atom_types": 2, "num_atoms": 2, "lengths": 3, "angles": 3, "lattices": 4}
    try:
        arrays = {key: _array(data[key], axes[key], key == "atom_types") for key in keys}
    except (TypeError, ValueError, RuntimeError) as error:
        raise CrystalTableError(f"{path}: {', '.join(keys)} must be tensors ({error})") from None
    shapes = {key: values.shape for key, values in arrays.items()}
    if any(len(shapes[key]) != axes[key] for key in keys) or len({shape[0] for shape in shapes.values()}) > 1:
        raise CrystalTableError(f"{path}: got shapes {shapes}, expected coordinates (k, atoms, 3) and cells (k, crystals, 3)")
    for run in range(len(arrays["frac_coords"])):
        counts = arrays["num_atoms"][run].astype(int)
        atoms = {counts.sum(), *(shapes[key][1] for key in ("frac_coords", "atom_types"))}
        if len(atoms) > 1 or len({len(counts), *(shapes[key][1] for key in keys[3:])}) > 1 or (counts < 0).any():
            raise CrystalTableError(f"{path}: {counts.sum()} atoms in {len(counts)} crystals do not fit the shapes {shapes}")
        if "lattices" in keys:
            cells = arrays["lattices"][run]
        else:
            cells = lattices_from_parameters(np.concatenate([arrays["lengths"][run], arrays["angles"][run]], axis=1))
        ends = np.cumsum(counts)[:-1]
        coords, numbers = (np.split(arrays[key][run], ends) for key in ("frac_coords", "atom_types"))
        for place, cell in enumerate(cells):
            yield run, place, (cell, np.nan_to_num(numbers[place]).astype(int), coords[place])


def _array(value, axes: int, types: bool) -> np.ndarray:
    """A tensor, an array, or a list of either over batches, as an array of floats with a first axis of generations.

    types: of elements, which may stand as scores of each element, the highest counting.
    """
    if isinstance(value, list | tuple) and len(value) and not np.isscalar(value[0]):
        parts = [_array(part, axes, types) for part in value]
        return np.concatenate(parts, axis=1)
    import torch

    values = torch.as_tensor(value).detach().cpu().to(torch.float64).numpy()
    if types and values.ndim > 1 and values.shape[-1] == 100:
        values = values.argmax(axis=-1) + 1.0
    return values[None] if values.ndim == axes - 1 else values


class _Held:
    """Stands for any class of torch-geometric: it holds what was stored and does nothing."""

    def __init__(self, *_):
        pass

    def values(self) -> dict:
        """What the batch's own or its storage's fields hold."""
        inside = self.__dict__.get("_store", self)
        return inside.__dict__.get("_mapping", inside.__dict__) if isinstance(inside, _Held) else {}


class _Maker:
    """Stands for torch-geometric's maker of classes of batches; what it makes holds as well."""

    def __new__(cls):
        return _Held


_GEOMETRIC = {
    "batch": ("Batch", "DataBatch"),
    "data": ("Data", "BaseData", "DataEdgeAttr", "DataTensorAttr"),
    "storage": ("BaseStorage", "GlobalStorage", "NodeStorage", "EdgeStorage"),
}
_STANDING_IN = [
    *((_Held, f"torch_geometric.data.{module}.{name}") for module, names in _GEOMETRIC.items() for name in names),
    (_Maker, "torch_geometric.data.batch.DynamicInheritanceGetter"),
]
_ARRAYS = [
    *((np._core.multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((np._core.multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.float16, np.int64, np.int32, np.int8, np.uint8, np.bool_)),
]


def _load(path: Path) -> dict:
    import torch

    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        with torch.serialization.safe_globals([argparse.Namespace, *_STANDING_IN, *_ARRAYS]):  # the options that the script was called with
            data = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CrystalTableError(
            f"{path}: not loaded, since it is no PyTorch file of tensors alone ({reason}). Where you trust it, write its tensors "
            f"anew: d = torch.load(FILE, weights_only=False); torch.save({{k: d[k] for k in {_KEYS}}}, NEW)"
        ) from None
    if not isinstance(data, dict):
        raise CrystalTableError(f"{path}: holds {type(data).__name__}, expected a dict with {list(_KEYS)}")
    return data
