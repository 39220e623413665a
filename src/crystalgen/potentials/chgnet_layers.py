"""CHGNet's convolutions in a third of the multiplications: a linear layer before the gather, not after.

Each layer of the package joins the features of an edge's atoms, bonds and angle into one long row per edge, then applies a linear layer.
Applied to the parts of that row, the layer works on atoms and bonds, which are few, and only its results are gathered per edge.
"""

import torch
from chgnet.model import CHGNet
from chgnet.model.functions import GatedMLP
from chgnet.model.layers import AngleUpdate, AtomConv, BondConv
from torch import Tensor, nn


def split_layers(model: CHGNet) -> CHGNet:
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
