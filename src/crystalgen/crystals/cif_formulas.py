"""The formula line of a CIF: the compositions that it may mean, and how a crystal's atoms compare with them."""

import re
from collections import Counter
from functools import lru_cache

from pymatgen.core import Composition, Element

from crystalgen.crystals.cif_sites import ABSENT, LARGEST

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?")
_PLAIN = re.compile(rf"(?:{_TOKEN.pattern})+")
_FORMULA_KEYS = ("_chemical_formula_sum", "_chemical_formula_structural")


def read_formulas(block: dict) -> tuple[str, list[dict[str, float]]]:
    """Return the formula line and the compositions that it may mean, none where `_chemical_formula_sum` is no formula.

    Deuterium and tritium count as hydrogen.
    """
    for key in _FORMULA_KEYS:
        text = block.get(key, "")
        text = " ".join(text).strip() if isinstance(text, list) else text.strip()
        text = text.strip("'\" ")
        if text not in ABSENT and (found := _compositions(text)):
            return text, found
        if text not in ABSENT and key == _FORMULA_KEYS[0]:
            return text, []
    return "", []


@lru_cache(maxsize=4096)
def _compositions(text: str) -> list[dict[str, float]]:
    spellings = [text]
    if text.upper() == text and re.search(r"[A-Z]{2}", text):  # NA4 CL4
        spellings.append(re.sub(r"[A-Z]{2}", lambda m: m[0].title() if Element.is_valid_symbol(m[0].title()) else m[0], text))
    found = []
    for spelling in spellings:
        try:
            amounts = _amounts(spelling) or Composition(spelling).get_el_amt_dict()
        except (ValueError, KeyError):
            continue
        merged = Counter()
        for symbol, amount in amounts.items():
            merged["H" if symbol in ("D", "T") else symbol] += amount
        if merged and all(Element.is_valid_symbol(s) for s in merged) and all(0 < a < LARGEST for a in merged.values()):
            found.append(dict(merged))
    return found


def _amounts(text: str) -> Counter:
    """Return the amounts of a formula without brackets, of any other none."""
    words = re.sub(r"([A-Za-z])\s+(?=[\d.])", r"\1", text).replace(",", " ").split()
    amounts = Counter()
    if all(map(_PLAIN.fullmatch, words)):
        for symbol, amount in (pair for word in words for pair in _TOKEN.findall(word)):
            amounts[symbol] += float(amount or 1)
    return amounts


def same_ratio(content: Counter, formula: dict[str, float]) -> bool:
    """Return whether numbers of atoms are a multiple of a formula: exactly, or within the rounding of its decimals."""
    if set(content) != set(formula):
        return False
    ratio = sum(content.values()) / sum(formula.values())
    whole = all(amount == round(amount) for amount in formula.values())
    return all(abs(content[e] - ratio * a) <= (1e-6 if whole else 0.005) * content[e] for e, a in formula.items())


def reduction(formula: dict[str, float]) -> float:
    """Return how many formula units pymatgen counts in a formula, of elements such as Cl2 the molecules."""
    return Composition(formula).get_reduced_composition_and_factor()[1]


def difference(content: Counter, formula: dict[str, float], text: str) -> str:
    """Return in words how the atoms built differ from the formula line."""
    built = Composition(content).formula.replace(" ", "")
    heavy, stated = Counter(content), dict(formula)
    heavy.pop("H", None)
    hydrogens = stated.pop("H", 0)
    if hydrogens and heavy and same_ratio(heavy, stated):
        ratio = sum(heavy.values()) / sum(stated.values())
        if content["H"] < ratio * hydrogens:
            return f"hydrogens are missing: the sites hold {built}, the formula line says {text}"
    missing = [e for e in formula if e not in content]
    extra = [e for e in content if e not in formula]
    detail = f" ({'no ' + ', '.join(missing) if missing else 'also ' + ', '.join(extra)})" if missing or extra else ""
    return f"the sites hold {built}{detail} where the formula line says {text}"
