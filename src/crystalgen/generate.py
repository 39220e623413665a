"""From a trained network to crystals: sample, decode, and count what could not be decoded."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from crystalgen.config import Sampling
from crystalgen.crystals import from_columns, write_crystals
from crystalgen.crystals.schema import MIN_VOLUME
from crystalgen.files import write_json
from crystalgen.objectives import Objective
from crystalgen.represent import matrix, unimat
from crystalgen.represent.canonical import wrap
from crystalgen.sampling import sample_matrices, sample_unimat
from crystalgen.tensors import TEST, MatrixData, UniMatData


def generate_for_targets(net: nn.Module, objective: Objective, data: MatrixData, crystals: pd.DataFrame, sampling: Sampling,
                         model: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """One crystal for the elements, space group and energy of each test crystal.

    Returns the decoded samples with `target_id`, and a record of how many were asked for and rejected, and why.
    """
    rows = data.rows(TEST)
    if sampling.max_targets is not None:  # a draw: neighbours in the table are polymorphs of one formula
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(sampling.seed))
        rows = rows[order[: sampling.max_targets].sort().values]
    x = sample_matrices(net, objective, data, rows, sampling)
    numbers = data.tensors["atomic_numbers"][rows].numpy()
    decoded = matrix.decode(matrix.Matrices(x.numpy(), numbers))
    names = crystals["id"].iloc[rows.tolist()].to_numpy()
    return _collect(*decoded, model, sampling, target_id=names)


def generate_freely(net: nn.Module, objective: Objective, data: UniMatData, crystals: pd.DataFrame, sampling: Sampling,
                    model: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """`sampling.count` unconditional UniMat crystals; see `generate_for_targets`."""
    x = sample_unimat(net, objective, data, sampling)
    block = unimat.Table(data.tensors["elements"].numpy(), data.shape[1])
    return _collect(*unimat.decode(x.numpy(), block), model, sampling)


def save_samples(samples: pd.DataFrame, record: dict, folder: Path) -> None:
    """Write crystals.parquet and record.json."""
    write_crystals(samples, folder / "crystals.parquet")
    write_json(record, folder / "record.json")


def _collect(lattices: list, numbers: list, coords: list, model: str, sampling: Sampling, **columns) -> tuple[pd.DataFrame, dict]:
    """The samples that are crystals at all; the others are counted by reason."""
    reasons = [_fault(m, z, x) for m, z, x in zip(lattices, numbers, coords, strict=True)]
    kept = [i for i, reason in enumerate(reasons) if reason is None]
    samples = from_columns(
        [lattices[i] for i in kept],
        [numbers[i] for i in kept],
        [wrap(coords[i]) for i in kept],
        model,
        [f"{model}-{i}" for i in kept],
        **{name: np.asarray(values)[kept] for name, values in columns.items()},
    )
    rejected = dict(sorted(Counter(r for r in reasons if r is not None).items()))
    record = {"model": model, "requested": len(reasons), "decoded": len(kept), "seed": sampling.seed, "rejected": rejected}
    if columns:
        record["targets"] = [str(i) for i in columns["target_id"]]
    return samples, record


def _fault(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> str | None:
    if len(numbers) == 0:
        return "no atoms"
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        return "impossible cell angles or a number that is not finite"
    if abs(np.linalg.det(lattice)) <= MIN_VOLUME:
        return f"cell volume at most {MIN_VOLUME} Å^3"
    return None
