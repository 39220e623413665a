"""Summarise what a search found: the paper's Table 3 with ours, counts, the best phases, and their structure files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from crystalgen.baselines.prototypes import NO_LADDER, TEMPLATE
from crystalgen.config import Search, Study
from crystalgen.crystals import write_structure_files
from crystalgen.experiments.search import EXPERIMENT
from crystalgen.potentials.relaxation import CONVERGED

BELOW = -1e-6  # eV/atom; a phase of the hull itself is at zero, give or take rounding
TOTALS = ("generated", "valid", "distinct", "relaxed", "new")  # of `experiment_counts`, shown in Table 3
NOTE = (
    "The hull is the library's own, its energies and ours are SevenNet 7net-l3i5's on CHGNet geometries: negative means below this hull, "
    "not a discovery. The potential is within some tens of meV/atom of PBE, and the hull knows no phase that the library lacks. "
    "The paper's values are by VASP against AFLOW's hull."
)

COUNTS_NOTE = (
    "generated: asked for; valid: decoded, and no two atoms within 0.5 Å; distinct: with an energy, and no two alike (StructureMatcher, "
    "energies within 0.1 eV/atom); phases: of those relaxed, alike at any energy counted once; new: not in the library."
)


def budget_note(settings: Search, counts: pd.DataFrame) -> str:
    """Return what each entry of the table could spend; counts: of `experiment_counts`."""
    none = "" if (counts["row"] == TEMPLATE).any() else " It has none: no training crystal has one of these stoichiometries."
    return (
        f"Of each composition, model and ladder at most {settings.relaxed} crystals are relaxed, the lowest as generated and no two alike "
        f"(CHGNet, {settings.relax_steps} steps at most, to {settings.fmax:g} eV/Å). The baseline, of which no energy is asked, "
        f"has {settings.relaxed * len(settings.ladders)} a composition, as many as the ladders of a model together.{none}"
    )


def experiment_counts(rated: pd.DataFrame, candidates: pd.DataFrame, requested: pd.DataFrame) -> pd.DataFrame:
    """Return how many crystals each experiment had left after each step.

    Args:
        rated: of `search.rate_generated`.
        candidates: of `search.relax_lowest`.
        requested: a row per crystal asked for, with composition, row and ladder: what could not be decoded counts as generated.

    Returns:
        per composition, row and ladder: generated, valid, distinct (no two alike), relaxed, converged, phases (distinct ones
        after relaxation), new (phases that the library lacks) and below_hull (phases).
    """
    best = candidates.sort_values("e_above_hull").drop_duplicates([*EXPERIMENT, "phase"])
    rows = {
        "generated": requested,
        "valid": rated[rated["valid"]],
        "distinct": rated[rated["energy_per_atom"].notna()].drop_duplicates([*EXPERIMENT, "group"]),
        "relaxed": candidates,
        "converged": candidates[candidates["relaxation"] == CONVERGED],
        "phases": best,
        "new": best[best["new"]],
        "below_hull": best[best["e_above_hull"] < BELOW],
    }
    counts = pd.DataFrame({name: table.groupby(EXPERIMENT).size() for name, table in rows.items()})
    return counts.fillna(0).astype(int).reset_index()


def table3(candidates: pd.DataFrame, counts: pd.DataFrame, study: Study, reference: dict) -> pd.DataFrame:
    """Return the least energy above the hull of each experiment, and each phase below the hull (B, Table 3), meV/atom.

    Args:
        candidates: of `search.relax_lowest`.
        counts: of `experiment_counts`.
        study: says which objective and which ladder an experiment had.
        reference: reference/table3.yaml.

    Returns:
        a row per model (way to sample) and ladder, the baseline last. Columns Model, Ladder; per composition the least value,
        those below the hull and the paper's; and the counts, all compositions together.
    """
    order = [(row, ladder) for row in study.search.rows for ladder in study.search.ladders]
    order.append((TEMPLATE, NO_LADDER))
    lines = []
    for row, ladder in order:
        own = candidates[(candidates["row"] == row) & (candidates["ladder"] == ladder)]
        line: dict = {"Model": row, "Ladder": ladder}
        paper = _paper_values(row, ladder, study, reference)
        for composition in study.search.compositions:
            phases = own[own["composition"] == composition].groupby("phase")["e_above_hull"].min().sort_values() * 1000
            line[f"{composition}, meV/atom"] = phases.min()
            line[f"{composition} below the hull"] = _listed(phases[phases < BELOW * 1000].round(1)) or "none"
            line[f"{composition} in the paper"] = _listed(paper.get(composition, ()))
        totals = counts.loc[(counts["row"] == row) & (counts["ladder"] == ladder), list(TOTALS)].sum()
        lines.append(line | {name: int(totals[name]) for name in TOTALS})
    return pd.DataFrame(lines)


def best_phases(candidates: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the lowest candidate of each of the `count` lowest phases, with rank and found_by (the rows that found the phase)."""
    finders = candidates.groupby(["composition", "phase"])["row"].agg(lambda rows: ", ".join(sorted(set(rows))))
    best = candidates.sort_values(["e_above_hull", "id"]).drop_duplicates(["composition", "phase"]).head(count).reset_index(drop=True)
    keys = pd.MultiIndex.from_frame(best[["composition", "phase"]])
    return best.assign(rank=range(1, len(best) + 1), found_by=finders.reindex(keys).to_numpy())


def show_phases(phases: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `best_phases` that a reader wants, energies above the hull in meV/atom."""
    return pd.DataFrame(
        {
            "Rank": phases["rank"],
            "Composition": phases["composition"],
            "Above the hull, meV/atom": (phases["e_above_hull"] * 1000).round(1),
            "as generated, meV/atom": (phases["generated_e_above_hull"] * 1000).round(1),
            "Formation energy, eV/atom": phases["formation_energy_per_atom"].round(4),
            "asked for, eV/atom": phases["asked_formation_energy_per_atom"].round(4),
            "Space group": phases["space_group"],
            "generated with": phases["generated_space_group"],
            "asked for": phases["asked_space_group"],
            "Relaxation": phases["relaxation"] + ", " + phases["relaxation_steps"].astype(str) + " steps",
            "Geometry": phases["geometry"],
            "In the library": phases["known_id"].where(phases["known_id"].notna(), "no"),
            "Model": phases["row"],
            "Ladder": phases["ladder"],
            "Found by": phases["found_by"],
            "Id": phases["id"],
        }
    )


def write_candidates(candidates: pd.DataFrame, compositions: Sequence[str], count: int, folder: Path) -> pd.DataFrame:
    """Write the `count` lowest phases of each composition as `<rank>-<formula>-<model>.cif`, and candidates.csv about them.

    What an earlier run left in the folder is removed. CIFs are in P1, atom by atom, eight digits; the rank is within
    the composition.
    """
    shutil.rmtree(folder, ignore_errors=True)
    parts = [best_phases(candidates[candidates["composition"] == composition], count) for composition in compositions]
    best = pd.concat(parts, ignore_index=True)
    names = [f"{rank:02d}-{composition}-{row}" for rank, composition, row in best[["rank", "composition", "row"]].to_numpy()]
    files = write_structure_files(best.assign(id=pd.Series(names, dtype=object)), folder)
    table = best.drop(columns=["lattice", "atomic_numbers", "frac_coords", "split"])
    table.insert(0, "file", [file.name for file in files])
    table.to_csv(folder / "candidates.csv", index=False, float_format="%.6g", lineterminator="\n")
    return table


def read_reference(path: Path) -> dict:
    """Read the paper's Table 3."""
    return yaml.safe_load(Path(path).read_text())


def _paper_values(row: str, ladder: str, study: Study, reference: dict) -> dict[str, list[float]]:
    """The paper's experiment with the same objective and the same energies asked for, by composition."""
    if row not in study.search.rows or ladder not in study.search.ladders:
        return {}
    model, asked = study.models[study.model_of(row)], study.search.ladders[ladder]
    ours = (model.objective.name, asked.start, asked.step)
    return next((e["values"] for e in reference["experiments"] if (e["objective"], e["start"], e["step"]) == ours), {})


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
