"""What a potential says of a cell: energy, forces and stress, or why there are none."""

import numpy as np

from crystalgen.utils.timeout import TimeLimit

Outcome = tuple[float, np.ndarray, np.ndarray] | str  # energy in eV, forces (n, 3) in eV/Å, stress (3, 3) in eV/Å^3; or why there are none


class LostCell(RuntimeError):
    """A crystal that is none, or that left what a crystal can be."""


def reason(error: BaseException) -> str:
    """Return why a crystal has no result, in one short line."""
    text = " ".join(str(error).split())[:120]
    return text if isinstance(error, (LostCell, TimeLimit)) else f"{type(error).__name__}: {text}".rstrip(": ")
