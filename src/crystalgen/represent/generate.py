"""From a trained model to crystals: sample, decode, and count what could not be decoded."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from crystalgen.crystals import from_columns, write_crystals
from crystalgen.crystals.plausibility import shortest_contact
from crystalgen.crystals.schema import MIN_VOLUME
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import PROPERTIES, TEST, WRAP_TOLERANCE
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.settings import Sampling
from crystalgen.represent import matrix, unimat
from crystalgen.represent.canonical import wrap
from crystalgen.represent.scaffold import Scaffold
from crystalgen.represent.symmetric import sample_scaffolds
from crystalgen.utils.files import write_json

_EXACT = 1e-12  # of coordinates that are averaged in double precision, which moving by more would take off their symmetry
_ATTEMPT = 10**12  # between the numbers that stand for a sample's attempts
_ASKED = ("space_group", "formation_energy_per_atom")  # a condition's columns that a crystal has too


def sample_row(row: str, model: Model, sampling: Sampling, data: MatrixData | UniMatData,
               crystals: pd.DataFrame) -> tuple[pd.DataFrame, dict, pd.DataFrame | None]:  # fmt: skip
    """Sample a model in one way, by every training seed: samples, record and, where crystals were asked for, which."""
    task = model.settings.task
    if task is None and not model.settings.input.conditions:
        return *generate_freely(model, sampling, row), None
    requests, items = evaluation_requests(data, crystals, sampling)
    samples, record = generate_for_requests(model, data, requests, items, sampling, row)
    return samples, record, requests if task else None  # an energy alone is no crystal that a sample could match


def evaluation_requests(data: MatrixData | UniMatData, crystals: pd.DataFrame, sampling: Sampling | None = None,
                        split: int = TEST) -> tuple[pd.DataFrame, torch.Tensor]:  # fmt: skip
    """Choose what a model is asked: each item of the split, or a draw of `sampling.max_targets`, `sampling.per_target` times.

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


def generate_for_requests(model: Model, data: MatrixData | UniMatData, requests: pd.DataFrame, items: torch.Tensor,
                          sampling: Sampling, row: str) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Draw one crystal per request and training seed.

    Args:
        model: of the data's representation and task.
        requests, items: see `evaluation_requests`.
        row: name of this way to sample, the row of the tables.

    Returns:
        the decoded samples with seed, request, target_id, and a record of how many were asked for and rejected, and why.
    """
    return _draw(model, data.condition(items), sampling, row, requests)


def generate_for_conditions(model: Model, conditions: pd.DataFrame, sampling: Sampling, row: str, which: list[str] | None = None,
                            scaffolds: Sequence[Scaffold] | None = None) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Draw one crystal per row of one's own conditions and training seed; as `generate_for_requests`, with the conditions' columns.

    conditions: columns atomic_numbers (each an array, see `represent.canonical.ordered_numbers`), space_group and
    formation_energy_per_atom (eV); of these a UniMat model is told what its `input` names. which: what an error calls each.
    scaffolds: crystals are made on them, one for each condition and of its atoms, and keep their space groups exactly.

    Raises:
        ValueError: a composition too long, or an element or a space group that no training crystal had; the row is named.
    """
    numbers = [np.asarray(z, dtype=np.int64) for z in conditions["atomic_numbers"]]
    told = conditions
    if scaffolds is not None:  # a group that no training crystal had is kept too, but the network is not told of it
        told = conditions.assign(
            space_group=conditions["space_group"].where(conditions["space_group"].isin(model.codec.seen.known_groups), 0)
        )
    condition = model.codec.request(numbers, _properties(told), which)
    asked = conditions.drop(columns="atomic_numbers").rename(columns={c: f"asked_{c}" for c in _ASKED})
    return _draw(model, condition, sampling, row, asked, scaffolds)


def generate_freely(model: Model, sampling: Sampling, row: str) -> tuple[pd.DataFrame, dict]:
    """Draw `sampling.count` unconditional UniMat crystals per training seed; see `generate_for_requests`."""
    return _draw(model, {}, sampling, row, pd.DataFrame(index=range(sampling.count)))


def generate_for_energies(model: Model, energies: np.ndarray, sampling: Sampling, row: str) -> tuple[pd.DataFrame, dict]:
    """Draw a UniMat crystal per formation energy (n,), eV/atom, and training seed; column asked_formation_energy_per_atom.

    The model must be told nothing else.
    """
    asked = pd.DataFrame({"formation_energy_per_atom": energies})
    condition = model.codec.conditions(torch.full((len(asked), 1), -1), _properties(asked))
    return _draw(model, condition, sampling, row, asked.rename(columns={c: f"asked_{c}" for c in _ASKED}))


def decode(model: Model, drawn, condition: dict[str, torch.Tensor]) -> tuple[list, list, list]:
    """Decode what `Model.sample` drew: lattices (3, 3), atomic numbers and fractional coordinates of each crystal.

    A composition that the model was given exactly is what comes out.
    """
    if model.settings.representation == "matrix":
        return matrix.decode(matrix.Matrices(drawn.numpy(), condition["atomic_numbers"].numpy()))
    grid, cell = drawn
    block = unimat.Table(model.codec.tensors["elements"].numpy(), model.codec.grid[0])
    exact = model.settings.input.composition == "exact"
    return unimat.decode(grid.numpy(), cell.numpy(), block, condition["places"].numpy() if exact else None)


def _properties(conditions: pd.DataFrame) -> dict[str, torch.Tensor]:
    """Those of `PROPERTIES` that the conditions name, a tensor (n,) each."""
    kinds = {name: np.int64 if PROPERTIES[name].categories else np.float32 for name in PROPERTIES if name in conditions}
    return {name: torch.as_tensor(conditions[name].to_numpy(dtype=kind)) for name, kind in kinds.items()}


def _draw(model: Model, condition: dict[str, torch.Tensor], sampling: Sampling, row: str, asked: pd.DataFrame,
          scaffolds: Sequence[Scaffold] | None = None) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Draw the crystals of each network, one table; `asked` (one row per sample) is taken along."""
    tables, rejected = [], Counter()
    for seed in model.nets:
        drawn = _apart(model, condition, sampling, seed, scaffolds, len(asked))
        table, faults = _decoded(*drawn, row, seed, asked, WRAP_TOLERANCE if scaffolds is None else _EXACT)
        tables.append(table)
        rejected += faults
    samples = pd.concat(tables, ignore_index=True)
    record = {
        "row": row,
        "requested": len(asked) * len(model.nets),
        "decoded": len(samples),
        "seeds": list(model.nets),
        "sampling_seed": sampling.seed,
        "rejected": dict(sorted(rejected.items())),
    }
    return samples, record


def _apart(model: Model, condition: dict[str, torch.Tensor], sampling: Sampling, seed: int, scaffolds: Sequence[Scaffold] | None,
           count: int) -> tuple[list, ...]:  # fmt: skip
    """Draw crystals as `decode` returns them; those whose atoms come too near are drawn anew, see `Sampling.contact`."""
    best, contacts, due = [None] * count, np.full(count, -math.inf), np.arange(count)
    for attempt in range(sampling.attempts if sampling.contact else 1):
        told = {name: value[due] for name, value in condition.items()}
        some = sampling if condition else sampling.model_copy(update={"count": len(due)})
        names = torch.from_numpy(due) + attempt * _ATTEMPT
        if scaffolds is None:
            drawn = decode(model, model.sample(told, some, seed, names=names), told)
        else:
            drawn = sample_scaffolds(model, told, some, seed, [scaffolds[i] for i in due], names)
        for i, *crystal in zip(due, *drawn, strict=True):
            contact = _contact(*crystal) if sampling.contact else 0.0
            if contact > contacts[i]:
                best[i], contacts[i] = crystal, contact
        due = np.flatnonzero(contacts < sampling.contact)
        if len(due) == 0:
            break
    return tuple(map(list, zip(*best, strict=True))) if best else ([], [], [])


def _contact(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> float:
    """See `shortest_contact`; -1 of what is no crystal."""
    return -1.0 if _fault(lattice, numbers, coords) else shortest_contact(lattice, coords, numbers)


def save_samples(samples: pd.DataFrame, record: dict, folder: Path, requests: pd.DataFrame | None = None) -> None:
    """Write crystals.parquet, record.json and, for a conditional model, requests.parquet."""
    write_crystals(samples, folder / "crystals.parquet")
    write_json(record, folder / "record.json")
    if requests is not None:
        requests.to_parquet(folder / "requests.parquet", index=False)


def _decoded(lattices: list, numbers: list, coords: list, row: str, seed: int, asked: pd.DataFrame,
             tolerance: float) -> tuple[pd.DataFrame, Counter]:  # fmt: skip
    """The samples that are crystals at all; the others are counted by reason. tolerance: see `wrap`."""
    reasons = [_fault(m, z, x) for m, z, x in zip(lattices, numbers, coords, strict=True)]
    kept = [i for i, reason in enumerate(reasons) if reason is None]
    samples = from_columns(
        [lattices[i] for i in kept],
        [numbers[i] for i in kept],
        [wrap(coords[i], tolerance) for i in kept],
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
