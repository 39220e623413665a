"""Crystals as tensors in a PyTorch file: what CDVAE, DiffCSP and their kin leave of a generation (`eval_gen.pt`)."""

import argparse
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crystalgen.crystals import CrystalTableError
from crystalgen.utils.lattice import lattices_from_parameters

_KEYS = ("frac_coords", "atom_types", "num_atoms", "lengths", "angles")


def read_tensors(path: Path) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Name, and lattice (3, 3), atomic numbers (n,) and fractional coordinates (n, 3) of each crystal, unchecked.

    A first axis of repeated generations is taken as further crystals. Only tensors and plain values are loaded, never code.

    Raises:
        CrystalTableError: not such a file, or its tensors do not fit together.
    """
    import torch  # two seconds, which other files need not wait

    data = _load(path)
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise CrystalTableError(f"{path}: lacks {missing}; found {sorted(map(str, data))}, expected {list(_KEYS)}")
    try:
        arrays = {key: np.asarray(torch.as_tensor(data[key]).detach().cpu()) for key in _KEYS}
    except (TypeError, ValueError, RuntimeError) as error:
        raise CrystalTableError(f"{path}: {', '.join(_KEYS)} must be tensors ({error})") from None
    if arrays["frac_coords"].ndim == 2:
        arrays = {key: values[None] for key, values in arrays.items()}
    expected = {"frac_coords": 3, "atom_types": 2, "num_atoms": 2, "lengths": 3, "angles": 3}
    shapes = {key: values.shape for key, values in arrays.items()}
    if any(len(shapes[key]) != size for key, size in expected.items()):
        raise CrystalTableError(f"{path}: got shapes {shapes}, expected coordinates (k, atoms, 3) and cells (k, crystals, 3)")
    for run in range(len(arrays["frac_coords"])):
        counts = arrays["num_atoms"][run].astype(int)
        atoms = {counts.sum(), *(shapes[key][1] for key in ("frac_coords", "atom_types"))}
        if len(atoms) > 1 or len({len(counts), shapes["lengths"][1], shapes["angles"][1]}) > 1 or (counts < 0).any():
            raise CrystalTableError(f"{path}: {counts.sum()} atoms in {len(counts)} crystals do not fit the shapes {shapes}")
        cells = lattices_from_parameters(np.concatenate([arrays["lengths"][run], arrays["angles"][run]], axis=1).astype(float))
        ends = np.cumsum(counts)[:-1]
        coords, numbers = (np.split(arrays[key][run], ends) for key in ("frac_coords", "atom_types"))
        for place, cell in enumerate(cells):
            yield f"{run}-{place}", (cell, numbers[place].astype(int), coords[place].astype(float))


def _load(path: Path) -> dict:
    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # of the options that the script was called with
            data = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CrystalTableError(
            f"{path}: not loaded, since it is no PyTorch file of tensors alone ({reason}). Where you trust it, write its tensors "
            f"anew: d = torch.load(FILE, weights_only=False); torch.save({{k: d[k] for k in {_KEYS}}}, NEW)"
        ) from None
    if not isinstance(data, dict):
        raise CrystalTableError(f"{path}: holds {type(data).__name__}, expected a dict with {list(_KEYS)}")
    return data
