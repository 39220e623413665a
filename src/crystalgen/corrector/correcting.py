"""Correct candidates: a network that learns from training crystals of one arrangement how each follows from another."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from crystalgen.baselines.retrieval.neighbours import request_distances
from crystalgen.baselines.retrieval.retrieve import candidate_cells
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.config import Corrector as Settings
from crystalgen.corrector.candidates import Candidates, describe_candidates
from crystalgen.corrector.choosing import element_descriptors
from crystalgen.corrector.neighbours import pair_features
from crystalgen.corrector.net import Corrector, SiteTransformer
from crystalgen.corrector.sites import Sites
from crystalgen.corrector.train import Run, equal_batches, train
from crystalgen.matching.align import align
from crystalgen.matching.match import CSP
from crystalgen.matching.reduction import ReducedCell

MAX_RMS = 0.15  # of (volume / sites)^(1/3): templates farther from a crystal match it by laxness, and nothing leads from one to the other
_STRAIN_WEIGHT = 0.1
_SMALL = 1e-6  # added to squares, so that what is exact already has a slope
_ROWS = 500  # crystals whose distances are held at once


def training_pairs(templates: Templates, distances: np.ndarray, count: int) -> pd.DataFrame:
    """Choose for each training crystal the nearest others of its arrangement, at most `count`; columns as `find_candidates`."""
    found = []
    for group in templates.groups.values():
        for start in range(0, len(group.rows), _ROWS):
            part = np.arange(start, min(start + _ROWS, len(group.rows)))
            for own, apart in zip(part, request_distances(group, group.species[part], distances), strict=True):
                same = group.arrangements == group.arrangements[own, 0]
                same[own] = False
                apart = np.where(same, apart, np.inf)
                permutation, least = apart.argmin(axis=1), apart.min(axis=1)
                best = np.argsort(least, kind="stable")[:count]
                for rank, other in enumerate(best[np.isfinite(least[best])]):
                    arrangement = group.arrangements[own, 0]
                    found.append((group.rows[own], group.rows[other], permutation[other], arrangement, least[other], rank))
    return pd.DataFrame(found, columns=["request", "template", "permutation", "arrangement", "distance", "rank"])


def train_corrector(templates: Templates, sites: Sites, distances: np.ndarray, settings: Settings, checkpoints: Path,
                    fingerprint: str) -> Run:  # fmt: skip
    """Train a corrector on pairs of training crystals of one arrangement."""
    pairs = training_pairs(templates, distances, settings.pairs)
    cells = candidate_cells(templates, templates.table, pairs)
    ways = [
        None if isinstance(cell, str) else way_to(cell, templates.cells[row]) for cell, row in zip(cells, pairs["request"], strict=True)
    ]
    kept = [place for place, way in enumerate(ways) if way is not None]
    if not kept:
        raise ValueError("no two training crystals are of one arrangement; expected some for a corrector to learn from")
    pairs, cells, ways = pairs.iloc[kept].reset_index(drop=True), [cells[place] for place in kept], [ways[place] for place in kept]
    exclude = [[name] for name in templates.table["id"]]
    described = describe_candidates(templates, templates.table, pairs, distances, exclude, with_facts=False)
    counts = sites.count[described.template]

    def loss(net: Corrector, rows: np.ndarray) -> Tensor:
        shift, strain = net(*inputs(described, sites, cells, rows))
        wanted, strained = (torch.from_numpy(np.stack([ways[row][part] for row in rows])) for part in (0, 1))
        apart = ((shift - wanted) ** 2).sum(dim=2).mean(dim=1).add(_SMALL).sqrt()
        return apart.mean() + _STRAIN_WEIGHT * (strain - strained).abs().sum(dim=(1, 2)).mean()

    def batches(rng: np.random.Generator) -> list[np.ndarray]:
        return equal_batches(counts, settings.correcting.batch_size, rng)

    return train(lambda: make_corrector(settings), batches, loss, settings.correcting, checkpoints / "corrector.pt", fingerprint)


def make_corrector(settings: Settings) -> Corrector:
    """Build a corrector."""
    trunk = SiteTransformer(element_descriptors(), 1, settings.width, settings.blocks, settings.heads, settings.correcting.dropout)
    return Corrector(trunk, settings.width)


def inputs(described: Candidates, sites: Sites, cells: list[ReducedCell | str], rows: np.ndarray) -> tuple[Tensor, ...]:
    """Return what the network is given of some candidates with equally many sites."""
    pairs = [pair_features(cells[row].lattice, cells[row].coords) for row in rows]
    directions, tensors = (torch.from_numpy(np.stack([pair[part] for pair in pairs]).astype(np.float32)) for part in (1, 2))
    return *described.tensors(sites, rows), directions, tensors


def way_to(cell: ReducedCell, target: ReducedCell | str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return shifts (n, 3) and strain (3, 3) that take a cell to its target, see `net.Corrector`; None if they are too far apart."""
    found = None if isinstance(target, str) else align(target, cell, CSP)
    if found is None or found.rms > MAX_RMS:
        return None
    apart = found.coords - cell.coords
    apart = (apart - np.round(apart)) @ cell.lattice / _edge(cell.lattice, len(apart))
    stretch = np.linalg.inv(_unit(cell.lattice)) @ _unit(found.lattice)
    squares, axes = np.linalg.eigh(stretch @ stretch.T)
    return (apart - apart.mean(axis=0)).astype(np.float32), ((axes * (np.log(squares) / 2)) @ axes.T).astype(np.float32)


def corrected(cell: ReducedCell, shift: np.ndarray, strain: np.ndarray) -> ReducedCell:
    """Return the cell with sites shifted and lattice strained, see `net.Corrector`."""
    moved = cell.coords + shift * _edge(cell.lattice, len(shift)) @ np.linalg.inv(cell.lattice)
    values, axes = np.linalg.eigh(strain)
    return ReducedCell(cell.lattice @ ((axes * np.exp(values)) @ axes.T), cell.numbers, moved % 1.0)


@torch.inference_mode()
def corrected_cells(net: Corrector, described: Candidates, sites: Sites, cells: list[ReducedCell | str],
                    batch_size: int = 64) -> list[ReducedCell | str]:  # fmt: skip
    """Return candidates' cells, corrected; what has none stays as it is."""
    result, counts = list(cells), sites.count[described.template]
    items = np.array([place for place, cell in enumerate(cells) if not isinstance(cell, str)], dtype=int)
    for batch in equal_batches(counts, batch_size, np.random.default_rng(0), items):
        shifts, strains = (part.double().numpy() for part in net(*inputs(described, sites, cells, batch)))
        for row, shift, strain in zip(batch, shifts, strains, strict=True):
            result[row] = corrected(cells[row], shift, strain)
    return result


def _edge(lattice: np.ndarray, n: int) -> float:
    return (abs(np.linalg.det(lattice)) / n) ** (1 / 3)


def _unit(lattice: np.ndarray) -> np.ndarray:
    return lattice / abs(np.linalg.det(lattice)) ** (1 / 3)
