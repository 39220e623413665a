"""Splits: by formula with balanced elements, no reduced formula on two sides (B §2.2, plus a test set), or as the source has it."""

import numpy as np
import pandas as pd
from pymatgen.core import Element

from crystalgen.config import Split

_SHORT = 0.1  # by how much training may miss its share of the crystals for the sake of elements


def split(table: pd.DataFrame, settings: Split) -> pd.DataFrame:
    """Return the table with `split` filled in, as a study says."""
    if settings.given:
        return given_split(table, settings.given, settings.val, settings.seed)
    return split_by_formula(table, settings.val, settings.test, settings.seed, settings.hold_out)


def given_split(table: pd.DataFrame, judged_on: str, val: float = 0.02, seed: int = 42) -> pd.DataFrame:
    """Take the source's own split: `judged_on` becomes test, and the rest of its val and test is held out.

    A share `val` of the training crystals is drawn as val, for the curve of the loss, so that nothing is tuned on what
    models are judged on. One formula may stand on two sides here: that is how the source was split.

    Raises:
        ValueError: the source has no split, or no crystal on a side that is needed.
    """
    sides = table["split"].astype(object)
    missing = {"train", judged_on} - set(sides)
    if missing:
        raise ValueError(f"split.given: the source has no crystals of {sorted(missing)}; it has {sorted(set(sides.dropna()))}")
    result = np.where(sides == "train", "train", np.where(sides == judged_on, "test", "held_out")).astype(object)
    train = np.flatnonzero(result == "train")
    result[np.random.default_rng(seed).permutation(train)[: max(1, round(val * len(train)))]] = "val"
    return table.assign(split=result)


def split_by_formula(
    table: pd.DataFrame, val: float = 0.1, test: float = 0.1, seed: int = 42, hold_out: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Fill in `split`: train, val, test, and held_out for the systems of `hold_out` (e.g. Ta-W-B).

    Whole reduced formulas are dealt out, so that neither a polymorph nor a doubled cell leaks. Formulas are
    shuffled, then each goes to the side that is most behind its share of the formula's elements, counted in
    structures: shares of every element stay close on all sides. Where elements are too rare for that, as among a few dozen
    crystals of many elements, training would be short of both; then it keeps every element that it can, and sizes are in balance.

    Raises:
        ValueError: a fraction is out of range or a side stays empty.
    """
    if hold_out:
        aside = of_systems(table, hold_out)
        rest = split_by_formula(table[~aside], val, test, seed)["split"]
        return table.assign(split=rest.reindex(table.index).fillna("held_out"))
    if not (0 < val < 1 and 0 < test < 1 and val + test < 1):
        raise ValueError(f"val={val} and test={test}: expected fractions above 0 whose sum is below 1")
    shares = np.array([1 - val - test, val, test])
    members = table.groupby("reduced_formula", sort=True).indices
    names = np.random.default_rng(seed).permutation(np.array(list(members), dtype=object))
    numbers = table["atomic_numbers"].to_numpy()
    formulas = [(members[name], np.unique(numbers[members[name][0]])) for name in names]
    assigned = _elements_in_balance(formulas, shares, len(table))
    if abs((assigned == 0).mean() - shares[0]) > _SHORT:
        assigned = _elements_in_training(formulas, shares, len(table))
    result = table.assign(split=np.array(["train", "val", "test"], dtype=object)[assigned])
    empty = {"train", "val", "test"} - set(result["split"])
    if empty:
        raise ValueError(f"{len(names)} formulas are too few for val={val}, test={test}: no formula in {sorted(empty)}")
    assert_no_leak(result)
    return result


def _elements_in_balance(formulas: list[tuple[np.ndarray, np.ndarray]], shares: np.ndarray, count: int) -> np.ndarray:
    """Side of each crystal, 0 to 2; formulas: rows and elements of each."""
    totals, filled, assigned = np.zeros(120), np.zeros((3, 120)), np.empty(count, dtype=int)
    for rows, elements in formulas:
        totals[elements] += len(rows)
        need = (shares[:, None] * totals[elements] - filled[:, elements]) / shares[:, None]
        side = int(np.argmax(need.sum(axis=1)))
        filled[side, elements] += len(rows)
        assigned[rows] = side
    return assigned


def _elements_in_training(formulas: list[tuple[np.ndarray, np.ndarray]], shares: np.ndarray, count: int) -> np.ndarray:
    """As above: what training can spare without losing an element goes to the side most behind its share; then any, to an empty side."""
    assigned, sizes, holders = np.zeros(count, dtype=int), np.array([count, 0, 0]), np.zeros(120)
    for _, elements in formulas:
        holders[elements] += 1
    for last_resort in (False, True):
        for rows, elements in formulas:
            behind = shares * count - sizes
            side = 1 + int(np.argmax(behind[1:]))
            can_spare = (sizes == 0).any() if last_resort else (holders[elements] > 1).all()
            if can_spare and assigned[rows[0]] == 0 and behind[side] >= len(rows) / 2:
                assigned[rows] = side
                sizes[[0, side]] += [-len(rows), len(rows)]
                holders[elements] -= 1
    return assigned


def of_systems(table: pd.DataFrame, systems: tuple[str, ...]) -> np.ndarray:
    """Return the mask of the crystals made of exactly the elements of one of the systems, written as Ta-W-B."""
    wanted = {frozenset(Element(symbol).Z for symbol in system.split("-")) for system in systems}
    return np.array([frozenset(z.tolist()) in wanted for z in table["atomic_numbers"]], dtype=bool)


def assert_no_leak(table: pd.DataFrame) -> None:
    """Raise ValueError naming a reduced formula that stands in more than one split."""
    sides = table.groupby("reduced_formula")["split"].nunique()
    if (sides > 1).any():
        raise ValueError(f"formula {sides.idxmax()} stands in {int(sides.max())} splits; expected one")


def seen_in_training(table: pd.DataFrame) -> pd.Series:
    """Count the share of each side whose reduced formula a training crystal has too; 0 where whole formulas were dealt out."""
    known = set(table.loc[table["split"] == "train", "reduced_formula"])
    return table["reduced_formula"].isin(known).groupby(table["split"].to_numpy()).mean()
