"""Crystals of an extended XYZ file, every frame of it."""

import re

import numpy as np
from pymatgen.core import Structure

from crystalgen.crystals.geometry import cell_problem, period_problem
from crystalgen.crystals.parsed import Parsed
from crystalgen.crystals.tokens import element, number

_ENTRY = re.compile(r"""(?<![\w.-])([\w.-]+)\s*=\s*("(?:\\.|[^"\\])*"|'[^']*'|\{[^}]*\}|\[(?:[^\[\]]|\[[^\]]*\])*\]|\S+)""")
_SYMBOLS, _NUMBERS, _POSITIONS = ("species", "symbols", "element"), ("Z", "numbers", "atomic_numbers"), ("pos", "positions")
_DEFAULT = "species:S:1:pos:R:3"


def read_extxyz(text: str) -> list[Parsed]:
    """Return what each frame holds, named by its number, from 0, where there are several.

    After a line that should say a number of atoms and does not, nothing more is read.
    """
    frames = split_frames(text)
    return [_read_frame(frame, str(place) if len(frames) > 1 else "") for place, frame in enumerate(frames)]


def split_frames(text: str) -> list[str]:
    """Return the text of each frame."""
    lines, frames, start = text.split("\n"), [], 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        count = _count(lines[start])
        end = len(lines) if count is None else start + 2 + count
        while end < len(lines) and lines[end].startswith("VEC"):  # ASE reads a cell from such lines too
            end += 1
        frames.append("\n".join(lines[start:end] if count is not None else lines[start : start + 1]))
        start = end
    return frames


def _read_frame(text: str, name: str) -> Parsed:
    try:
        return _crystal(text.rstrip().split("\n"), name)
    except ValueError as error:
        return Parsed(name, None, str(error))


def _crystal(lines: list[str], name: str) -> Parsed:
    count = _count(lines[0])
    if count is None:
        raise ValueError(f"expected the number of atoms, got {lines[0].strip()[:40]!r}")
    comment = {key: value.strip("\"'{}[]") for key, value in _ENTRY.findall(lines[1] if len(lines) > 1 else "")}
    rows = [line.split() for line in lines[2 : 2 + count]]
    lattice = _lattice(comment, lines[2 + count :])
    if "pbc" in comment and (problem := period_problem(_truths(comment["pbc"]))):
        raise ValueError(problem)
    if re.search(r":\s*0?\.\d*[1-9]", comment.get("occupancy", "")):
        raise ValueError("partial occupancies; expected one element per site")
    if len(rows) < count or not count:
        raise ValueError(f"{count} atoms by its first line and {len(rows)} lines of them")
    species, positions, columns = _columns(comment.get("Properties", _DEFAULT))
    for place, row in enumerate(rows):
        if len(row) < columns or ("Properties" in comment and len(row) > columns):
            raise ValueError(f"atom {place + 1}: {len(row)} columns, expected {columns}")
    found = [element(row[species]) for row in rows] if species >= 0 else [(int(number(row[~species])), None) for row in rows]
    coords = np.array([[number(word) for word in row[positions : positions + 3]] for row in rows])
    if problem := cell_problem(lattice, coords):
        raise ValueError(problem)
    structure = Structure(lattice, [symbol for symbol, _ in found], coords, coords_are_cartesian=True)
    return Parsed(name, structure, None, tuple(dict.fromkeys(note for _, note in found if note)))


def _count(line: str) -> int | None:
    return int(line) if re.fullmatch(r"\s*\d{1,9}\s*", line) else None


def _lattice(comment: dict[str, str], after: list[str]) -> np.ndarray:
    given = next((value for key, value in comment.items() if key.lower() == "lattice"), None)
    if given is None and after and all(line.startswith("VEC") for line in after if line.strip()):
        given = " ".join(" ".join(line.split()[1:4]) for line in after)
    if given is None or not given.strip():
        raise ValueError('no cell: expected an entry Lattice="..." with three vectors in the second line')
    words = re.split(r"[\s,\[\]]+", given.strip("[] "))
    if len(words) != 9:
        raise ValueError(f"Lattice has {len(words)} numbers, expected 9")
    return np.array([number(word) for word in words]).reshape(3, 3)


def _truths(text: str) -> list[bool]:
    words = re.findall(r"true|false|[tf01]", text.lower())
    truths = [word in ("true", "t", "1") for word in words]
    if len(truths) not in (1, 3):
        raise ValueError(f"pbc={text[:20]!r}: expected T or F for each of three directions")
    return truths * 3 if len(truths) == 1 else truths


def _columns(properties: str) -> tuple[int, int, int]:
    """Columns of the symbol (of the atomic number: its bitwise complement) and of x, and how many there are."""
    parts = properties.split(":")
    if len(parts) % 3 or not all(width.isdigit() for width in parts[2::3]):
        raise ValueError(f"Properties={properties[:60]!r}: expected name:type:columns for each")
    starts, place = {}, 0
    for name, kind, width in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        starts[name] = place, kind, int(width)
        place += int(width)
    symbol = next((starts[name][0] for name in _SYMBOLS if name in starts), None)
    charge = next((~starts[name][0] for name in _NUMBERS if name in starts), None)
    position = next((starts[name][0] for name in _POSITIONS if name in starts and starts[name][2] == 3), None)
    if position is None or (symbol is None and charge is None):
        raise ValueError(f"Properties={properties[:60]!r}: expected species and pos:R:3 among them")
    return charge if symbol is None else symbol, position, place
