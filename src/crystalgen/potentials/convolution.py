"""SevenNet's convolution with the sum over neighbours first: of equal weights, and but for rounding of equal results.

The package makes the product of a neighbour's features and the spherical harmonics of the bond for every bond, couples it to the
angular momenta of the result, and then sums over bonds. Coupling is linear, so that it can come after the sum: once for an atom
instead of once for each of its some fifty bonds. The weights of a bond follow from its length alone, so that bonds of equal length,
of which a crystal has many, share them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sevenn._keys as keys
import torch
from e3nn.o3 import wigner_3j
from numba import njit
from sevenn.nn.convolution import IrrepsConvolution
from sevenn.nn.edge_embedding import EdgeEmbedding
from torch import Tensor, nn

_LENGTH_STEP = 1e-5  # Å; lengths nearer than this are one


@dataclass(frozen=True)
class Bonds:
    """Bonds in order of their centres, of a network without gradients of its own weights.

    order: of the bonds as they were, (e,). ends: where each atom's begin and end, (atoms + 1,). neighbours: (e,). kinds: which of the
    lengths each has, (e,). weights, slopes: of each length and their derivatives by it, (k, w); slopes are empty where no gradient is
    asked for.
    """

    order: Tensor
    ends: np.ndarray
    neighbours: np.ndarray
    kinds: np.ndarray
    weights: np.ndarray
    slopes: np.ndarray


class NeighbourSum(nn.Module):
    """Replaces an `IrrepsConvolution`; gradients are of the bonds and the features, not of the weights.

    Args:
        layer: of a model whose weights it shares.
        embedding: the model's, of lengths.
    """

    def __init__(self, layer: IrrepsConvolution, embedding: EdgeEmbedding):
        super().__init__()
        self.weight_nn, self.denominator, self.embedding = layer.weight_nn, layer.denominator, embedding
        product = layer.convolution
        self.inputs = [(slice_, mul, ir.dim) for slice_, (mul, ir) in zip(product.irreps_in1.slices(), product.irreps_in1, strict=True)]
        filters = product.irreps_in2.slices()
        self.paths, self.couplings, weights = [], [], 0
        for path in product.instructions:
            mul, ir = product.irreps_in1[path.i_in1]
            one, other, out = ir.l, product.irreps_in2[path.i_in2].ir.l, product.irreps_out[path.i_out].ir.l
            coupling = path.path_weight * wigner_3j(one, other, out).reshape(-1, 2 * out + 1).T
            harmonics = filters[path.i_in2]
            self.paths.append((path.i_in1, harmonics.start, harmonics.stop, weights))
            self.couplings.append(coupling.contiguous())
            weights += mul

    def forward(self, data: dict) -> dict:
        """Replace the node features in data by the sums over neighbours."""
        x, lengths = data[keys.NODE_FEATURE], data[keys.EDGE_LENGTH].reshape(-1)
        bonds = self._bonds(len(x), *data[keys.EDGE_IDX], lengths)
        features = [x[:, part].reshape(len(x), mul, dim).transpose(1, 2).contiguous() for part, mul, dim in self.inputs]
        sums = _Sums.apply(bonds, self.paths, data[keys.EDGE_ATTR], lengths, *features)
        coupled = [(by @ summed).transpose(1, 2).reshape(len(x), -1) for by, summed in zip(self.couplings, sums, strict=True)]
        data[keys.NODE_FEATURE] = torch.cat(coupled, dim=1) / self.denominator
        return data

    def _bonds(self, atoms: int, centre: Tensor, neighbour: Tensor, lengths: Tensor) -> Bonds:
        values, kinds = torch.unique((lengths.detach() / _LENGTH_STEP).round().long(), return_inverse=True)
        some = torch.empty(len(values), dtype=torch.long).scatter_(0, kinds, torch.arange(len(kinds)))  # a bond of each length
        weights, slopes = _with_slopes(self._weights, lengths.detach()[some], lengths.requires_grad)
        order = torch.argsort(centre, stable=True)
        ends = torch.zeros(atoms + 1, dtype=torch.long)
        ends[1:] = torch.bincount(centre, minlength=atoms).cumsum(0)
        return Bonds(order, ends.numpy(), neighbour[order].numpy(), kinds[order].numpy(), weights.numpy(), slopes.numpy())

    def _weights(self, lengths: Tensor) -> Tensor:
        embedding = self.embedding.basis_function(lengths) * self.embedding.cutoff_function(lengths).unsqueeze(-1)
        return self.weight_nn(embedding)


def _with_slopes(function: Callable[[Tensor], Tensor], x: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """Return function(x), (k, w), whose rows depend on one number each, and the derivatives by these if wanted."""
    if not wanted:
        with torch.no_grad():
            return function(x), torch.empty(0, 0)
    with torch.enable_grad():
        x = x.requires_grad_()
        y = function(x)
        direction = torch.zeros_like(y, requires_grad=True)
        (along,) = torch.autograd.grad(y, x, direction, create_graph=True)  # linear in the direction: its gradient is the derivative
        (slopes,) = torch.autograd.grad(along.sum(), direction)
    return y.detach(), slopes


class _Sums(torch.autograd.Function):
    """Weight times feature times harmonic, summed over the bonds of each atom: for each path (atoms, m of both, channels)."""

    @staticmethod
    def forward(ctx, bonds: Bonds, paths: list[tuple], harmonics: Tensor, lengths: Tensor, *features: Tensor) -> tuple[Tensor, ...]:
        given = harmonics.detach()[bonds.order].numpy()
        ctx.bonds, ctx.paths, ctx.harmonics, ctx.features = bonds, paths, given, [each.detach().numpy() for each in features]
        arrays = bonds.ends, bonds.neighbours, bonds.kinds, bonds.weights
        return tuple(torch.from_numpy(_sum(ctx.features[of], *arrays, given, start, stop, first)) for of, start, stop, first in paths)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple:
        bonds = ctx.bonds
        to_harmonics, to_lengths = np.zeros_like(ctx.harmonics), np.zeros(len(ctx.harmonics), dtype=np.float32)
        to_features = [np.zeros_like(each) for each in ctx.features]
        arrays = bonds.ends, bonds.neighbours, bonds.kinds, bonds.weights, bonds.slopes
        for (of, start, stop, first), gradient in zip(ctx.paths, gradients, strict=True):
            given = gradient.contiguous().numpy()
            _back(ctx.features[of], *arrays, ctx.harmonics, start, stop, first, given, to_features[of], to_harmonics, to_lengths)
        back = torch.empty_like(bonds.order).scatter_(0, bonds.order, torch.arange(len(bonds.order)))
        return None, None, torch.from_numpy(to_harmonics)[back], torch.from_numpy(to_lengths)[back], *map(torch.from_numpy, to_features)


@njit(cache=True)
def _sum(features: np.ndarray, ends: np.ndarray, neighbours: np.ndarray, kinds: np.ndarray, weights: np.ndarray, harmonics: np.ndarray,
         start: int, stop: int, first: int) -> np.ndarray:  # fmt: skip
    atoms, dim, channels = features.shape
    sums = np.zeros((atoms, dim * (stop - start), channels), dtype=np.float32)
    weighted = np.empty(channels, dtype=np.float32)
    for atom in range(atoms):
        for bond in range(ends[atom], ends[atom + 1]):
            feature, weight = features[neighbours[bond]], weights[kinds[bond]]
            row = 0
            for m in range(dim):
                for u in range(channels):
                    weighted[u] = feature[m, u] * weight[first + u]
                for other in range(start, stop):
                    harmonic = harmonics[bond, other]
                    for u in range(channels):
                        sums[atom, row, u] += weighted[u] * harmonic
                    row += 1
    return sums


@njit(cache=True, fastmath={"reassoc", "contract"})
def _back(features: np.ndarray, ends: np.ndarray, neighbours: np.ndarray, kinds: np.ndarray, weights: np.ndarray, slopes: np.ndarray,
          harmonics: np.ndarray, start: int, stop: int, first: int, gradient: np.ndarray, to_features: np.ndarray,
          to_harmonics: np.ndarray, to_lengths: np.ndarray) -> None:  # fmt: skip
    """Add to the gradients of a path's inputs what its sums' gradient makes of them."""
    atoms, dim, channels = features.shape
    along = np.empty(channels, dtype=np.float32)
    weighted = np.empty(channels, dtype=np.float32)
    for atom in range(atoms):
        for bond in range(ends[atom], ends[atom + 1]):
            place, kind = neighbours[bond], kinds[bond]
            row, by_length = 0, np.float32(0)
            for m in range(dim):
                for u in range(channels):
                    weighted[u] = features[place, m, u] * weights[kind, first + u]
                    along[u] = 0
                for other in range(start, stop):
                    harmonic, total = harmonics[bond, other], np.float32(0)
                    for u in range(channels):
                        given = gradient[atom, row, u]
                        along[u] += given * harmonic
                        total += given * weighted[u]
                    to_harmonics[bond, other] += total
                    row += 1
                for u in range(channels):
                    to_features[place, m, u] += along[u] * weights[kind, first + u]
                    by_length += along[u] * features[place, m, u] * slopes[kind, first + u]
            to_lengths[bond] += by_length
