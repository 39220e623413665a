"""The atom sites and the cell of a CIF's data block, as it gives them: elements, coordinates, occupancies."""

import re
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from pymatgen.core import Element

from crystalgen.crystals.cif_operations import Unreadable

NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d*\)?)?")
LARGEST = 1e6  # no length, coordinate or count of a crystal is as large
THINNEST = 0.5  # angstrom between a cell's faces
ABSENT = ("", "?", ".")
_CHARGED = re.compile(r"([A-Za-z]{1,2})\(?(?:[+-]?\d*\.?\d*|\d*\.?\d*[+-])\)?")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+\.?\d*)?)+(?:\d?[+-]|[+-]\d?)?")
_GROUP = re.compile(r"(?:[Ww]at|WAT|O[wW]|H2O|OH2|O-?[hH]|H[wW])")
_GROUPS = {"wat": ("O", 2), "ow": ("O", 2), "h2o": ("O", 2), "oh2": ("O", 2), "oh": ("O", 1), "hw": ("H", 0)}
_EMPTY = re.compile(r"va|vac|vc|x+|du|dum|q|lp", re.IGNORECASE)  # vacancies, dummies, peaks, lone pairs
_SYMBOLS = frozenset(Element.from_Z(z).symbol for z in range(1, 104))


@dataclass
class Sites:
    """The sites of a block, in order: names as the file gives them, elements, fractional coordinates (n, 3).

    multiplicities are 0 where not given; implied_hydrogens counts those of each site that a name such as `OH` or
    `Wat`, or the column of attached hydrogens, speaks of but no coordinates are given for. blanks names a site with a
    coordinate `.`, which the ICSD prints for 0.
    """

    names: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    coords: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    multiplicities: list[int] = field(default_factory=list)
    implied_hydrogens: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blanks: str = ""


def number(text: str, what: str) -> float:
    """Return a CIF number without its standard uncertainty: 0.25 of `0.25(3)`, a third of `1/3`."""
    match = NUMBER.fullmatch(text.strip())
    if match and abs(float(match[1])) < LARGEST:
        return float(match[1])
    if re.fullmatch(r"-?\d{1,3}/[1-9]\d?", text.strip()):
        return float(Fraction(text.strip()))
    raise Unreadable(f"{what} is '{text.strip()}'; expected a number")


def column(block: dict, key: str) -> list[str] | None:
    """Return a loop's column, also where one value stands alone, without a loop."""
    values = block.get(key)
    return [values] if isinstance(values, str) else values


def read_cell(block: dict) -> tuple[list[float], list[str]]:
    """Return a, b, c (angstrom) and alpha, beta, gamma (degrees), with notes on what was assumed."""
    keys = [f"_cell_length_{k}" for k in "abc"] + [f"_cell_angle_{k}" for k in ("alpha", "beta", "gamma")]
    missing = [key for key in keys if str(block.get(key, "")).strip() in ABSENT]
    if missing and not (set(missing) <= set(keys[3:]) and _right_angled(block)):
        raise Unreadable(f"no cell: {', '.join(missing)} not given")
    values = [90.0 if key in missing else number(_scalar(block, key), key) for key in keys]
    if min(values[:3]) <= 0 or not all(0 < angle < 180 for angle in values[3:]):
        raise Unreadable(f"no cell: lengths and angles are {', '.join(f'{v:g}' for v in values)}")
    cosines = np.cos(np.radians(values[3:]))
    shape = 1 - (cosines**2).sum() + 2 * cosines.prod()  # the squared volume of the cell of unit edges
    if shape < 1e-4:
        raise Unreadable(f"no cell: angles {', '.join(f'{v:g}' for v in values[3:])} close no cell of any volume")
    if (
        values[0]
        * values[1]
        * values[2]
        * (shape**0.5)
        / max(values[i] * values[j] * np.sin(np.radians(values[3 + k])) for i, j, k in ((1, 2, 0), (0, 2, 1), (0, 1, 2)))
        < THINNEST
    ):
        raise Unreadable(f"no cell: its faces are less than {THINNEST} angstrom apart")
    return values, [f"angles read as 90 degrees: {', '.join(missing)} not given"] if missing else []


def _scalar(block: dict, key: str) -> str:
    value = block[key]
    if isinstance(value, list):
        if len(value) != 1:
            raise Unreadable(f"{key} has {len(value)} values; expected one")
        return value[0]
    return value


def _right_angled(block: dict) -> bool:
    system = str(block.get("_symmetry_cell_setting", block.get("_space_group_crystal_system", ""))).lower()
    return system in ("cubic", "tetragonal", "orthorhombic")


def read_sites(block: dict, formula: set[str]) -> Sites:
    """Return the sites of a block with `_atom_site_` columns; `formula` names the elements of its formula line.

    Raises:
        Unreadable: naming the site and what about it is no part of an ordered crystal.
    """
    axes = [column(block, f"_atom_site_fract_{axis}") for axis in "xyz"]
    if any(axis is None for axis in axes):
        kind = "Cartesian coordinates alone" if "_atom_site_cartn_x" in block else "no coordinates"
        raise Unreadable(f"atom sites with {kind}; expected _atom_site_fract_x, _y and _z")
    labels, symbols = column(block, "_atom_site_label"), column(block, "_atom_site_type_symbol")
    if not labels and not symbols:
        raise Unreadable("atom sites without _atom_site_label or _atom_site_type_symbol")
    count = len(axes[0])
    columns = {
        key: column(block, f"_atom_site_{key}") or [""] * count
        for key in ("occupancy", "calc_flag", "symmetry_multiplicity", "attached_hydrogens")
    }
    if any(len(c) != count for c in (*axes, *columns.values(), labels or axes[0], symbols or axes[0])):
        raise Unreadable("the columns of the atom sites differ in length")
    mixed_case = any(re.match(r"[A-Z][a-z]", text) for text in labels or ())
    sites, coords, unknown = Sites(), [], False
    for row in range(count):
        symbol, label = symbols[row].strip() if symbols else "", labels[row].strip() if labels else ""
        name = label or f"{symbol} in row {row + 1}"
        occupancy = columns["occupancy"][row]
        share = 1.0 if occupancy in ABSENT else number(occupancy, f"the occupancy of {name}")
        unknown |= occupancy == "?"
        if columns["calc_flag"][row].lower() in ("dum", "dummy") or share == 0:
            sites.notes.append(f"{name} left out ({'occupancy 0' if share == 0 else 'a dummy site'})")
            continue
        element, implied, note = _element(symbol, label, name, formula, mixed_case)
        if share > 1 + 1e-3 or share < 0:
            raise Unreadable(f"occupancy {'above one' if share > 1 else 'below zero'} ({share:g} of {element} at {name})")
        if share < 1 - 1e-3:
            raise Unreadable(f"partial occupancies ({share:g} of {element} at {name}); expected one element per site")
        position = [axis[row].strip() for axis in axes]
        if any(text in ("?", "") for text in position):
            raise Unreadable(f"unknown coordinates of {name} ({' '.join(position)})")
        if "." in position:
            sites.blanks = sites.blanks or f"{name} ({' '.join(position)})"
        coords.append([0.0 if text == "." else number(text, f"a coordinate of {name}") for text in position])
        attached = columns["attached_hydrogens"][row]
        implied = max(implied, 0.0 if attached in ABSENT else number(attached, f"the attached hydrogens of {name}"))
        given = columns["symmetry_multiplicity"][row]
        sites.names.append(name)
        sites.elements.append(element)
        sites.multiplicities.append(0 if given in ABSENT else round(number(given, f"the multiplicity of {name}")))
        sites.implied_hydrogens.append(implied)
        sites.notes += [note] if note else []
    if not coords:
        raise Unreadable("no atom sites with an occupancy above zero")
    sites.coords = np.array(coords)
    sites.notes += ["occupancy '?' read as 1"] if unknown else []
    sites.notes = list(dict.fromkeys(sites.notes))
    return sites


def _element(symbol: str, label: str, name: str, formula: set[str], mixed_case: bool) -> tuple[str, float, str | None]:
    """Return the element of a site, the hydrogens that its name implies, and a note on a name that is no element's."""
    from_label = symbol in ABSENT
    text = label if from_label else symbol
    where = f"'{text}'" if text == name else f"'{text}' of {name}"
    isotope = re.fullmatch(r"\d?([DT])(?:\(?\d?[+-]?\d?\)?|\d\w*)", text)
    if isotope and (isotope[1] == "D" or "T" in formula or symbol in ("T", "T+", "T1+", "3T")):  # T1 is a tetrahedral site
        return "H", 0.0, f"{isotope[1]} read as H"
    bare = re.fullmatch(r"\d{1,3}([A-Z][a-z]?)|([A-Z][a-z]?)_?(?:va|val|iv)", text)  # 11B; Siva, a scattering factor
    text = (bare[1] or bare[2]) if bare and (bare[1] or bare[2]) in _SYMBOLS else text
    letters = re.match(r"[A-Za-z]*", text)[0]
    if letters and _CHARGED.fullmatch(text) and letters.title() in _SYMBOLS:
        cased = mixed_case and not label.startswith(letters.title())
        return _read(_cased(letters, formula, cased, where), letters, where)
    if group := _GROUP.match(text):
        key = group[0].lower().replace("-", "")
        hydrogens = 1 if from_label and key == "oh2" else _GROUPS[key][1]  # a label's digits count sites
        return _GROUPS[key][0], float(hydrogens), f"{where} read as {_GROUPS[key][0]}"
    elements = _several(text, from_label)
    heavy = [e for e in elements if e != "H"]
    if len(elements) == 2 and len(heavy) == 1 and not from_label and (group := re.search(r"H(\d*)", text)):
        return heavy[0], float(group[1] or 1), f"{where} read as {heavy[0]}"
    if len(elements) > 1:
        raise Unreadable(f"{where} names several elements ({', '.join(elements)}); expected one per site")
    numbered = letters in _SYMBOLS and text[len(letters) : len(letters) + 1].isdigit()  # O1A, a label among the symbols
    if not letters or _EMPTY.fullmatch(letters) or not (from_label or numbered):
        raise Unreadable(f"unknown element {where}")
    return _read(_cased(letters, formula, mixed_case, where), letters, where)


def _read(element: str | None, letters: str, where: str) -> tuple[str, float, str | None]:
    if element is None:
        raise Unreadable(f"unknown element {where}")
    return element, 0.0, None if letters.title() == element else f"{where} read as {element}"


def _several(text: str, from_label: bool) -> list[str]:
    """Return the elements that a name puts together: Fe and Co of `FeCo`, `Fe/Co1`, `0.5Fe + 0.5Co`, `Fe0.5Co0.5`.

    A label may name a site after its element (SiT, NaX, OB1), so of a label only two capitalised pairs count.
    """
    pieces = [m[1] for piece in re.split(r"[/,;&|]|\+\s*(?=[\d.]*[A-Z])", text) if (m := re.match(r"\s*[\d.]*([A-Z][a-z]?)", piece))]
    if len(pieces) < 2 and from_label:
        pair = re.match(r"([A-Z][a-z]?)[\d.]*([A-Z][a-z])", text)
        pieces = [pair[1], pair[2]] if pair and pair[1] not in ("O", "H") and not re.search(r"[A-Za-z]\d+[A-Z]", text) else []
    elif len(pieces) < 2:
        pieces = re.findall(r"[A-Z][a-z]?", text) if _FORMULA.fullmatch(text) else []
    return list(dict.fromkeys(piece for piece in pieces if piece in _SYMBOLS))


def _cased(letters: str, formula: set[str], mixed_case: bool, where: str) -> str | None:
    """Return the element that letters begin with: of `NA`, `CA`, `HO` the one that the formula or the other labels say."""
    two, one = letters[:2].title(), letters[:1].upper()
    if two not in _SYMBOLS or one not in _SYMBOLS or letters[:2] == two and not (one in formula and two not in formula):
        return next((symbol for symbol in (two, one) if symbol in _SYMBOLS), None)
    if (two in formula) != (one in formula):
        return two if two in formula else one
    if mixed_case and letters[1:2].isupper() and not formula:
        raise Unreadable(f"{where} may be {two} or {one}; no type symbol or formula line decides")
    return one if mixed_case and letters[1:2].isupper() else two
