"""A chemical system asked for: its likeliest formulas, each answered and kept as one asked for alone, in one table."""

import logging

import pandas as pd

from crystalgen.api.checks import can_fill
from crystalgen.api.compound import answer_compound
from crystalgen.experiments.compounds.ranking import STOPPED
from crystalgen.experiments.compounds.systems import MAX_ATOMS, find_formulas, shared
from crystalgen.utils.formulas import parse_system
from crystalgen.utils.limits import FORMULA_UNITS

_LOG = logging.getLogger(__name__)
_NAMED = 20  # of the formulas that were left out


def answer_system(composition: str, n: int, space_group: int | None, units: int | None, exact: bool, **settings) -> pd.DataFrame:
    """Answer the likeliest formulas of a system; see `api.generate`.

    Ctrl-C ends with the formula under way; what is done by then is returned.

    Args:
        n: crystals in all.
        **settings: of `answer_compound`.

    Returns:
        crystals of all formulas by e_above_hull. `attrs`: composition, tried (formula: its crystals), left_out (the next likely formulas,
        their number, and of which kind they are), failed (formula: why), removed, notes, and what was asked.

    Raises:
        ValueError: there is no formula to try, or none has an answer.
    """
    formulas, basis = find_formulas(parse_system(composition))
    if space_group is not None and exact:
        formulas = [formula for formula in formulas if can_fill(formula, space_group, FORMULA_UNITS if units is None else (units,))]
    if not formulas:
        raise ValueError(f"chemical system {composition!r}: no formula of at most {MAX_ATOMS} atoms is {basis}"
                         + (f", and can have space group {space_group}" if space_group else ""))  # fmt: skip
    tried = shared(formulas, n)
    _LOG.info("%s: %d formulas %s; the likeliest are %s", composition, len(formulas), basis, ", ".join(tried))
    parts: list[pd.DataFrame] = []
    failed: dict[str, str] = {}
    try:
        for number, (formula, count) in enumerate(tried.items(), 1):
            _LOG.info("%d of %d: %s", number, len(tried), formula)
            try:
                parts.append(answer_compound(formula, count, space_group, units=units, exact=exact, **settings))
            except ValueError as error:
                failed[formula] = str(error)
                continue
            if any(note.startswith(STOPPED) for note in parts[-1].attrs["notes"]):
                break
    except KeyboardInterrupt:
        if not parts:
            raise
    if not parts:
        raise ValueError(f"chemical system {composition!r}: no formula has an answer; {next(iter(failed.values()))}")
    return _joined(composition, n, parts, failed, tried, formulas, basis)


def _joined(composition, n, parts, failed, tried, formulas, basis) -> pd.DataFrame:
    done = {part.attrs["composition"]: len(part) for part in parts}
    waiting = [formula for formula in tried if formula not in done | failed]
    notes = [f"{formula}: {why}" for formula, why in failed.items()]
    notes += [f"{part.attrs['composition']}: {note}" for part in parts for note in part.attrs["notes"]]
    notes += [f"{STOPPED} before these were asked for: {', '.join(waiting)}."] if waiting else []
    rest = formulas[len(tried) :]
    notes.append(
        f"Tried are the likeliest {len(tried)} of {len(formulas)} formulas of at most {MAX_ATOMS} atoms that are {basis}. "
        + (f"Left out are {', '.join(rest[:_NAMED])}{' and less likely ones' if len(rest) > _NAMED else ''}." if rest else "")
    )
    removed = pd.DataFrame([part.attrs["removed"] for part in parts]).sum().astype(int)
    crystals = pd.concat([part.assign(id=f"{part.attrs['composition']}-" + part["id"]) for part in parts], ignore_index=True)
    crystals = crystals.sort_values("e_above_hull", kind="stable", na_position="last", ignore_index=True)
    crystals.attrs = {
        **parts[0].attrs,
        "composition": composition,
        "count": n,
        "tried": done,
        "left_out": {"formulas": rest[:_NAMED], "number": len(rest), "of": basis},
        "failed": failed,
        "removed": removed.to_dict(),
        "decomposition": {},
        "notes": notes,
        "seconds": pd.DataFrame([part.attrs["seconds"] for part in parts]).sum().round(2).to_dict(),
    }
    return crystals
