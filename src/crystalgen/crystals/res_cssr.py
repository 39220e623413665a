"""Formats that list a cell and all its atoms: SHELX .res as AIRSS writes it, and .cssr as Zeo++ does; others of the kind are refused."""

import re
from collections.abc import Sequence

from pymatgen.core import Lattice, Structure

from crystalgen.crystals.geometry import cell_problem
from crystalgen.crystals.parsed import Parsed
from crystalgen.crystals.tokens import element, number


def read_res(text: str) -> list[Parsed]:
    """Return the crystal of a .res file without symmetry (LATT -1, no SYMM); with symmetry, which is not read, it is refused."""
    cell, symbols, atoms, centring = None, [], [], 1  # SHELX takes LATT 1 where there is none
    try:
        for line in text.split("\n"):
            words = line.split("!")[0].split()
            key = words[0].upper() if words else ""
            if key == "END":
                break
            if key == "CELL":
                cell = [number(word) for word in words[2:8]]
            elif key == "LATT":
                centring = int(number(words[1]))
            elif key == "SYMM":
                raise ValueError("a SYMM line; expected every atom listed, since symmetry in a .res is not read")
            elif key == "SFAC":
                symbols = words[1:]
            elif symbols and key:
                atoms.append(_atom(words, symbols))
        if centring != -1:
            raise ValueError(f"LATT {centring}; expected LATT -1 and every atom listed, since symmetry in a .res is not read")
        return [_listed(cell, *zip(*atoms, strict=True))]
    except (ValueError, IndexError, TypeError) as error:
        return [Parsed("", None, f"{error}" if isinstance(error, ValueError) else "lacks CELL, SFAC or atoms after it")]


def read_cssr(text: str) -> list[Parsed]:
    """Return the crystal of a .cssr file of space group 1 and fractional coordinates; any other is refused."""
    lines = text.split("\n")
    try:
        group = re.search(r"SPGR\s*=\s*(\d+)", lines[1])
        if group and group[1] != "1":
            raise ValueError(f"space group {group[1]}; expected 1 and every atom listed, since symmetry in a .cssr is not read")
        count, cartesian = lines[2].split()[:2]
        if cartesian != "0":
            raise ValueError("Cartesian coordinates; expected fractional ones")
        rows = [line.split() for line in lines[4:] if line.strip()]
        if len(rows) != int(number(count)):
            raise ValueError(f"{count} atoms by its third line and {len(rows)} lines of them")
        atoms = [(row[1], [number(word) for word in row[2:5]]) for row in rows]
        cell = [number(word) for line in lines[:2] for word in line.split()[:3]]
        return [_listed(cell, *zip(*atoms, strict=True))]
    except (ValueError, IndexError, TypeError) as error:
        return [Parsed("", None, f"{error}" if isinstance(error, ValueError) else "expected cell, count, title and atoms")]


def _atom(words: list[str], symbols: list[str]) -> tuple[str, list[float]]:
    if len(words) < 5 or not words[1].isdigit() or not 1 <= int(words[1]) <= len(symbols):
        raise ValueError(f"{' '.join(words)[:40]!r}: expected an atom (label, number in SFAC, x, y, z)")
    occupancy = number(words[5]) if len(words) > 5 else 1.0
    if occupancy not in (1.0, 11.0):  # SHELX adds 10 to what is not refined
        raise ValueError(f"partial occupancies ({words[0]}: {occupancy:g}); expected one element per site")
    return symbols[int(words[1]) - 1], [number(word) for word in words[2:5]]


def _listed(cell: Sequence[float], labels: Sequence[str], coords: Sequence[Sequence[float]]) -> Parsed:
    if len(cell) != 6 or min(cell) <= 0:
        raise ValueError(f"cell {cell}: expected three lengths and three angles")
    lattice = Lattice.from_parameters(*cell)
    found = [element(label) for label in labels]
    if problem := cell_problem(lattice.matrix, lattice.matrix):
        raise ValueError(problem)
    notes = tuple(dict.fromkeys(note for _, note in found if note))
    return Parsed("", Structure(lattice, [symbol for symbol, _ in found], coords), None, notes)
