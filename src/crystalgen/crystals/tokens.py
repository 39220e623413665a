"""Numbers and species as structure files write them."""

import re

from crystalgen.utils.elements import SYMBOLS

HEAVY_HYDROGEN = "deuterium or tritium read as hydrogen"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")
_CHARGED = re.compile(r"([A-Za-z]{1,2})(\d*\.?\d*[+-]|[+-]\d*\.?\d*)?")
_KNOWN = frozenset(SYMBOLS)


def number(token: str) -> float:
    """Return a number as C or Fortran writes it (1.0D-3); raises ValueError for anything else."""
    if not _NUMBER.fullmatch(token):
        raise ValueError(f"expected a number, got {token[:20]!r}")
    return float(token.replace("d", "e").replace("D", "e"))


def element(label: str) -> tuple[str, str | None]:
    """Return the element's symbol that a label stands for, and a note where that took a change that a reader should know of.

    A charge (Na+, O2-, Fe+3) says nothing of which crystal it is and is left out; so is what VASP's potentials add (Ta_pv, W/1a2b).

    Raises:
        ValueError: it stands for no element.
    """
    found = _CHARGED.fullmatch(label.split("/")[0].split("_")[0])
    symbol = found[1].capitalize() if found else ""
    if symbol in ("D", "T"):
        return "H", HEAVY_HYDROGEN
    if symbol not in _KNOWN:
        raise ValueError(f"unknown element {label[:20]!r}")
    return symbol, None if symbol == found[1] else f"{found[1]} read as {symbol}"
