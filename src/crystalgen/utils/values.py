"""What a value of a settings file may be: bounded numbers, names that are safe as files and in a shell, elements, formulas."""

import re
from typing import Annotated
from unicodedata import category

from pydantic import AfterValidator, BeforeValidator, Field

from crystalgen.utils.elements import SYMBOLS
from crystalgen.utils.formulas import parse_composition
from crystalgen.utils.limits import MAX_FORMATION_ENERGY

NAME = "letters, digits, '_' and '-' alone, at most 100, the first no '-'"
_NAME = re.compile(r"(?![0-9]+[eE][-]?[0-9]+\Z|0o[0-7]+\Z)[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")  # what YAML 1.2 reads as a number is none
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs
RESERVED = ("ablations", "evaluate", "generated", "library-card", "relax")  # what else lies beside the studies' folders


def is_name(text) -> bool:
    """Return whether text may name a study, a model or the like: as a folder, in a shell and as a key of YAML it is itself."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def check_name(text: str, what: str = "name") -> str:
    """Return a name as it is.

    Raises:
        ValueError: it is none (see `is_name`).
    """
    if not is_name(text):
        raise ValueError(f"{what} {shown(text)}: expected {NAME}")
    return text


def check_study_name(text: str) -> str:
    """Return a study's name as it is; raises ValueError where it is no name, or one of `RESERVED`."""
    if check_name(text, "study") in RESERVED:
        raise ValueError(f"study '{text}': this name is taken by another folder of results; expected none of {', '.join(RESERVED)}")
    return text


def shown(value, longest: int = 60) -> str:
    """Return a value for a message of one line."""
    try:
        text = repr(value[:longest] if isinstance(value, str | list | tuple) else value)
    except ValueError:  # a whole number of more digits than Python prints
        text = "a number of thousands of digits"
    return text if len(text) <= longest else f"{text[:longest]}..."


def _no_bool(value):
    if isinstance(value, bool):  # YAML's yes, no, on, off, true and false
        raise ValueError("expected a number, not yes or no")
    return value


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"expected {NAME}")
    return text


def _one_line(text: str) -> str:
    if any(category(letter) in _NO_TEXT for letter in text):
        raise ValueError("expected one line of text")
    return text


def _symbol(text: str) -> str:
    if text not in SYMBOLS:
        raise ValueError("expected the symbol of an element, such as Ta")
    return text


def _system(text: str) -> str:
    parts = text.split("-")
    if not set(parts) <= set(SYMBOLS) or len(set(parts)) < len(parts):
        raise ValueError("expected distinct elements joined by '-', such as Ta-W-B")
    return text


def _formula(text: str) -> str:
    parse_composition(text)
    return text


def _distinct(values: tuple) -> tuple:
    if twice := [value for place, value in enumerate(values) if value in values[:place]]:
        raise ValueError(f"{shown(twice[0])} is named twice; expected distinct values")
    return values


def _distinct_systems(values: tuple[str, ...]) -> tuple[str, ...]:
    _distinct(tuple(frozenset(value.split("-")) for value in values))
    return values


Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Count = Annotated[Whole, Field(ge=1, le=10**9)]
Processes = Annotated[Whole, Field(ge=1, le=1024)]  # or threads
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Positive = Annotated[Number, Field(gt=0, le=1e9)]
Share = Annotated[Number, Field(ge=0, le=1)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]
Dropout = Annotated[Number, Field(ge=0, lt=1)]
Weight = Annotated[Number, Field(ge=0, le=100)]  # of guidance
Energy = Annotated[Number, Field(ge=-MAX_FORMATION_ENERGY, le=MAX_FORMATION_ENERGY)]  # of formation, eV/atom
Name = Annotated[str, AfterValidator(_name)]
Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
File = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_one_line)]
Symbol = Annotated[str, AfterValidator(_symbol)]
System = Annotated[str, AfterValidator(_system)]
Formula = Annotated[str, AfterValidator(_formula)]
Distinct, DistinctSystems = AfterValidator(_distinct), AfterValidator(_distinct_systems)
Symbols = Annotated[tuple[Symbol, ...], Field(min_length=1), Distinct]
Systems = Annotated[tuple[System, ...], DistinctSystems]
