"""The crystal of a POSCAR, after VASP's own rules; one whose elements are named nowhere is none."""

import re

import numpy as np
from pymatgen.core import Structure

from crystalgen.crystals.geometry import cell_problem
from crystalgen.crystals.parsed import Parsed
from crystalgen.crystals.tokens import element, number
from crystalgen.utils.elements import SYMBOLS

_FLAGS = {"T", "F"}


def read_poscar(text: str) -> list[Parsed]:
    """Return the one crystal of a POSCAR or CONTCAR, or the reason why it is none.

    Elements are taken from the line of symbols, else (as VASP 4 wrote it) from a symbol after each coordinate, else from a comment
    line that is a list of as many elements as there are counts and nothing else, which is noted. A negative scale is the volume of the
    cell, and Cartesian coordinates are scaled as the lattice vectors are. Velocities are left out.
    """
    try:
        return [_crystal(text.rstrip().split("\n"))]
    except ValueError as error:
        return [Parsed("", None, str(error))]


def _crystal(lines: list[str]) -> Parsed:
    if len(lines) < 8:
        raise ValueError(f"{len(lines)} lines; expected a comment, a scale, three vectors, symbols, counts and coordinates")
    scale = _leading_numbers(lines, 1)
    if len(scale) == 3:
        raise ValueError("line 2: three scale factors, one an axis, which programs read in different ways; expected one")
    if len(scale) != 1 or scale[0] == 0:
        raise ValueError(f"line 2: expected one scale factor, got {lines[1].strip()[:40]!r}")
    vectors = np.array([_triple(lines, place) for place in (2, 3, 4)])
    volume = abs(np.linalg.det(vectors))
    if not volume > 0:
        raise ValueError("its lattice vectors lie in a plane")
    factor = scale[0] if scale[0] > 0 else (-scale[0] / volume) ** (1 / 3)
    labels, counts, place = _species(lines)
    selective = _first(lines, place) in "sS" and bool(_first(lines, place))
    place += selective
    mode = _first(lines, place).lower()
    if not mode or mode not in "dfck":
        raise ValueError(f"line {place + 1}: expected Direct or Cartesian, got {_line(lines, place).strip()[:40]!r}")
    rows = lines[place + 1 : place + 1 + sum(counts)]
    if len(rows) < sum(counts) or not sum(counts):
        raise ValueError(f"{sum(counts)} atoms by the counts and {len(rows)} lines of coordinates")
    coords = np.array([_triple(lines, place + 1 + row) for row in range(len(rows))])
    if problem := cell_problem(vectors * factor, coords):
        raise ValueError(problem)
    if _is_row(_line(lines, place + 1 + len(rows))):
        raise ValueError(f"{len(rows)} atoms by the counts, and further coordinates in line {place + 2 + len(rows)}")
    trailing = [_label(row.split(), 6 if selective else 3) for row in rows]
    symbols, notes = _symbols(lines[0], labels, counts, trailing)
    cartesian = mode in "ck"
    structure = Structure(vectors * factor, symbols, coords * (factor if cartesian else 1), coords_are_cartesian=cartesian)
    return Parsed("", structure, None, notes)


def _species(lines: list[str]) -> tuple[list[str], list[int], int]:
    """Labels (none in VASP 4's format), counts, and the line after them; VASP breaks both over several lines where there are many."""
    place, labels, counts = 5, [], []
    while (words := _words(lines, place)) and not words[0].isdigit():
        labels += words
        place += 1
    while (words := _words(lines, place)) and words[0].isdigit() and (not counts or len(counts) < len(labels)):
        if not all(word.isdigit() and len(word) < 9 for word in words):
            raise ValueError(f"line {place + 1}: expected the number of atoms of each element, got {lines[place].strip()[:40]!r}")
        counts += map(int, words)
        place += 1
    if not counts or (labels and len(counts) != len(labels)):
        raise ValueError(f"{len(labels)} symbols and {len(counts)} counts of atoms; expected as many")
    return labels, counts, place


def _symbols(comment: str, labels: list[str], counts: list[int], trailing: list[str | None]) -> tuple[list[str], tuple[str, ...]]:
    """The symbol of each atom, and notes."""
    notes = []
    if labels:
        found = [element(label) for label in labels]
        symbols = [symbol for (symbol, _), count in zip(found, counts, strict=True) for _ in range(count)]
        for row, (symbol, label) in enumerate(zip(symbols, trailing, strict=True)):
            if label not in (None, symbol):
                raise ValueError(f"atom {row + 1}: {label} beside its coordinates, {symbol} by the line of symbols")
        notes = [note for _, note in found if note]
    elif all(trailing):
        symbols = trailing
    elif words := _elements(comment, counts):
        symbols = [word for word, count in zip(words, counts, strict=True) for _ in range(count)]
        notes = ["elements from the comment line"]
    else:
        raise ValueError("its elements are named nowhere (a POSCAR without symbols); expected a line of symbols above the counts")
    return symbols, tuple(dict.fromkeys(notes))


def _elements(comment: str, counts: list[int]) -> list[str] | None:
    """The elements of a comment such as `Na Cl`, or `Na4 Cl4` with these counts; None of any other."""
    found = [re.fullmatch(r"([A-Z][a-z]?)(\d*)", word) for word in comment.split()]
    if len(found) != len(counts) or not all(found) or not {part[1] for part in found} <= set(SYMBOLS):
        return None
    return [part[1] for part in found] if all(part[2] in ("", str(n)) for part, n in zip(found, counts, strict=True)) else None


def _label(words: list[str], place: int) -> str | None:
    """The element beside an atom's coordinates, if there is one: flags, which may stand there too, are none."""
    flags = place == 3 and len(words) > 5 and set(words[3:6]) <= _FLAGS
    if len(words) <= place or flags or not words[place][0].isupper():
        return None
    try:
        symbol, note = element(words[place])
    except ValueError:
        return None
    return None if note else symbol


def _triple(lines: list[str], place: int) -> list[float]:
    numbers = _leading_numbers(lines, place)[:3]
    if len(numbers) < 3:
        raise ValueError(f"line {place + 1}: expected three numbers, got {_line(lines, place).strip()[:40]!r}")
    return numbers


def _leading_numbers(lines: list[str], place: int) -> list[float]:
    """The numbers that a line begins with; Fortran leaves no space before a minus where a number fills its columns."""
    found = []
    for word in re.sub(r"(?<=[\d.])-", " -", _line(lines, place)).split():
        try:
            found.append(number(word))
        except ValueError:
            break
    return found


def _is_row(line: str) -> bool:
    try:
        return len([number(word) for word in line.split()[:3]]) == 3
    except ValueError:
        return False


def _words(lines: list[str], place: int) -> list[str]:
    return re.split("[!#]", _line(lines, place))[0].split()


def _first(lines: list[str], place: int) -> str:
    return _line(lines, place).strip()[:1]


def _line(lines: list[str], place: int) -> str:
    return lines[place] if place < len(lines) else ""
