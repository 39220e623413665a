"""Named properties as a network is told them, and which requests a model can be asked at all. Torch only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crystalgen.generative.data.format import ELEMENTS, PROPERTIES, SPACE_GROUPS, TRAIN
from crystalgen.generative.data.scales import Scales
from crystalgen.utils.elements import SYMBOLS


def encode_properties(columns: Iterable[str], values: dict[str, Tensor], scales: Scales) -> dict[str, Tensor]:
    """Encode properties of n crystals, those of `data.format.PROPERTIES` that `columns` name.

    Args:
        columns: names of properties.
        values: each (n,), NaN where a number is unknown, 0 where a category is; a property that is missing here is unknown.
        scales: of the numbers.

    Returns:
        for each property its tensor, numbers standardised and 0 where unknown, and a mask <name>_known (n,).
    """
    encoded, count = {}, max(map(len, values.values()), default=0)
    for name, kind in PROPERTIES.items():
        if name not in columns:
            continue
        if kind.categories is not None:
            found = values.get(name, torch.zeros(count, dtype=torch.long)).long()
            encoded |= {kind.tensor: found, f"{kind.tensor}_known": found > 0}
        else:
            found = scales.standardise(kind.tensor, values.get(name, torch.full((count,), torch.nan)).float())
            encoded |= {kind.tensor: torch.nan_to_num(found), f"{kind.tensor}_known": torch.isfinite(found)}
    return encoded


def withheld(condition: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Return a matrix's condition as if the named properties, or the `template`, were unknown."""
    changes = {
        "space_group": {"space_group": 0},
        "formation_energy_per_atom": {"energy_known": False, "energy_difference_known": False},
        "template": {"start": torch.nan},
    }
    unknown = {key: value for name in names for key, value in changes[name].items() if key in condition}
    return condition | {key: torch.full_like(condition[key], value) for key, value in unknown.items()}


@dataclass(frozen=True)
class Seen:
    """What the training crystals held, so that a request for something else is refused.

    elements: in how many crystals each atomic number occurs, int (119,).
    space_groups: how many crystals have each, int (231,), those without one at 0.
    max_sites: atoms of the longest crystal that the model's tensors hold, int (1,).
    """

    elements: Tensor
    space_groups: Tensor
    max_sites: Tensor

    @classmethod
    def count(cls, atomic_numbers: Tensor, space_groups: Tensor, split: Tensor, max_sites: int) -> "Seen":
        """Count over the training crystals of atomic numbers (n, A), 0 for no atom, space groups (n,) and splits (n,)."""
        train = split == TRAIN
        elements = torch.zeros(ELEMENTS, dtype=torch.long)
        for z in torch.unique(atomic_numbers[train]).tolist():
            elements[z] = (atomic_numbers[train] == z).any(dim=1).sum()
        elements[0] = 0
        return cls(elements, torch.bincount(space_groups[train].long(), minlength=SPACE_GROUPS), torch.tensor([max_sites]))

    @property
    def known_elements(self) -> list[int]:
        """Atomic numbers of training crystals, ascending."""
        return torch.nonzero(self.elements).flatten().tolist()

    @property
    def known_groups(self) -> list[int]:
        """Space groups of training crystals, ascending."""
        return [group for group in torch.nonzero(self.space_groups).flatten().tolist() if group > 0]

    def check(self, numbers: Sequence[int], space_group: int | None = None, which: str = "the request") -> None:
        """Refuse a composition or a space group that no training crystal had.

        Args:
            numbers: atomic numbers of the cell's atoms.
            space_group: None where the model is not told one, or any will do.
            which: what the message calls the request.

        Raises:
            ValueError: an unknown element, too many atoms, or an unknown space group.
        """
        known = self.known_elements
        if strange := sorted({int(z) for z in numbers} - set(known)):
            raise ValueError(f"{which}: no training crystal has {_symbols(strange)}; expected elements of {_symbols(known)}")
        if len(numbers) > int(self.max_sites):
            raise ValueError(f"{which}: {len(numbers)} atoms; expected at most {int(self.max_sites)}, the model's longest cell")
        if space_group is not None and int(space_group) not in self.known_groups:
            raise ValueError(f"{which}: no training crystal has space group {int(space_group)}; expected one of {self.known_groups}")


def _symbols(numbers: list[int]) -> str:
    return ", ".join(SYMBOLS[z - 1] if 0 < z <= len(SYMBOLS) else f"atomic number {z}" for z in numbers)
