"""What AFLUX answers, as crystals: both shapes of a page, and values as text or typed (SPEC §7).

A row that is no crystal is set aside with a reason. The reasons are few and fixed, so that they can be counted.
"""

import json
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Element, Lattice

from crystalgen.crystals import from_columns
from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER, MIN_VOLUME
from crystalgen.datasets.download import BadAnswer

SOURCE = "aflow"
DUPLICATE = "duplicate auid"
# Must be present, which `(*)` asks for. The first one orders the pages: unique, so that rows do not move between pages.
REQUIRED = ("auid", "species", "composition", "natoms", "geometry", "positions_fractional", "spacegroup_relax", "enthalpy_formation_atom")
OPTIONAL = ("dft_type",)

_ATOMIC_NUMBERS = {Element.from_Z(z).symbol: z for z in range(1, MAX_ATOMIC_NUMBER + 1)}
_COLUMNS = ("id", "lattice", "atomic_numbers", "frac_coords", "space_group", "formation_energy_per_atom", "energy_source")
_POSITION = re.compile(r"(\d+) of (\d+)")


class _BadRow(ValueError):
    """A row that is no crystal: (reason, what was found)."""


@dataclass(frozen=True)
class Page:
    """The rows of one answer, and how many the whole query has, where the answer says so."""

    rows: list
    total: int | None


def read_page(body: bytes) -> Page:
    """A page from the bytes of an answer: an object keyed `21 of 912`, or a bare list.

    Raises:
        BadAnswer: the body is empty, cut off, or something else (`DB Fail!null`).
    """
    try:
        text = body.decode("utf-8-sig")  # some answers start with a byte order mark
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise BadAnswer(f"no JSON: {_shown(body[:60])}, {len(body)} bytes") from None
    if isinstance(content, list):
        return Page(content, None)
    if not isinstance(content, dict):
        raise BadAnswer(f"neither an object nor a list: {_shown(content)}")
    positions = {key: _POSITION.fullmatch(key) for key in content}
    strange = next((key for key, position in positions.items() if position is None), None)
    if strange is not None:
        raise BadAnswer(f"an object with the key {_shown(strange)} instead of 'i of n'")
    keys = sorted(content, key=lambda key: int(positions[key][1]))
    return Page([content[key] for key in keys], max((int(p[2]) for p in positions.values()), default=None))


def is_element(symbol: str) -> bool:
    """Whether the crystals table knows this element (H to Lr)."""
    return symbol in _ATOMIC_NUMBERS


def crystals_of(rows: list) -> tuple[pd.DataFrame, list[dict]]:
    """The crystals table of a page's rows, and what was set aside.

    Rejected rows are dictionaries of `row` (from 0, in the page), `auid`, `reason` and `found`.
    """
    crystals, rejected, seen = [], [], set()
    for number, row in enumerate(rows):
        try:
            crystal = _crystal(row)
            if crystal["id"] in seen:
                raise _BadRow(DUPLICATE, "in this page already")
        except _BadRow as error:
            auid = row.get("auid") if isinstance(row, dict) else None
            reason, found = error.args
            rejected.append({"row": number, "auid": auid if _is_plain(auid) else None, "reason": reason, "found": _shown(found)})
        else:
            seen.add(crystal["id"])
            crystals.append(crystal)
    columns = {name: [crystal[name] for crystal in crystals] for name in _COLUMNS}
    return from_columns(**columns, source=SOURCE), rejected


def _crystal(row) -> dict:
    """One crystal, every value checked as the crystals table demands it."""
    if not isinstance(row, dict):
        raise _BadRow("not an object", row)
    missing = next((key for key in REQUIRED if row.get(key) in (None, "", [])), None)
    if missing:
        raise _BadRow(f"{missing} is missing", row.get(missing))
    if not _is_plain(row["auid"]):
        raise _BadRow("auid is no plain text", row["auid"])
    natoms = _whole(row["natoms"], "natoms is no whole number")
    coords = _coords(row["positions_fractional"])
    if len(coords) != natoms:
        raise _BadRow("positions_fractional and natoms disagree", f"{len(coords)} positions, natoms {natoms}")
    return {
        "id": row["auid"],
        "lattice": _lattice(row["geometry"]),
        "atomic_numbers": _numbers(row["species"], row["composition"], natoms),
        "frac_coords": coords,
        "space_group": _space_group(row["spacegroup_relax"]),
        "formation_energy_per_atom": float(_floats(row["enthalpy_formation_atom"], "enthalpy_formation_atom is no number", ())),
        "energy_source": _energy_source(row.get("dft_type")),
    }


def _coords(positions) -> np.ndarray:
    """Fractional coordinates (natoms, 3) from `x,y,z;x,y,z` or a nested list."""
    reason = "positions_fractional is not x, y, z per atom"
    rows = [part.split(",") for part in positions.strip().rstrip(";").split(";")] if isinstance(positions, str) else positions
    coords = _floats(rows, reason)
    if coords.ndim != 2 or coords.shape[1] != 3:
        raise _BadRow(reason, positions)
    return coords


def _numbers(species, composition, natoms: int) -> np.ndarray:
    """Atomic number of each site (natoms,): sites come species by species, `composition` of each."""
    symbols = [s.strip() if isinstance(s, str) else s for s in _items(species)]
    unknown = [s for s in symbols if not isinstance(s, str) or not is_element(s)]
    if unknown:
        raise _BadRow("unknown element", unknown[0])
    counts = _floats(_items(composition), "composition is no list of whole numbers")
    if counts.ndim != 1 or not (counts == np.floor(counts)).all() or not (counts >= 1).all():
        raise _BadRow("composition is no list of whole numbers", composition)
    if len(counts) != len(symbols):
        raise _BadRow("species and composition disagree", f"{species}, {composition}")
    if counts.sum() != natoms:
        raise _BadRow("composition and natoms disagree", f"{composition}, natoms {natoms}")
    return np.repeat([_ATOMIC_NUMBERS[s] for s in symbols], counts.astype(int))


def _lattice(geometry) -> np.ndarray:
    """Lattice vectors (3, 3), Å, from a, b, c (Å) and α, β, γ (degrees)."""
    reason = "geometry is no cell"
    parameters = _floats(_items(geometry), reason, (6,))
    if not (parameters > 0).all() or not (parameters[3:] < 180).all():
        raise _BadRow(reason, geometry)
    with np.errstate(all="ignore"):
        matrix = Lattice.from_parameters(*parameters).matrix
        volume = abs(np.linalg.det(matrix))
    if not MIN_VOLUME < volume < np.inf:
        raise _BadRow(reason, geometry)
    return matrix


def _space_group(value) -> int:
    reason = "spacegroup_relax is not 1 to 230"
    number = _whole(value, reason)
    if not 1 <= number <= 230:
        raise _BadRow(reason, value)
    return number


def _energy_source(dft_type) -> str:
    """Energies of different settings must stay apart, so the functional is kept beside the energy."""
    kind = ",".join(map(str, dft_type)) if isinstance(dft_type, list) else dft_type
    return f"AFLOW, {kind}" if _is_plain(kind) else "AFLOW"


def _whole(value, reason: str) -> int:
    number = float(_floats(value, reason, ()))
    if not number.is_integer():
        raise _BadRow(reason, value)
    return int(number)


def _items(value) -> list:
    """The parts of `a,b,c` or of a list; anything else is one part."""
    return value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]


def _floats(value, reason: str, shape: tuple | None = None) -> np.ndarray:
    """Finite numbers from numbers or their texts, nested as they are."""
    try:
        array = np.array(value, dtype=float)
    except (ValueError, TypeError, OverflowError):
        raise _BadRow(reason, value) from None
    if not np.isfinite(array).all() or (shape is not None and array.shape != shape):
        raise _BadRow(reason, value)
    return array


def _is_plain(value) -> bool:
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _shown(value) -> str:
    """The beginning of a value, for a record or a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
