"""UniMat's augmentation: the same crystal described anew (A §2.1). Torch only.

A cell kept as lengths and angles knows no rotation but the exchange of its axes.
"""

import torch
from torch import Tensor

from crystalgen.generative.data.format import WRAP_TOLERANCE

_AXES = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1], [1, 0, 2], [0, 2, 1], [2, 1, 0]])  # the last three turn a hand into the other


def augment(place: Tensor, coords: Tensor, cell: Tensor, kinds: tuple[str, ...], per_layer: int,
            generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Describe each crystal anew.

    Args:
        place: (n, A) number of each atom's place in (L, H, W); -1 where there is no atom.
        coords: (n, A, 3) fractional; cell: (n, 6), lengths and angles.
        kinds: some of "order" (atoms of an element change their layers), "axes" (lattice vectors change their names)
            and "translation" (the origin moves).
        per_layer: places in a layer, H * W.

    Returns:
        place, coords in [0, 1) and cell.
    """
    if "order" in kinds:
        place = _reordered(place, per_layer, generator)
    if "axes" in kinds:
        which = torch.randint(len(_AXES), (len(place),), generator=generator)
        axes = _AXES[which]
        cell = torch.cat([cell[:, :3].gather(1, axes), cell[:, 3:].gather(1, axes)], dim=1)  # α lies opposite to a
        coords = coords.gather(2, axes[:, None].expand_as(coords))
        # An odd exchange alone would give the mirror image; with all three vectors reversed the hand is kept.
        coords = torch.where((which >= 3)[:, None, None], -coords, coords)
    if "translation" in kinds:
        coords = coords + torch.rand(len(place), 1, 3, generator=generator)
    coords = coords % 1.0
    return place, torch.where(coords > 1 - WRAP_TOLERANCE, 0.0, coords), cell


def _reordered(place: Tensor, per_layer: int, generator: torch.Generator) -> Tensor:
    """An element's atoms keep its first layers, in random order."""
    draw = torch.rand(place.shape, generator=generator)
    same = (place % per_layer)[:, :, None] == (place % per_layer)[:, None, :]
    same &= (place >= 0)[:, :, None] & (place >= 0)[:, None, :]
    layer = (same & (draw[:, None, :] < draw[:, :, None])).sum(dim=2)
    return torch.where(place >= 0, layer * per_layer + place % per_layer, place)
