"""From a trained network to crystals: sample, decode, and count what could not be decoded."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from crystalgen.crystals import from_columns, write_crystals
from crystalgen.crystals.schema import MIN_VOLUME
from crystalgen.generative.data.format import NULL
from crystalgen.generative.data.matrix import TEST, TRAIN, MatrixData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.objectives import Objective, build_objective
from crystalgen.generative.sample import draw_samples
from crystalgen.generative.settings import MatrixModel, Sampling, UniMatModel
from crystalgen.represent import matrix, unimat
from crystalgen.represent.canonical import wrap
from crystalgen.utils.files import write_json

_ASKED = ("space_group", "formation_energy_per_atom")  # a condition's columns that a crystal has too


def sample_row(row: str, model: MatrixModel | UniMatModel, nets: dict[int, nn.Module], data: MatrixData | UniMatData,
               crystals: pd.DataFrame) -> tuple[pd.DataFrame, dict, pd.DataFrame | None]:  # fmt: skip
    """One of a model's ways to sample, for every training seed: samples, record and, where crystals were asked for, which."""
    sampling, objective = model.sampling[row], build_objective(model.objective)
    if model.task is None and not model.input.conditions:
        return *generate_freely(nets, objective, data, sampling, row), None
    requests, items = evaluation_requests(data, crystals, sampling)
    samples, record = generate_for_requests(nets, objective, data, requests, items, sampling, row)
    return samples, record, requests if model.task else None  # an energy alone is no crystal that a sample could match


def evaluation_requests(data: MatrixData | UniMatData, crystals: pd.DataFrame, sampling: Sampling | None = None,
                        split: int = TEST) -> tuple[pd.DataFrame, torch.Tensor]:  # fmt: skip
    """What is asked of a conditional model: each item of the split, or a draw of `sampling.max_targets`, `sampling.per_target` times.

    Returns:
        the requests, columns request (its number as text), target_id and, for modification, input_id; and their items.
    """
    items = data.items(split)
    if sampling is not None and sampling.max_targets is not None:  # a draw: neighbours in the table are polymorphs of one formula
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(sampling.seed))
        items = items[order[: sampling.max_targets].sort().values]
    if sampling is not None:
        items = items.repeat_interleave(sampling.per_target, dim=0)
    ids = crystals["id"].to_numpy()
    requests = pd.DataFrame({"request": np.arange(len(items)).astype(str), "target_id": ids[data.targets(items)]})
    if items.dim() == 2:
        requests["input_id"] = ids[items[:, 0]]
    return requests, items


def generate_for_requests(nets: dict[int, nn.Module], objective: Objective, data: MatrixData | UniMatData, requests: pd.DataFrame,
                          items: torch.Tensor, sampling: Sampling, row: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """One crystal per request and training seed.

    Args:
        nets: by training seed.
        requests, items: see `evaluation_requests`.
        row: name of this way to sample, the row of the tables.

    Returns:
        the decoded samples with seed, request, target_id, and a record of how many were asked for and rejected, and why.
    """
    condition, sample = data.condition(items), _sampler_for(data)
    return _for_seeds(nets, lambda net: sample(net, objective, data, condition, len(items), sampling), sampling, row, requests)


def generate_for_conditions(nets: dict[int, nn.Module], objective: Objective, data: MatrixData | UniMatData, conditions: pd.DataFrame,
                            sampling: Sampling, row: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """One crystal per row of one's own conditions and training seed; as `generate_for_requests`, with the conditions' columns.

    conditions: columns atomic_numbers (each an array, see `represent.canonical.ordered_numbers`), space_group and
    formation_energy_per_atom (eV); of these a UniMat model hears what its `input` names.

    Raises:
        ValueError: a composition too long, or an element or a space group that the network never saw; the row is named.
    """
    energies = torch.as_tensor(conditions["formation_energy_per_atom"].to_numpy(dtype=np.float32))
    groups = torch.as_tensor(conditions["space_group"].to_numpy(dtype=np.int64))
    if isinstance(data, UniMatData):
        occupied = data.places_of([torch.as_tensor(np.asarray(z, dtype=np.int64)) for z in conditions["atomic_numbers"]])
        condition = data.conditions(occupied, energies, torch.full_like(energies, torch.nan), groups)
    else:
        condition = data.conditions(_padded_numbers(conditions, data), groups, energies)
    asked = conditions.drop(columns="atomic_numbers").rename(columns={c: f"asked_{c}" for c in _ASKED})
    sample, count = _sampler_for(data), len(conditions)
    return _for_seeds(nets, lambda net: sample(net, objective, data, condition, count, sampling), sampling, row, asked)


def generate_freely(nets: dict[int, nn.Module], objective: Objective, data: UniMatData, sampling: Sampling,
                    row: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """`sampling.count` unconditional UniMat crystals per training seed; see `generate_for_requests`."""
    count = sampling.count
    return _for_seeds(
        nets, lambda net: _sample_unimat(net, objective, data, {}, count, sampling), sampling, row, pd.DataFrame(index=range(count))
    )


def generate_for_energies(nets: dict[int, nn.Module], objective: Objective, data: UniMatData, energies: np.ndarray,
                          sampling: Sampling, row: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """A UniMat crystal per formation energy asked for (n,), eV/atom, and training seed; column asked_formation_energy_per_atom.

    The model must be told nothing else.
    """
    count = len(energies)
    nothing = torch.zeros(count, *data.grid, dtype=torch.bool)
    asked = torch.as_tensor(np.asarray(energies, dtype=np.float32))
    condition = data.conditions(nothing, asked, torch.full((count,), torch.nan), torch.zeros(count, dtype=torch.long))
    columns = pd.DataFrame({"asked_formation_energy_per_atom": energies})
    return _for_seeds(nets, lambda net: _sample_unimat(net, objective, data, condition, count, sampling), sampling, row, columns)


def _sampler_for(data: MatrixData | UniMatData) -> Callable:
    return _sample_unimat if isinstance(data, UniMatData) else _sample_matrices


def _sample_matrices(net: nn.Module, objective: Objective, data: MatrixData, condition: dict, count: int,
                     sampling: Sampling) -> tuple[list, list, list]:  # fmt: skip
    numbers = condition["atomic_numbers"]
    x = draw_samples(net, objective, data.shape, condition, count, sampling)
    return matrix.decode(matrix.Matrices(data.unscale(x, numbers).numpy(), numbers.numpy()))


def _sample_unimat(net: nn.Module, objective: Objective, data: UniMatData, condition: dict, count: int,
                   sampling: Sampling) -> tuple[list, list, list]:  # fmt: skip
    """Where the composition was given, atoms stand nowhere but where it lets them; given exactly, they stand there always."""
    x, places = draw_samples(net, objective, data.shape, condition, count, sampling), condition.get("places")
    grid, cell = data.unscale(x, places)
    if places is not None:
        grid = torch.where(places[:, None], grid, NULL)
    block = unimat.Table(data.tensors["elements"].numpy(), data.grid[0])
    exact = data.settings.composition == "exact"
    return unimat.decode(grid.numpy(), cell.numpy(), block, places.numpy() if exact else None)


def _padded_numbers(conditions: pd.DataFrame, data: MatrixData) -> torch.Tensor:
    """Atomic numbers (n, rows), zero where a row holds no atom."""
    rows, t = data.shape[0], data.tensors
    train = t["split"] == TRAIN
    seen = set(torch.unique(t["atomic_numbers"][train]).tolist()) - {0}
    groups = set(torch.unique(t["space_group"][train]).tolist())
    numbers = torch.zeros(len(conditions), rows, dtype=torch.long)
    for i, (z, group) in enumerate(zip(conditions["atomic_numbers"], conditions["space_group"], strict=True)):
        if len(z) > rows - matrix.EXTRA_ROWS:
            raise ValueError(f"condition {i}: {len(z)} sites; the network holds at most {rows - matrix.EXTRA_ROWS}")
        if strange := sorted(set(int(a) for a in z) - seen):
            raise ValueError(f"condition {i}: atomic numbers {strange} are not in the training data")
        if int(group) not in groups:
            raise ValueError(f"condition {i}: space group {group} is not in the training data; expected one of {sorted(groups)}")
        numbers[i, : len(z)] = torch.as_tensor(np.asarray(z, dtype=np.int64))
    return numbers


def _for_seeds(
    nets: dict[int, nn.Module], sample: Callable, sampling: Sampling, row: str, asked: pd.DataFrame
) -> tuple[pd.DataFrame, dict]:
    """The crystals of each network, one table; `asked` (one row per sample) is taken along."""
    tables, rejected = [], Counter()
    for seed, net in nets.items():
        table, faults = _decoded(*sample(net), row, seed, asked)
        tables.append(table)
        rejected += faults
    samples = pd.concat(tables, ignore_index=True)
    record = {
        "row": row,
        "requested": len(asked) * len(nets),
        "decoded": len(samples),
        "seeds": list(nets),
        "sampling_seed": sampling.seed,
        "rejected": dict(sorted(rejected.items())),
    }
    return samples, record


def save_samples(samples: pd.DataFrame, record: dict, folder: Path, requests: pd.DataFrame | None = None) -> None:
    """Write crystals.parquet, record.json and, for a conditional model, requests.parquet."""
    write_crystals(samples, folder / "crystals.parquet")
    write_json(record, folder / "record.json")
    if requests is not None:
        requests.to_parquet(folder / "requests.parquet", index=False)


def _decoded(lattices: list, numbers: list, coords: list, row: str, seed: int, asked: pd.DataFrame) -> tuple[pd.DataFrame, Counter]:
    """The samples that are crystals at all; the others are counted by reason."""
    reasons = [_fault(m, z, x) for m, z, x in zip(lattices, numbers, coords, strict=True)]
    kept = [i for i, reason in enumerate(reasons) if reason is None]
    samples = from_columns(
        [lattices[i] for i in kept],
        [numbers[i] for i in kept],
        [wrap(coords[i]) for i in kept],
        row,
        [f"{row}-{seed}-{i}" for i in kept],
        seed=np.full(len(kept), seed),
        **{name: asked[name].to_numpy()[kept] for name in asked},
    )
    return samples, Counter(reason for reason in reasons if reason is not None)


def _fault(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> str | None:
    if len(numbers) == 0:
        return "no atoms"
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        return "impossible cell angles or a number that is not finite"
    if abs(np.linalg.det(lattice)) <= MIN_VOLUME:
        return f"cell volume at most {MIN_VOLUME} Å^3"
    return None
