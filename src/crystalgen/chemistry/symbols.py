"""Element symbols and formulas without any package, so that a request can be refused before anything large is imported."""

import re

from crystalgen.utils.elements import SYMBOLS

ATOMIC_NUMBERS = {symbol: z for z, symbol in enumerate(SYMBOLS[:103], 1)}  # H to Lr
MAX_ATOMS = 1000  # in one cell
_PART = re.compile(r"(?P<symbol>[A-Z][a-z]?)(?P<count>[0-9]*)|(?P<open>\()|\)(?P<times>[0-9]*)")


def parse_composition(text: str) -> dict[str, int]:
    """Return the number of atoms of each element in a formula such as `Ta1W1B4` or `Ta(B2)2`, in the order of the formula.

    Raises:
        ValueError: not a formula, an unknown element, an element without atoms, or more than `MAX_ATOMS` atoms; naming it.
    """
    formula, position = "".join(text.split()), 0
    no_formula = ValueError(f"composition {text!r}: expected a formula with whole numbers of atoms, e.g. Ta1W1B6")
    counts: list[dict[str, int]] = [{}]  # one for each open parenthesis
    while position < len(formula):
        part = _PART.match(formula, position)
        if part is None or formula[part.end() :].startswith(".") or (part[0].startswith(")") and len(counts) == 1):
            raise no_formula
        position = part.end()
        if part["open"]:
            counts.append({})
            continue
        symbol, number = part["symbol"], part["count"] if part["symbol"] else part["times"]
        if symbol and symbol not in ATOMIC_NUMBERS:
            raise ValueError(f"composition {text!r}: no element {symbol!r}; expected H to Lr")
        if number and not 1 <= int(number[:9]) <= MAX_ATOMS:
            raise ValueError(f"composition {text!r}: {part[0]} has {number} atoms; expected 1 to {MAX_ATOMS} in a cell")
        for name, count in ({symbol: 1} if symbol else counts.pop()).items():
            counts[-1][name] = counts[-1].get(name, 0) + count * int(number or 1)
    if len(counts) > 1 or not counts[0]:
        raise no_formula
    if (total := sum(counts[0].values())) > MAX_ATOMS:
        raise ValueError(f"composition {text!r}: {total} atoms; expected at most {MAX_ATOMS} in a cell")
    return counts[0]
