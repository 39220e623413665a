"""CHGNet made faster by what its package keeps private; `tests/test_potentials.py` holds it against the package.

CHGNet's layers join the features of an edge's atoms, bonds and angle into one long row per edge, then apply a linear layer. Applied to
the parts of that row, the layer works on atoms and bonds, which are few, and only its results are gathered per edge: a third of the
multiplications. Of a cell of five atoms, half of a call's time is spent before any arithmetic; joined in one call, cells share it.
"""

import copy
from collections.abc import Sequence
from functools import cache

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model import CHGNet
from chgnet.model.functions import GatedMLP
from chgnet.model.layers import AngleUpdate, AtomConv, BondConv
from chgnet.model.model import BatchedGraph
from pymatgen.io.ase import AseAtomsAdaptor
from torch import Tensor, nn

from crystalgen.potentials.outcome import Outcome, reason


@cache
def chgnet() -> CHGNet:
    """Return CHGNet 0.3.0, whose weights ship in its wheel."""
    torch.set_num_threads(1)  # one worker per core: threads inside a worker only get in each other's way
    model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")
    return model


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
        (found,) = self._joined([self._graph(self.atoms)], [len(self.atoms)])
        self.results = {"energy": found[0], "free_energy": found[0], "forces": found[1], "stress": found[2]}

    def together(self, cells: Sequence[Atoms]) -> list[Outcome]:
        """Return energy, forces and stress of each cell by one call, see `outcome.Outcome`."""
        found: list[Outcome] = [""] * len(cells)
        graphs = {}
        for place, atoms in enumerate(cells):
            try:
                graphs[place] = self._graph(atoms)
            except Exception as error:
                found[place] = reason(error)
        if graphs:
            outcomes = self._joined(list(graphs.values()), [len(cells[place]) for place in graphs])
            for place, outcome in zip(graphs, outcomes, strict=True):
                found[place] = outcome
        return found

    def _graph(self, atoms: Atoms) -> CrystalGraph:
        return self.model.graph_converter(AseAtomsAdaptor.get_structure(atoms))

    def _joined(self, graphs: list[CrystalGraph], counts: list[int]) -> list[Outcome]:
        model, counts = self.model, torch.tensor(counts)
        bases = {"bond_basis_expansion": model.bond_basis_expansion, "angle_basis_expansion": model.angle_basis_expansion}
        joined = BatchedGraph.from_graphs(graphs, **bases, compute_stress=True)
        per_atom = model._compute(joined)["e"]
        gradients = torch.autograd.grad((per_atom * counts).sum(), [*joined.atom_positions, *joined.strains])
        energies = (per_atom + model.composition_model(graphs)).detach() * counts  # the linear part, which no position changes
        stresses = [by_strain / volume for by_strain, volume in zip(gradients[len(graphs) :], joined.volumes, strict=True)]
        forces = [-by_position.numpy() for by_position in gradients[: len(graphs)]]
        return [(float(e), f, s.detach().numpy()) for e, f, s in zip(energies, forces, stresses, strict=True)]


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
