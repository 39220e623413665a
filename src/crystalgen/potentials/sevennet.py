"""SevenNet 7net-l3i5, whose weights ship in its wheel, with faster convolutions: energies alone, or with forces and stresses.

`tests/test_potentials.py` holds it against the package's calculator.
"""

import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
import sevenn._keys as keys
import torch
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sevenn.atom_graph_data import AtomGraphData
from sevenn.calculator import SevenNetCalculator
from sevenn.nn.convolution import IrrepsConvolution
from sevenn.nn.edge_embedding import EdgeEmbedding
from sevenn.train.dataload import unlabeled_atoms_to_graph
from torch import Tensor, nn

from crystalgen.potentials.convolution import NeighbourSum
from crystalgen.potentials.outcome import Outcome


def sevennet_energy(structure: Structure) -> float:
    """Return the energy of a crystal by 7net-l3i5, eV; NaN where it is not finite."""
    model, cutoff = _sevennet()
    with torch.no_grad():
        energy = float(model(_joined([AseAtomsAdaptor.get_atoms(structure)], cutoff))[keys.PRED_TOTAL_ENERGY])
    return energy if np.isfinite(energy) else np.nan


def sevennet_together(cells: Sequence[Atoms]) -> list[Outcome]:
    """Return energy, forces and stress of each cell by one call, see `outcome.Outcome`."""
    model, cutoff = _sevennet()
    graph = _joined(cells, cutoff)
    bonds = graph[keys.EDGE_VEC].requires_grad_()
    energies = model(graph)[keys.PRED_TOTAL_ENERGY].reshape(-1)
    (gradient,) = torch.autograd.grad(energies.sum(), bonds)
    gradient, bonds = gradient.double(), bonds.detach().double()
    centre, neighbour = graph[keys.EDGE_IDX]
    zeros, of = torch.zeros(len(graph[keys.BATCH]), 3, dtype=torch.double), graph[keys.BATCH][centre]
    forces = zeros.index_add(0, centre, gradient).index_add(0, neighbour, -gradient)
    virials = torch.zeros(len(cells), 3, 3, dtype=torch.double).index_add(0, of, bonds[:, :, None] * gradient[:, None])
    found, stop = [], 0
    for atoms, energy, virial in zip(cells, energies.tolist(), virials, strict=True):
        start, stop = stop, stop + len(atoms)
        found.append((energy, forces[start:stop].numpy(), ((virial + virial.T) / (2 * atoms.get_volume())).numpy()))
    return found


def _joined(cells: Sequence[Atoms], cutoff: float) -> AtomGraphData:
    """One graph of the bonds of all cells, which share none."""
    graphs = [AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, cutoff, with_shift=False)) for atoms in cells]
    counts = torch.tensor([len(atoms) for atoms in cells])
    firsts = (counts.cumsum(0) - counts).tolist()

    def all_of(key: str) -> Tensor:
        return torch.cat([graph[key] for graph in graphs])

    parts = {key: all_of(key) for key in (keys.NODE_FEATURE, keys.ATOMIC_NUMBERS, keys.POS, keys.EDGE_VEC)}
    edges = torch.cat([graph[keys.EDGE_IDX] + first for graph, first in zip(graphs, firsts, strict=True)], dim=1)
    of = torch.repeat_interleave(torch.arange(len(cells)), counts)
    return AtomGraphData(**parts | {keys.EDGE_IDX: edges, keys.BATCH: of, keys.NUM_ATOMS: counts})


@cache
def _sevennet() -> tuple[nn.Module, float]:
    """Load 7net-l3i5 without its force head, and its cut-off: the same results but for rounding."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = SevenNetCalculator("7net-l3i5", device="cpu")
    model = calculator.model.requires_grad_(False)
    model.set_is_batch_data(True)
    model.delete_module_by_key("force_output")
    model.key_grad = None
    (embedding,) = (layer for layer in model.children() if isinstance(layer, EdgeEmbedding))
    for name, layer in list(model.named_children()):
        if isinstance(layer, IrrepsConvolution):
            setattr(model, name, NeighbourSum(layer, embedding))
    return model, calculator.cutoff
