"""Crystals that were asked for, as files to take away and a page to look at."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals import write_crystals, write_structure_files
from crystalgen.report.pictures import crystal_strip, site_points
from crystalgen.report.report import build_folder_page
from crystalgen.report.style import save_figure
from crystalgen.report.tables import spoken, write_table
from crystalgen.utils.files import write_json

_ENERGIES = ["e_above_hull", "formation_energy_per_atom", "energy_per_atom"]
_ASKED = ["asked_formation_energy_per_atom", "space_group", "asked_space_group"]
COLUMNS = ["id", "valid", *_ENERGIES, *_ASKED, "novel", "known_id", "copies", "status"]
_PICTURES, _LISTED = 6, 30
_NOTE = (
    "Energies by 7net-l3i5, eV/atom, above the embedded library's hull where it knows the elements; valid: no two atoms within 0.5 Å; "
    "novel: neither in the study, held out or not, nor in the library, by StructureMatcher; copies: of this crystal among the others, "
    "which come last. "
    "table.csv has all crystals, cifs/ their files."
)


def summary(table: pd.DataFrame) -> str:
    """How many of the crystals are valid and new, and how many are what the model was asked for."""
    valid = table[table["valid"]]
    energies, asked = valid["formation_energy_per_atom"].dropna(), table["asked_formation_energy_per_atom"].iloc[0]
    median = f"{energies.median():.2f}" if len(energies) else "unknown"
    return (
        f"{len(table)} crystals: {len(valid)} valid, {int(valid['novel'].sum())} of them neither in the study nor in the library; "
        f"{int((table['space_group'] == table['asked_space_group']).sum())} of the space group that the model was asked for; "
        f"formation energy {asked:.2f} eV/atom asked, median {median}."
    )


def answer_folder(parent: Path, facts: dict) -> Path:
    """Where an answer goes: COMPOSITION below the parent, or with a number where that holds the answer to something else."""
    name, number = re.sub(r"\W+", "_", facts["composition"]).strip("_"), 1
    while True:
        folder = parent / (name + (f"-{number}" if number > 1 else ""))
        held = folder / "asked.json"
        if not folder.exists() or (held.exists() and json.loads(held.read_text()) == facts):
            return folder
        number += 1


def write_answer(table: pd.DataFrame, folder: Path, facts: dict) -> Path:
    """Write crystals.parquet, table.csv, asked.json, a CIF per crystal by its rank, and index.html with the best; returns the page.

    Args:
        table: ranked crystals, of `experiments.generate_crystals.generate_crystals`.
        folder: an earlier answer in it is replaced.
        facts: what was asked of what; plain values by name.
    """
    ranked = table.assign(id=[f"{rank:03d}-{formula}" for rank, formula in enumerate(table["formula"], 1)])
    write_crystals(table, folder / "crystals.parquet")
    for old in (folder / "cifs").glob("*.cif"):
        old.unlink()
    write_json(facts, folder / "asked.json")
    files = [str(file.relative_to(folder)) for file in write_structure_files(ranked, folder / "cifs")]
    shown = table[COLUMNS].assign(file=files)
    shown.to_csv(folder / "table.csv", index=False, float_format="%.6g", lineterminator="\n")
    best = [best for _, best in ranked.head(_PICTURES).iterrows()]
    titles = [f"{row['id'].split('-')[0]}: space group {row['space_group']}\n{_height(row)}" for row in best]
    caption = "The best, by rank: distinct valid crystals before others, then by energy."
    save_figure(crystal_strip(best, titles), folder / "figures", "01-best", caption, "Crystals side by side.", site_points(best, titles))
    write_table(
        _readable(shown.head(_LISTED)), folder / "tables", "01-ranked", f"The first {min(_LISTED, len(shown))} of {len(shown)}", _NOTE
    )
    return build_folder_page(folder, f"Crystals of {facts['composition']}", summary(table), facts)


def _readable(shown: pd.DataFrame) -> pd.DataFrame:
    names = {
        "e_above_hull": "above the hull",
        "formation_energy_per_atom": "formation energy",
        "asked_formation_energy_per_atom": "asked formation energy",
    }
    energies = [*_ENERGIES, "asked_formation_energy_per_atom"]
    rounded = shown.assign(**{name: [None if np.isnan(e) else f"{e:.3f}" for e in shown[name]] for name in energies})
    words = rounded.assign(**{name: ["yes" if value else "no" for value in shown[name]] for name in ("valid", "novel")})
    numbered = spoken(words.drop(columns=["id", "file", "energy_per_atom"]).rename(columns=names))
    numbered.insert(0, "rank", range(1, len(shown) + 1))
    return numbered


def _height(row: pd.Series) -> str:
    if np.isfinite(row["e_above_hull"]):
        return f"{row['e_above_hull'] * 1000:.0f} meV/atom above"
    return f"{row['energy_per_atom']:.3f} eV/atom" if np.isfinite(row["energy_per_atom"]) else "no energy"
