"""Formulas of cells without any package, so that a request can be refused before anything large is imported."""

import re

from crystalgen.utils.elements import SYMBOLS

ATOMIC_NUMBERS = {symbol: z for z, symbol in enumerate(SYMBOLS[:103], 1)}  # H to Lr
MAX_ATOMS = 1000  # in one cell
MAX_ELEMENTS = 6  # of a chemical system
_LONGEST = 200  # letters of a formula
_PART = re.compile(r"\s*(?:(?P<symbol>[A-Z][a-z]?)(?P<count>[0-9]*)|(?P<open>\()|\)(?P<times>[0-9]*))")
_EXAMPLE = "expected a formula with whole numbers of atoms, e.g. Ta1W1B6"


def parse_composition(text: str) -> dict[str, int]:
    """Return the number of atoms of each element in a formula such as `Ta1W1B4` or `Ta(B2)2`, in the order of the formula.

    Raises:
        ValueError: not a formula, an unknown element, an element without atoms, or more than `MAX_ATOMS` atoms; naming it.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(f"composition {_short(text)}: {_EXAMPLE}")
    named, formula, position = f"composition {_short(text)}", text.strip(), 0
    counts: list[dict[str, int]] = [{}]  # one for each open parenthesis
    while position < len(formula):
        part = _PART.match(formula, position)
        if part is None or (part[0].strip().startswith(")") and len(counts) == 1):
            raise ValueError(f"{named}: {_problem(formula, position)}")
        position = part.end()
        if formula.startswith(".", position):
            raise ValueError(f"{named}: {_problem(formula, position)}")
        if part["open"]:
            counts.append({})
            continue
        symbol, number = part["symbol"], part["count"] if part["symbol"] else part["times"]
        if symbol and symbol not in ATOMIC_NUMBERS:
            raise ValueError(f"{named}: no element {symbol!r}; expected H to Lr")
        if number and not 1 <= int(number) <= MAX_ATOMS:  # of at most `_LONGEST` digits
            raise ValueError(f"{named}: {symbol or ')'}{number[:20]} has {number[:20]} atoms; expected 1 to {MAX_ATOMS} in a cell")
        group = {symbol: 1} if symbol else counts.pop()
        if not group:
            raise ValueError(f"{named}: nothing in parentheses; {_EXAMPLE}")
        for name, count in group.items():
            counts[-1][name] = counts[-1].get(name, 0) + count * int(number or 1)
    if len(counts) > 1 or not counts[0]:
        raise ValueError(f"{named}: {'a parenthesis is left open; ' if len(counts) > 1 else ''}{_EXAMPLE}")
    if (total := sum(counts[0].values())) > MAX_ATOMS:
        raise ValueError(f"{named}: {_short(total)} atoms; expected at most {MAX_ATOMS} in a cell")
    return counts[0]


def parse_system(text: str) -> tuple[str, ...]:
    """Return the elements of a chemical system such as `Li-Fe-P-O`, in its order.

    Raises:
        ValueError: it is not 2 to `MAX_ELEMENTS` different symbols joined by hyphens.
    """
    symbols = tuple(part.strip() for part in text.split("-"))
    expected = f"expected 2 to {MAX_ELEMENTS} different elements joined by hyphens, e.g. Li-Fe-P-O"
    for symbol in symbols:
        if symbol not in ATOMIC_NUMBERS:
            raise ValueError(f"chemical system {_short(text)}: no element {_short(symbol)}; {expected}")
    if not 2 <= len(symbols) <= MAX_ELEMENTS or len(set(symbols)) < len(symbols):
        raise ValueError(f"chemical system {_short(text)}: {expected}")
    return symbols


def is_system(text: str) -> bool:
    """Return whether a request is meant as a chemical system, not as one formula."""
    return isinstance(text, str) and "-" in text.strip().lstrip("-")


def _problem(formula: str, position: int) -> str:
    """Say what stands where no element, number or parenthesis can."""
    rest = formula[position:].lstrip()
    if word := re.match(r"[A-Za-z]*[a-z][A-Za-z]*", rest):  # tawb4, or prose
        return f"no element {word[0][:20]!r}; {_EXAMPLE}, each symbol with its capital letter"
    return f"{rest[:1]!r} does not belong here; {_EXAMPLE}"


def _short(value) -> str:
    text = repr(value[:40]) if isinstance(value, str) else str(value)
    return text if len(text) <= 50 and (not isinstance(value, str) or len(value) <= 40) else f"{text[:50]}..."
