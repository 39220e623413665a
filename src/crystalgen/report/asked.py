"""The answers to formulas in a few words: labels of crystals, and a table of several compounds."""

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import space_group_symbol


def asked_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each formula: its first crystal, and at which place one of the known space group stands.

    answers: of `experiments.compounds.several.answer_all`.
    """
    rows = []
    for formula, crystals in answers.groupby("asked", sort=False):
        best, known = crystals.iloc[0], int(crystals["asked_space_group"].iloc[0])
        places = crystals.loc[(crystals["space_group"] == known).to_numpy(bool, na_value=False), "rank"]
        rows.append({
            "Compound": formula,
            "First by rank": group_label(best["space_group"]),
            "Known in": group_label(known),
            "Known one's place": str(places.iloc[0]) if len(places) else f"not among {len(crystals)}",
            "Above the hull, meV/atom": f"{whole(1000 * best['e_above_hull'])} ± {whole(1000 * best['uncertainty'])}",
            "In the shipped table as": best["known_id"] if isinstance(best["known_id"], str) else "not in it",
            "Sources": best["sources"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def first_crystals(answers: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the first crystal of each formula by its title in a picture."""
    firsts = answers[answers["rank"] == 1]
    return {f"{row['asked']}\n{group_label(row['space_group'])}\n{height_label(row)}": row for _, row in firsts.iterrows()}


def group_label(number) -> str:
    """Return a space group's symbol and number."""
    return "none found" if pd.isna(number) else f"{space_group_symbol(int(number))} ({int(number)})"


def height_label(crystal: pd.Series) -> str:
    """Return a crystal's energy above the hull."""
    return f"{whole(1000 * crystal['e_above_hull'])} meV/atom" if np.isfinite(crystal["e_above_hull"]) else "no energy"


def whole(value: float) -> str:
    """Return a number without decimals; a dash where it is unknown."""
    return f"{value:.0f}" if np.isfinite(value) else "–"
