"""SevenNet's convolution with the sum over neighbours first: of equal weights, and but for rounding of equal results.

The package makes the product of a neighbour's features and the spherical harmonics of the bond for every bond, couples it to the
angular momenta of the result, and then sums over bonds. Coupling is linear, so that it can come after the sum: once for an atom
instead of once for each of its some fifty bonds. The weights of a bond follow from its length alone, so that bonds of equal length,
of which a crystal has many, share them.
"""

import numpy as np
import sevenn._keys as keys
import torch
from e3nn.o3 import wigner_3j
from numba import njit
from sevenn.nn.convolution import IrrepsConvolution
from torch import nn

_LENGTH_STEP = 1e-5  # Å; lengths nearer than this are one


class NeighbourSum(nn.Module):
    """Replaces an `IrrepsConvolution` where no gradient is asked for.

    Args:
        layer: of a model whose weights it shares.
    """

    def __init__(self, layer: IrrepsConvolution):
        super().__init__()
        self.weight_nn, self.denominator = layer.weight_nn, layer.denominator
        product = layer.convolution
        self.inputs = [(slice_, mul, ir.dim) for slice_, (mul, ir) in zip(product.irreps_in1.slices(), product.irreps_in1, strict=True)]
        filters = product.irreps_in2.slices()
        self.paths, weights = [], 0
        for path in product.instructions:
            mul, ir = product.irreps_in1[path.i_in1]
            one, other, out = ir.l, product.irreps_in2[path.i_in2].ir.l, product.irreps_out[path.i_out].ir.l
            coupling = path.path_weight * wigner_3j(one, other, out).reshape(-1, 2 * out + 1).T
            harmonics = filters[path.i_in2]
            self.paths.append((path.i_in1, harmonics.start, harmonics.stop, weights, coupling.contiguous()))
            weights += mul

    def forward(self, data: dict) -> dict:
        """Replace the node features in data by the sums over neighbours."""
        centre, neighbour = data[keys.EDGE_IDX]
        lengths, kind = torch.unique((data[keys.EDGE_LENGTH] / _LENGTH_STEP).round().long().reshape(-1), return_inverse=True)
        some = torch.empty(len(lengths), dtype=torch.long).scatter_(0, kind, torch.arange(len(kind)))  # a bond of each length
        weights = self.weight_nn(data[keys.EDGE_EMBEDDING][some]).numpy()
        x = data[keys.NODE_FEATURE]
        order = torch.argsort(centre, stable=True)
        ends = torch.zeros(len(x) + 1, dtype=torch.long)
        ends[1:] = torch.bincount(centre, minlength=len(x)).cumsum(0)
        bonds = [part.numpy() for part in (ends, neighbour[order], kind[order], data[keys.EDGE_ATTR][order])]
        features = [x[:, part].reshape(len(x), mul, dim).transpose(1, 2).contiguous().numpy() for part, mul, dim in self.inputs]
        sums = []
        for of, start, stop, first, coupling in self.paths:
            summed = _sum(features[of], weights, first, *bonds, start, stop)
            sums.append((coupling @ torch.from_numpy(summed)).transpose(1, 2).reshape(len(x), -1))
        data[keys.NODE_FEATURE] = torch.cat(sums, dim=1) / self.denominator
        return data


@njit(cache=True)
def _sum(features: np.ndarray, weights: np.ndarray, first: int, ends: np.ndarray, neighbours: np.ndarray, kinds: np.ndarray,
         harmonics: np.ndarray, start: int, stop: int) -> np.ndarray:  # fmt: skip
    """Sum weight times feature times harmonic over the bonds of each atom (atoms, m of the feature times m of the harmonic, channels)."""
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
