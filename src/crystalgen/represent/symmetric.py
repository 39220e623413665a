"""Sampling on scaffolds: a model of either representation, and its crystals, exact to their space groups."""

from collections.abc import Sequence

import numpy as np
import torch

from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.views import MatrixView, UniMatView
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import Symmetric
from crystalgen.represent.apart import kept_apart
from crystalgen.represent.scaffold import Scaffold, subspaces, symmetrised
from crystalgen.utils.lattice import lattices_from_parameters


def sample_scaffolds(model: Model, condition: dict[str, torch.Tensor], sampling: Sampling, seed: int,
                     scaffolds: Sequence[Scaffold], names: torch.Tensor | None = None) -> tuple[list, list, list]:  # fmt: skip
    """Draw a crystal on each scaffold: lattices (3, 3), Å, atomic numbers and fractional coordinates, as `generate.decode` returns them.

    condition: of `codec.request` for the scaffolds' atoms; empty for an unconditional UniMat model. names: see `sample.draw_samples`.
    """
    matrix, codec, tables = model.settings.representation == "matrix", model.codec, subspaces(scaffolds)
    sizes = torch.tensor([len(scaffold.numbers) for scaffold in scaffolds])
    places = torch.arange(int(sizes.max())).expand(len(sizes), -1).masked_fill(torch.arange(int(sizes.max())) >= sizes[:, None], -1)
    if not matrix:
        places = torch.nn.utils.rnn.pad_sequence([codec.places(scaffold.numbers) for scaffold in scaffolds], True, -1)

    def symmetry(numbers: torch.Tensor, device: torch.device) -> Symmetric:
        here = places[numbers].to(device)
        return Symmetric(tables.of(numbers, device), MatrixView(codec, here >= 0) if matrix else UniMatView(codec, here))

    sampling = sampling.model_copy(update={"count": len(scaffolds)})
    drawn = model.sample(condition, sampling, seed, symmetry, names)
    if matrix:
        lattices, values = drawn[:, -3:].double().numpy(), drawn[:, : places.shape[1]]
    else:
        lattices = lattices_from_parameters(drawn[1].numpy())
        values = drawn[0].flatten(2).transpose(1, 2).gather(1, places.clamp(min=0)[..., None].expand(-1, -1, 3))
    made = [_exact(*crystal) for crystal in zip(lattices, values.double().numpy(), scaffolds, strict=True)]
    return [m for m, _ in made], [s.numbers.astype(np.int16) for s in scaffolds], [x for _, x in made]


def _exact(lattice: np.ndarray, coords: np.ndarray, scaffold: Scaffold) -> tuple[np.ndarray, np.ndarray]:
    """What single precision has left to be averaged, and atoms inside each other moved apart; a mirror image where the scaffold is one."""
    coords = coords[: len(scaffold.numbers)]
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        return np.full((3, 3), np.nan), coords
    lattice, coords = kept_apart(*symmetrised(lattice, coords, scaffold.rotations, scaffold.images), scaffold)
    return lattice, -coords if scaffold.mirrored else coords
