"""CHGNet and SevenNet made faster by what their packages keep private; `tests/test_potentials.py` holds each against its package.

CHGNet's layers join the features of an edge's atoms, bonds and angle into one long row per edge, then apply a linear layer. Applied to
the parts of that row, the layer works on atoms and bonds, which are few, and only its results are gathered per edge: a third of the
multiplications. SevenNet gives energies without its force head, and sums over neighbours first (see `convolution`).
"""

import copy
import warnings
from functools import cache

import numpy as np
import sevenn._keys as keys
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from chgnet.model import CHGNet
from chgnet.model.functions import GatedMLP
from chgnet.model.layers import AngleUpdate, AtomConv, BondConv
from chgnet.model.model import BatchedGraph
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sevenn.atom_graph_data import AtomGraphData
from sevenn.calculator import SevenNetCalculator
from sevenn.nn.convolution import IrrepsConvolution
from sevenn.train.dataload import unlabeled_atoms_to_graph
from torch import Tensor, nn

from crystalgen.potentials.convolution import NeighbourSum


@cache
def chgnet() -> CHGNet:
    """Return CHGNet 0.3.0, whose weights ship in its wheel."""
    torch.set_num_threads(1)  # one worker per core: threads inside a worker only get in each other's way
    model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")
    return model


def sevennet_energy(structure: Structure) -> float:
    """Return the energy of a crystal by 7net-l3i5, eV; NaN where it is not finite."""
    model, cutoff = _sevennet()
    atoms = AseAtomsAdaptor.get_atoms(structure)
    graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, cutoff, with_shift=False))
    with torch.no_grad():
        energy = float(model(graph)[keys.PRED_TOTAL_ENERGY])
    return energy if np.isfinite(energy) else np.nan


@cache
def _sevennet() -> tuple[nn.Module, float]:
    """Load 7net-l3i5 without its force head and with faster convolutions, and its cut-off: the same energy but for rounding."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = SevenNetCalculator("7net-l3i5", device="cpu")
    calculator.model.delete_module_by_key("force_output")
    calculator.model.key_grad = None
    for name, layer in list(calculator.model.named_children()):
        if isinstance(layer, IrrepsConvolution):
            setattr(calculator.model, name, NeighbourSum(layer))
    return calculator.model, calculator.cutoff


class CHGNetForces(Calculator):
    """CHGNet without magnetic moments, in less than half the time of the package's calculator (`benchmarks/physics.py`).

    That one goes backward once for forces and once for stress, and records both to be differentiated again, which training wants and
    a relaxation does not; and its layers multiply what could be multiplied once.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, model: CHGNet):
        super().__init__()
        self.model = _split_layers(copy.deepcopy(model)).requires_grad_(False)

    def calculate(self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes) -> None:
        """Set results: energy in eV, forces in eV/Å, stress in eV/Å^3 as a 3 x 3 matrix."""
        super().calculate(atoms, properties, system_changes)
        model, count = self.model, len(self.atoms)
        graph = model.graph_converter(AseAtomsAdaptor.get_structure(self.atoms))
        bases = {"bond_basis_expansion": model.bond_basis_expansion, "angle_basis_expansion": model.angle_basis_expansion}
        batch = BatchedGraph.from_graphs([graph], **bases, compute_stress=True)
        per_atom = model._compute(batch)["e"]
        gradient, virial = torch.autograd.grad(per_atom.sum() * count, [batch.atom_positions[0], batch.strains[0]])
        elements = model.composition_model([graph])  # the linear part, which no position changes
        energy = float(per_atom + elements) * count
        stress = virial / batch.volumes[0]
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": -gradient.numpy(),
            "stress": stress.detach().numpy(),
        }


def _split_layers(model: CHGNet) -> CHGNet:
    """Replace the model's convolutions, in place, by ones of the same weights and, but for rounding, the same results."""
    model.atom_conv_layers = nn.ModuleList(_AtomConv(layer) for layer in model.atom_conv_layers)
    model.bond_conv_layers = nn.ModuleList(layer and _BondConv(layer) for layer in model.bond_conv_layers)
    model.angle_layers = nn.ModuleList(layer and _AngleUpdate(layer) for layer in model.angle_layers)
    return model


class _Gated(nn.Module):
    """A gated perceptron of parts, each features (m, width) and which row of them each edge takes (edges,), all rows in turn if None."""

    def __init__(self, gated: GatedMLP, parts: int):
        super().__init__()
        core, gate = ([layer for layer in mlp.layers if isinstance(layer, nn.Linear)] for mlp in (gated.mlp_core, gated.mlp_gate))
        self.weights = [part.contiguous() for part in torch.cat([core[0].weight, gate[0].weight]).detach().T.chunk(parts)]
        self.bias = torch.cat([core[0].bias, gate[0].bias]).detach()
        self.second = nn.ModuleList([core[1], gate[1]]) if len(core) == 2 else None
        self.norms = nn.ModuleList([gated.bn1, gated.bn2])

    def forward(self, *parts: tuple[Tensor, Tensor | None]) -> Tensor:
        hidden = self.bias
        for (features, index), weight in zip(parts, self.weights, strict=True):
            product = features @ weight
            hidden = hidden + (product if index is None else product.index_select(0, index))
        if self.second is None:
            core, gate = hidden.chunk(2, dim=1)
        else:
            core, gate = (layer(half) for layer, half in zip(self.second, nn.functional.silu(hidden).chunk(2, dim=1), strict=True))
        return nn.functional.silu(self.norms[0](core)) * torch.sigmoid(self.norms[1](gate))


class _AtomConv(nn.Module):
    def __init__(self, layer: AtomConv):
        super().__init__()
        self.gated, self.out = _Gated(layer.twoBody_atom, 3), layer.mlp_out

    def forward(self, atom_feas: Tensor, bond_feas: Tensor, bond_weights: Tensor, atom_graph: Tensor,
                directed2undirected: Tensor) -> Tensor:  # fmt: skip
        center, neighbour = atom_graph.T
        messages = self.gated((atom_feas, center), (bond_feas, directed2undirected), (atom_feas, neighbour))
        messages = messages * bond_weights.index_select(0, directed2undirected)
        return self.out(torch.zeros_like(atom_feas).index_add(0, center, messages)) + atom_feas


class _BondConv(nn.Module):
    def __init__(self, layer: BondConv):
        super().__init__()
        self.gated, self.out = _Gated(layer.twoBody_bond, 4), layer.mlp_out

    def forward(self, atom_feas: Tensor, bond_feas: Tensor, bond_weights: Tensor, angle_feas: Tensor, bond_graph: Tensor) -> Tensor:
        center, one, other = bond_graph.T
        update = self.gated((bond_feas, one), (bond_feas, other), (angle_feas, None), (atom_feas, center))
        update = update * bond_weights.index_select(0, one) * bond_weights.index_select(0, other)
        return self.out(torch.zeros_like(bond_feas).index_add(0, one, update)) + bond_feas


class _AngleUpdate(nn.Module):
    def __init__(self, layer: AngleUpdate):
        super().__init__()
        self.gated = _Gated(layer.twoBody_bond, 4)

    def forward(self, atom_feas: Tensor, bond_feas: Tensor, angle_feas: Tensor, bond_graph: Tensor) -> Tensor:
        center, one, other = bond_graph.T
        return self.gated((bond_feas, one), (bond_feas, other), (angle_feas, None), (atom_feas, center)) + angle_feas
