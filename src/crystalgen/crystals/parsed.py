"""What a parser made of one crystal in a text: the crystal, or the reason why it is none."""

from dataclasses import dataclass

from pymatgen.core import Structure


@dataclass(frozen=True)
class Parsed:
    """One crystal of a text (a CIF's data block, an extxyz' frame, a POSCAR): a structure or a reason, never both.

    name: of the block or frame within its text, empty where there is but one. notes: what was repaired on the way.
    """

    name: str
    structure: Structure | None
    reason: str | None = None
    notes: tuple[str, ...] = ()
