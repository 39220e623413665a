"""Symmetry operations of a CIF: those it lists, and those of the space group that it names.

Names are looked up in spglib's database of the 530 settings of the International Tables (Hall, 1981), and in the
table of unconventional settings (centred triclinic cells, doubled axes) that pymatgen takes from the COD.
"""

import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pymatgen.symmetry
import spglib

GENERATORS = 192  # as many operations as a conventional cell has; lists of supercells are longer
HALL_KEYS = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
NAME_KEYS = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_symmetry_space_group_name_h_m",
    "_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
)
NUMBER_KEYS = ("_space_group_it_number", "_symmetry_int_tables_number")
_CODES = {"s": "1", "z": "2", "hexagonalaxes": "h", "rhombohedralaxes": "r"}  # ICSD writes S and Z for origins 1 and 2
_SUFFIX = re.compile(
    r"(?P<body>.+?)(?:(?:\s*[:{(\[]|\s+(?=origin))\s*(?:origin\s*(?:choice)?\s*)?(?P<code>[\w-]+(?:\s*axes)?)\s*[)}\]]?|\s*(?P<letter>[HR]?[SZ]|[HR]))"
)
_TERM = re.compile(r"([+-]?)(?:(\d+(?:\.\d*)?|\.\d+)(?:/(\d+))?)?\*?([xyz]?)")


class Unreadable(ValueError):
    """What a data block says cannot be read as one crystal; the message is the reason in a table's row."""


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations x' = W x + w of one setting: `rotations` W (n, 3, 3) integers, `translations` w (n, 3)."""

    name: str
    rotations: np.ndarray
    translations: np.ndarray
    number: int = 0
    choice: str = ""

    def __len__(self) -> int:
        return len(self.rotations)

    def strain(self, metric: np.ndarray) -> float:
        """Return how far the operations change the cell's metric tensor (3, 3), as the largest relative change."""
        scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
        rotations = np.unique(self.rotations, axis=0)
        return float(np.abs((np.swapaxes(rotations, 1, 2) @ metric @ rotations - metric) / scale).max())


@lru_cache(maxsize=512)
def operations_of(lines: tuple[str, ...], centrings: tuple[str, ...] = ()) -> Operations:
    """Return the distinct operations that lines such as `-y, x-y, z+1/3` describe, each with each of the centrings.

    Raises:
        Unreadable: naming the line, or saying that the operations form no group.
    """
    rotations, translations = zip(*map(_operation_of, lines), strict=True)
    rotations, translations = np.array(rotations), np.array(translations)
    if centrings:
        shifts = np.array([_operation_of(line)[1] for line in centrings])
        rotations = np.tile(rotations, (len(shifts), 1, 1))
        translations = (shifts[:, None] + translations).reshape(-1, 3)
    keys = _keys(rotations, translations)
    first = np.sort(np.unique(keys, return_index=True)[1])
    rotations, translations, keys = rotations[first], translations[first], keys[first]
    products = np.einsum("aij,bjk->abik", rotations, rotations[:GENERATORS])
    shifts = np.einsum("aij,bj->abi", rotations, translations[:GENERATORS]) + translations[:, None]
    if not np.isin(_keys(products.reshape(-1, 3, 3), shifts.reshape(-1, 3)), keys).all():
        raise Unreadable("the listed operations form no group (an operation is missing or misprinted)")
    return Operations("the listed operations", rotations, translations)


def _operation_of(line: str) -> tuple[np.ndarray, np.ndarray]:
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    parts = re.sub(r"\s", "", line.lower()).split(",")
    if len(parts) != 3:
        raise Unreadable(f"symmetry operation '{line}' has {len(parts)} parts; expected three")
    for row, part in enumerate(parts):
        position = 0
        while position < len(part):
            term = _TERM.match(part, position)
            sign, number, denominator, axis = term.groups()
            if not (number or axis) or (position and not sign) or denominator and not int(denominator):
                raise Unreadable(f"symmetry operation '{line}' cannot be read")
            value = (-1 if sign == "-" else 1) * float(number or 1) / float(denominator or 1)
            if axis:
                rotation[row, "xyz".index(axis)] += value
            else:
                translation[row] += value
            position = term.end()
    whole = np.round(rotation).astype(int)
    if np.abs(rotation - whole).max() > 1e-6 or abs(round(np.linalg.det(whole))) != 1:
        raise Unreadable(f"symmetry operation '{line}' is no isometry of a lattice")
    fraction = np.round(translation * 24) / 24  # 0.333 and 0.6667 stand for thirds
    return whole, np.where(np.abs(translation - fraction) < 2e-3, fraction, translation)


def _keys(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Return one integer per operation, equal where the operations are equal modulo lattice translations."""
    steps = np.round(translations * 240).astype(np.int64) % 240
    entries = np.clip(rotations, -3, 3).reshape(-1, 9) + 3
    return (entries @ 7 ** np.arange(9)) * 240**3 + steps @ 240 ** np.arange(3)


def named_operations(block: dict) -> tuple[list[Operations], str]:
    """Return the settings that a block's Hall symbol, Hermann-Mauguin name or number may mean, and what it is called.

    Names that two settings share (origin choices, axes) give several, the conventional one first.

    Raises:
        Unreadable: where the block names a group that no table holds.
    """
    hall, name, number = (_first(block, keys) for keys in (HALL_KEYS, NAME_KEYS, NUMBER_KEYS))
    code = block.get("_space_group_it_coordinate_system_code", "")
    table = _table()
    found = list(table.get("hall " + _hall(hall), ())) if hall else []
    unknown = f"Hall symbol '{hall}'" if hall and not found else None
    if name:
        body, suffix = _split(name)
        named = _chosen(table.get(_plain(body)) or table.get(_plain(name)) or (), suffix or code)
        unknown = unknown if named else f"space group '{name}'"
        found += [setting for setting in named if not (hall and set(found) & set(named)) and setting not in found]
    if number and re.fullmatch(r"\d{1,3}(\.0*)?", number) and (not found or found[0][0] != int(float(number))):
        found += _chosen(table.get(f"number {int(float(number))}", ()), code if not name else "")
    if not found and unknown:
        raise Unreadable(f"{unknown} is in no table of settings")
    return [_load(setting) for setting in found], name or (f"Hall symbol {hall}" if hall else f"space group {number}")


def other_settings(named: list[Operations]) -> list[Operations]:
    """Return the standard settings (origins, axes) of the groups of these that are not among them."""
    tried = {(operations.number, operations.choice) for operations in named}
    settings = [s for number in sorted({n for n, _ in tried}) for s in _table().get(f"number {number}", ())]
    return [_load(setting) for setting in settings if (setting[0], setting[2]) not in tried]


def _first(block: dict, keys: tuple[str, ...]) -> str:
    values = (block.get(key, "") for key in keys)
    return next((v.strip() for v in values if isinstance(v, str) and v.strip(" '\"") not in ("", "?", ".")), "")


def _split(name: str) -> tuple[str, str]:
    """Return a name without what says its setting, and that: ('F d -3 m', '2') of 'F d -3 m Z'."""
    name = re.sub(r"\((\d)\)", r"\1", name.strip())  # P2(1)/c is P 21/c
    name = re.sub(r"\s*\(?\s*(?:no\.?\s*|#)\d+\s*\)?$", "", name, flags=re.IGNORECASE)
    match = _SUFFIX.fullmatch(name)
    if not match:
        return name, ""
    code = re.sub(r"\s", "", match["code"] or match["letter"]).lower()
    code = code[0] if len(code) == 2 and code[0] in "hr" and code[1] in "sz" else code
    return match["body"], _CODES.get(code, code)


def _chosen(settings: tuple, code: str) -> list:
    code = _CODES.get(code.lower(), code.lower())
    return (
        [s for s in settings if code and s[2].lower() in (code, code.replace("abc", ""))]
        or [s for s in settings if code in ("1", "2") and s[2].startswith(code)]
        or list(settings)
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_]", "", name).lower()


def _hall(symbol: str) -> str:
    return " ".join(symbol.replace("''", '"').replace("=", '"').replace("_", " ").lower().split())


@cache
def _table() -> dict[str, list[tuple]]:
    """Return settings (number, spglib's Hall number or the operations' lines, choice) by names, Hall symbols, numbers."""
    extra = json.loads((Path(pymatgen.symmetry.__path__[0]) / "symm_ops.json").read_text())
    conventional = {}
    for entry in extra:
        conventional.setdefault(_hall(entry["hall"]), []).append(entry)
    table: dict[str, list[tuple]] = {}
    for hall_number in range(1, 531):
        kind = spglib.get_spacegroup_type(hall_number)
        setting = (kind.number, hall_number, kind.choice)
        entries = conventional.pop(_hall(kind.hall_symbol), [])
        names = {kind.international_full, *(n for e in entries for n in (e["hermann_mauguin"], e["short_h_m"]))}
        names |= {kind.international_short} if kind.choice[:1] not in ("a", "b", "c", "-") else set()
        glides = kind.number not in (67, 68) or kind.choice[:1] == "1"  # there the letter tells settings apart
        keys = {"hall " + _hall(kind.hall_symbol), f"number {kind.number}", *_spellings(map(_plain, names), glides)}
        for key in keys:
            table.setdefault(key, []).append(setting)
    for entry in (e for entries in conventional.values() for e in entries):
        setting = (entry["number"], tuple(entry["symops"]), "")
        for key in {"hall " + _hall(entry["hall"]), _plain(entry["universal_h_m"])}:
            table.setdefault(key, []).append(setting)
    for number in range(1, 231):  # a number alone means the standard setting, of either origin or axes
        first, *others = table[f"number {number}"]
        table[f"number {number}"] = [first, *(s for s in others if s[2] in ("2", "R"))]
    return table


def _spellings(names, glides: bool) -> set[str]:
    """Return plain names with those of the older tables: Fm3m of Fm-3m; with `glides`, Cmca and Cmcb of Cmce."""
    new = {spelling for name in names for spelling in (_glides(name) if glides else {name})}
    return new | {name.replace("-3", "3") for name in new if name.find("-3") > 1}


def _glides(name: str) -> set[str]:
    if "e" not in name[1:]:
        return {name}
    return {name, *("".join(letters) for letters in product(*("abc" if c == "e" else c for c in name)))}


@lru_cache(maxsize=1024)
def _load(setting: tuple) -> Operations:
    number, source, choice = setting
    if isinstance(source, tuple):
        listed = operations_of(source)
        return Operations(f"number {number} in an unconventional setting", listed.rotations, listed.translations, number)
    kind, database = spglib.get_spacegroup_type(source), spglib.get_symmetry_from_database(source)
    name = kind.international.split("=")[-1].strip() + (
        f" :{choice}" if choice[:1] in ("1", "2", "H", "R") or (choice and number == 67) else ""
    )
    return Operations(name, np.array(database["rotations"], dtype=int), np.array(database["translations"]), number, choice)
