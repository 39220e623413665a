"""Read what AFLUX answers, as crystals: both shapes of a page, and values as text or typed.

A row that is no crystal is set aside with a reason. The reasons are few and fixed, so that they can be counted.
"""

import json
import re
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, FiniteFloat, PositiveInt, ValidationError, model_validator
from pymatgen.core import Element, Lattice

from crystalgen.crystals import from_columns
from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER, MIN_VOLUME
from crystalgen.datasets.download import BadAnswer

SOURCE = "aflow"
DUPLICATE = "duplicate auid"
OPTIONAL = ("dft_type",)

_ATOMIC_NUMBERS = {Element.from_Z(z).symbol: z for z in range(1, MAX_ATOMIC_NUMBER + 1)}
_POSITION = re.compile(r"(\d+) of (\d+)")
_PLAIN = re.compile(r"[ -~]+")  # printable ASCII


def is_element(symbol: str) -> bool:
    """Tell whether the crystals table knows this element (H to Lr)."""
    return symbol in _ATOMIC_NUMBERS


def _known(symbol: str) -> str:
    if not is_element(symbol := symbol.strip()):
        raise ValueError("unknown element")
    return symbol


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise ValueError("no plain text")
    return text


def _parts(value):
    """The parts of `a,b,c` or of a list; anything else is one part."""
    return value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]


def _triples(value):
    """Of `x,y,z;x,y,z`; a nested list stays as it is."""
    return [part.split(",") for part in value.strip().rstrip(";").split(";")] if isinstance(value, str) else value


_Length = Annotated[FiniteFloat, Field(gt=0)]
_Angle = Annotated[FiniteFloat, Field(gt=0, lt=180)]


class Entry(BaseModel):
    """One crystal as AFLUX has it, checked as the crystals table demands it.

    The required fields must be present, which `(*)` in a query asks for. The first one orders the pages: it is unique, so that rows do
    not move between pages. Sites come species by species, `composition` of each; geometry: a, b, c (Å), α, β, γ (degrees).
    """

    auid: Annotated[str, AfterValidator(_plain)]
    species: Annotated[list[Annotated[str, AfterValidator(_known)]], BeforeValidator(_parts)]
    composition: Annotated[list[PositiveInt], BeforeValidator(_parts)]
    natoms: PositiveInt
    geometry: Annotated[tuple[_Length, _Length, _Length, _Angle, _Angle, _Angle], BeforeValidator(_parts)]
    positions_fractional: Annotated[list[tuple[FiniteFloat, FiniteFloat, FiniteFloat]], BeforeValidator(_triples)]
    spacegroup_relax: Annotated[int, Field(ge=1, le=230)]
    enthalpy_formation_atom: FiniteFloat
    dft_type: object = None

    @model_validator(mode="after")
    def _agree(self):
        for wrong, reason in (
            (len(self.species) != len(self.composition), "species and composition disagree"),
            (sum(self.composition) != self.natoms, "composition and natoms disagree"),
            (len(self.positions_fractional) != self.natoms, "positions_fractional and natoms disagree"),
            (not MIN_VOLUME < self.volume() < np.inf, "geometry is no cell"),
        ):
            if wrong:
                raise ValueError(reason)
        return self

    def lattice(self) -> np.ndarray:
        """Return the lattice vectors (3, 3), Å."""
        with np.errstate(all="ignore"):
            return Lattice.from_parameters(*self.geometry).matrix

    def volume(self) -> float:
        """Return the volume of the cell, Å^3; NaN or 0 where there is none."""
        with np.errstate(all="ignore"):
            return abs(np.linalg.det(self.lattice()))

    def energy_source(self) -> str:
        """Name the functional beside the energy, since energies of different settings must stay apart."""
        kind = ",".join(map(str, self.dft_type)) if isinstance(self.dft_type, list) else self.dft_type
        return f"AFLOW, {kind}" if isinstance(kind, str) and _PLAIN.fullmatch(kind) else "AFLOW"


REQUIRED = tuple(name for name in Entry.model_fields if name not in OPTIONAL)


def read_page(body: bytes) -> tuple[list, int | None]:
    """Read the rows of an answer, an object keyed `21 of 912` or a bare list; and how many the query has, where the answer says so.

    Raises:
        BadAnswer: the body is empty, cut off, or something else (`DB Fail!null`).
    """
    try:
        content = json.loads(body.decode("utf-8-sig"))  # some answers start with a byte order mark
    except (ValueError, RecursionError):
        raise BadAnswer(f"no JSON: {_shown(body[:60])}, {len(body)} bytes") from None
    if isinstance(content, list):
        return content, None
    if not isinstance(content, dict):
        raise BadAnswer(f"neither an object nor a list: {_shown(content)}")
    rows = {}
    for key, row in content.items():
        position = _POSITION.fullmatch(key)
        if position is None:
            raise BadAnswer(f"an object with the key {_shown(key)} instead of 'i of n'")
        rows[int(position[1]), int(position[2])] = row
    return [rows[place] for place in sorted(rows)], max((total for _, total in rows), default=None)


def crystals_of(rows: list) -> tuple[pd.DataFrame, list[dict]]:
    """Make the crystals table of a page's rows, and a list of what was set aside.

    Rejected rows are dictionaries of `row` (from 0, in the page), `auid`, `reason` and `found`.
    """
    entries, rejected = {}, []
    for number, row in enumerate(rows):
        entry, reason, found = _read_row(row)
        if entry is not None and entry.auid in entries:
            reason, found = DUPLICATE, "in this page already"
        if reason is None:
            entries[entry.auid] = entry
        else:
            auid = row.get("auid") if isinstance(row, dict) else None
            known = isinstance(auid, str) and _PLAIN.fullmatch(auid)
            rejected.append({"row": number, "auid": auid if known else None, "reason": reason, "found": _shown(found)})
    found = list(entries.values())
    table = from_columns(
        [entry.lattice() for entry in found],
        [np.repeat([_ATOMIC_NUMBERS[s] for s in entry.species], entry.composition) for entry in found],
        [np.array(entry.positions_fractional) for entry in found],
        SOURCE,
        list(entries),
        space_group=[entry.spacegroup_relax for entry in found],
        formation_energy_per_atom=[entry.enthalpy_formation_atom for entry in found],
        energy_source=[entry.energy_source() for entry in found],
    )
    return table, rejected


def _read_row(row) -> tuple[Entry | None, str | None, object]:
    """Make a row's entry; or say what is wrong first of all, and what was found.

    Places in a list are left out of reasons, so that these stay few.
    """
    if not isinstance(row, dict):
        return None, "not an object", row
    try:
        return Entry.model_validate({key: value for key, value in row.items() if value not in (None, "", [])}), None, None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place, message = first["loc"], first["msg"].removeprefix("Value error, ")
    if not place:
        return None, message, {key: value for key, value in row.items() if key in message}
    return None, f"{place[0]}{', an item' if len(place) > 1 else ''}: {message}", first["input"]


def _shown(value) -> str:
    """The beginning of a value, for a record or a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
