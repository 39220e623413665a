"""Crystals of a CIF, every data block of it: read by pymatgen's tokeniser, held against what the file says of itself.

pymatgen's own reader silences what it assumes (an occupancy `.` as 0, `OH1` as nothing, `F d -3 m :2` as the other
origin) and joins what it finds on one site. Here each assumption is a note and each contradiction a reason.
"""

import re
import unicodedata
import warnings

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifBlock

from crystalgen.crystals.cif_checks import Candidate, build, compare
from crystalgen.crystals.cif_formulas import read_formulas
from crystalgen.crystals.cif_operations import Operations, Unreadable, named_operations, operations_of, other_settings
from crystalgen.crystals.cif_sites import ABSENT, NUMBER, Sites, column, read_cell, read_sites
from crystalgen.crystals.parsed import Parsed

LISTED_KEYS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz", "_space_group_symop_magn_operation_xyz")
CENTRING_KEY = "_space_group_symop_magn_centering_xyz"
_DASHES = str.maketrans("\u2010\u2011\u2012\u2013\u2014\u2212", "------")
_SITES = re.compile(r"(?<!\S)_atom_site[_.](?!aniso)", re.IGNORECASE)
_SCALAR = re.compile(r"^\s*(_cell[_.](?:length|angle)_\w+|_chemical_formula[_.]sum)\b([^\n]*)", re.IGNORECASE | re.MULTILINE)
_SYMMETRY = re.compile(r"_(?:symm|space_?group)")
_BLOCK = re.compile(r"^[^\S\n]*data_", re.MULTILINE | re.IGNORECASE)


def read_cif(text: str) -> list[Parsed]:
    """Return what each data block holds; blocks without atom sites are left out unless there is no other."""
    blocks = _BLOCK.split(_ascii(text))[1:]
    if not blocks:
        return [Parsed("", None, "no data block; expected a line that begins with 'data_'")]
    holding = [block for block in blocks if _SITES.search(block)] or blocks[:1]
    parsed = []
    for block in holding:
        name = block.split("\n", 1)[0].strip() if len(holding) > 1 else ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # noble gases have no electronegativity to sort by
                structure, notes = _crystal(block)
            parsed.append(Parsed(name, structure, None, tuple(notes)))
        except Unreadable as error:
            parsed.append(Parsed(name, None, " ".join(str(error).split())))
    return parsed


def _ascii(text: str) -> str:
    """Return a text in which what looks like a space, minus or digit is one; the tokeniser drops all that is not ASCII."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text.lstrip("\ufeff")).translate(_DASHES)
    return text.encode("ascii", "replace").decode("ascii")  # so 0·25 is no number, rather than 025


def _crystal(text: str) -> tuple[Structure, list[str]]:
    """Return the crystal of one block and notes on what was assumed or repaired."""
    block, stray = _values(text)
    if not any(key.startswith("_atom_site_") for key in block):
        raise Unreadable("no atom sites; expected _atom_site_label and _atom_site_fract_x, _y and _z")
    if any(key.startswith(("_cell_modulation", "_cell_wave_vector", "_space_group_ssg")) for key in block):
        raise Unreadable("a modulated structure; expected a crystal of three dimensions")
    (*lengths, alpha, beta, gamma), notes = read_cell(block)
    lattice = Lattice.from_parameters(*lengths, alpha, beta, gamma)
    _compare_volume(block, lattice.volume)
    _, formulas = read_formulas(block)
    sites = read_sites(block, {element for formula in formulas for element in formula})
    best, more = _choose(block, sites, lattice)
    if sites.blanks and not best.support:
        raise Unreadable(f"unknown coordinates of {sites.blanks}")
    if stray and not best.support:
        raise Unreadable(f"'{stray[0][:40]}' belongs to no loop and no name; a row or a quote is broken")
    more += ["coordinates '.' read as 0"] if sites.blanks else []
    structure = Structure(lattice, [sites.elements[i] for i in best.site], best.coords)
    return structure.get_sorted_structure(), [*notes, *sites.notes, *best.notes, *more]


def _values(text: str) -> tuple[dict, list[str]]:
    """Return a block's values by lower-case data names, dots read as underscores, and what belongs to no name."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            parsed = CifBlock.from_str(f"data_{text}")
    except (ValueError, ZeroDivisionError, IndexError) as error:
        row = "a loop_ has no full row" if isinstance(error, ZeroDivisionError) else "a loop_ has a row with values missing or to spare"
        raise Unreadable(row) from None
    stray = [str(w.message).rsplit(": ", 1)[-1] for w in caught if "Possible issue" in str(w.message)]
    block = {key.lower().replace(".", "_").rstrip("_"): value for key, value in parsed.data.items()}
    given: dict[str, set] = {}
    for key, value in _SCALAR.findall(text):
        given.setdefault(key.lower().replace(".", "_"), set()).add(value.strip().strip("'\""))
    for key, values in given.items():
        stated = values - set(ABSENT)
        if len(stated) > 1:
            raise Unreadable(f"{key} is given {len(stated)} times: {', '.join(sorted(stated))}")
        if len(values) > 1:  # the tokeniser keeps the last, be it empty
            block[key] = stated.pop()
    if sum(bool(re.match("_atom_site[_.]fract_x", key, re.IGNORECASE)) for loop in parsed.loops for key in loop) > 1:
        raise Unreadable("several loops of atom sites in one data block; expected one")
    return block, stray


def _compare_volume(block: dict, volume: float) -> None:
    match = NUMBER.fullmatch(str(block.get("_cell_volume", "")).strip())
    if match and abs(volume / (float(match[1]) or 1e-9) - 1) > 0.02:
        raise Unreadable(f"lengths and angles make a cell of {volume:.2f} cubic angstrom where _cell_volume says {match[1]}")


def _choose(block: dict, sites: Sites, lattice: Lattice) -> tuple[Candidate, list[str]]:
    """Return the crystal under the operations that agree with all that the file says, and notes on the choice.

    Raises:
        Unreadable: with the reason against the first choice, or naming the settings that nothing decides between.
    """

    def tried(operations: Operations) -> Candidate:
        candidate = build(sites, operations, lattice.matrix)
        compare(candidate, sites, block, lattice.volume)
        return candidate

    listed, unreadable = None, None
    try:
        listed = _listed(block)
    except Unreadable as error:
        unreadable = error
    try:
        named, name = named_operations(block)
    except Unreadable as error:
        if listed is None:
            raise unreadable or Unreadable(f"{error}, and no operations are listed") from None
        if len(listed) == 1 and not tried(listed).support:
            raise Unreadable(f"{error}, and the identity alone is listed") from None
        named, name = [], ""
    if listed is None and not named:
        if unreadable or any(key.startswith("_space_group_magn") for key in block):
            raise unreadable or Unreadable("a magnetic space group without its operations; expected them listed")
        only = tried(operations_of(("x,y,z",)))
        if only.against:
            raise Unreadable(f"{only.against[0]}; no symmetry is given")
        spoken = [k for k, v in block.items() if _SYMMETRY.match(k) and str(v).strip().lower() not in (*ABSENT, "triclinic")]
        if spoken and not only.support:
            raise Unreadable(f"no operations and no space group that can be read, though the file has {spoken[0]}")
        return only, ["no symmetry given: read as P 1"]
    first = [] if listed is None else [tried(listed)]
    if first and not first[0].against and len(listed) >= max(map(len, named), default=0):
        return first[0], []
    others = [tried(operations) for operations in named if not listed or len(operations) > len(listed)]
    if not first and all(c.against for c in others):
        further = [tried(operations) for operations in other_settings(named)]
        others += [c for c in further if c.support and not c.against]  # only where Z or the like says so
    return _decide(first, others, name, unreadable)


def _listed(block: dict) -> Operations | None:
    """Return the operations listed, of a magnetic group without time reversal and with its centrings."""
    key = next((key for key in LISTED_KEYS if set(column(block, key) or ()) - set(ABSENT)), None)
    if key is None:
        return None
    lines, centrings = column(block, key), []
    if key == LISTED_KEYS[-1]:
        lines, centrings = ([line.rsplit(",", 1)[0] for line in texts] for texts in (lines, column(block, CENTRING_KEY) or ()))
    if any(line.count(",") < 2 for line in lines):  # x, y, z without quotes comes in three pieces
        joined = re.findall(r"[^\s,][^,]*,[^,]*,\s*[^\s,]+", " ".join(lines))
        lines = joined if joined and 2 * len(joined) == sum(line.count(",") for line in lines) else lines
    return operations_of(tuple(lines), tuple(centrings))


def _decide(first: list[Candidate], others: list[Candidate], name: str, unreadable: Exception | None) -> tuple[Candidate, list[str]]:
    """Return the candidate that agrees with the file, with notes; see `_choose`."""
    agreeing = [c for c in others if not c.against]
    best = max((c.support for c in agreeing), default=-1)
    if first and not first[0].against and first[0].support >= best:
        doubtful = [c for c in others if not c.misfit and c.places != len(first[0].site)]
        if first[0].support > best and (first[0].support or not doubtful):
            return first[0], []
        if not agreeing:
            raise Unreadable(
                f"{len(first[0].operations)} of the {len(doubtful[0].operations)} operations of {name} are listed, "
                f"and under all of them {doubtful[0].against[0]}"
            )
        raise Unreadable(
            f"{len(first[0].operations)} of the {len(agreeing[0].operations)} operations of {name} are listed, and nothing "
            "says whether the sites are all of them; expected _cell_formula_units_Z or multiplicities that do"
        )
    if not agreeing:
        if unreadable and not first:
            raise unreadable
        candidates = first or [c for c in others if not c.misfit] or others
        raise Unreadable("; ".join(dict.fromkeys(c.against[0] for c in candidates)))
    agreeing = [c for c in agreeing if c.support == best]
    unlike = next((c for c in agreeing[1:] if _is_other(agreeing[0], c) and not _same_crystal(agreeing[0], c)), None)
    if unlike is not None:
        names = f"{agreeing[0].operations.name} ({len(agreeing[0].site)} atoms) or {unlike.operations.name} ({len(unlike.site)} atoms)"
        raise Unreadable(f"{name} may be {names}, and nothing in the file decides; expected its setting or its operations")
    notes = []
    if first or unreadable:
        why = unreadable or (first[0].against or ["more of what the file says agrees with them"])[0]
        notes = [f"the operations of {agreeing[0].operations.name} used: {why}"]
    elif len(others) > 1:
        notes = [f"{name} read as {agreeing[0].operations.name}"]
    return agreeing[0], notes


def _is_other(conventional: Candidate, other: Candidate) -> bool:
    """Return whether convention does not tell two settings of one name apart, as the unique axis b does."""
    a, b = conventional.operations, other.operations
    return a.number != b.number or not (a.number < 16 and a.choice[:1] == "b" != b.choice[:1])


def _same_crystal(one: Candidate, two: Candidate) -> bool:
    if not np.array_equal(np.bincount(one.site), np.bincount(two.site)):
        return False
    gaps = one.coords[:, None] - two.coords
    return bool(((np.abs(gaps - np.round(gaps)).max(axis=-1) < 1e-4) & (one.site[:, None] == two.site)).any(axis=1).all())
