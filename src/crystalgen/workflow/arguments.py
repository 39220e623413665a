"""Kinds of values of the commands' options: what cannot be one is refused before anything is read or computed."""

import argparse
import math


def positive(text: str) -> int:
    """A whole number of one or more."""
    return _number(text, int, lambda value: value >= 1, "a whole number, 1 or more")


def whole(text: str) -> int:
    """A whole number of zero or more."""
    return _number(text, int, lambda value: value >= 0, "a whole number, 0 or more")


def above_zero(text: str) -> float:
    """A finite number above zero."""
    return _number(text, float, lambda value: math.isfinite(value) and value > 0, "a number above 0")


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN."""
    return _number(text, float, math.isfinite, "a number")


def _number(text: str, kind: type, fits, expected: str):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not fits(value):
        raise argparse.ArgumentTypeError(f"'{text}': expected {expected}")
    return value
