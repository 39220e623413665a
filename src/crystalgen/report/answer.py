"""Generated crystals as files to take away and a page to look at."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals import write_crystals, write_structure_files
from crystalgen.report.pages import write_page
from crystalgen.report.show import figure_html, table_html
from crystalgen.report.structures import crystal_strip
from crystalgen.report.style import save_figure
from crystalgen.report.tables import spoken
from crystalgen.utils.files import write_json

_ENERGIES = ["e_above_hull", "formation_energy_per_atom", "energy_per_atom", "asked_formation_energy_per_atom"]
COLUMNS = ["id", "valid", *_ENERGIES, "asked_space_group", "space_group", "strict_space_group", "novel", "known_id", "copies", "status"]
_PICTURES, _LISTED = 6, 30
_NOTE = (
    "Energies by 7net-l3i5, eV/atom, above the embedded library's hull where it knows the elements; valid: no two atoms within 0.5 Å; "
    "novel: neither in the study, held out or not, nor in the library, by StructureMatcher; copies: of this crystal among the others, "
    "which come last. "
    "table.csv has all crystals, cifs/ their files."
)


def summary(table: pd.DataFrame) -> str:
    """Say how many of the crystals are valid and new, and how many are what the model was conditioned on."""
    valid = table[table["valid"]]
    energies, asked = valid["formation_energy_per_atom"].dropna(), table["asked_formation_energy_per_atom"].iloc[0]
    median = f"{energies.median():.2f}" if len(energies) else "unknown"
    return (
        f"{len(table)} crystals: {len(valid)} valid, {int(valid['novel'].sum())} of them neither in the study nor in the library; "
        f"{int((table['space_group'] == table['asked_space_group']).sum())} of the target space group; "
        f"target formation energy {asked:.2f} eV/atom, median {median}."
    )


def answer_folder(parent: Path, facts: dict) -> Path:
    """Return where an answer goes: COMPOSITION below the parent, with a number where that folder holds an answer to something else."""
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
    ranked, shown = write_files(table, COLUMNS, folder, facts)
    best = [best for _, best in ranked.head(_PICTURES).iterrows()]
    titles = [f"{row['id'].split('-')[0]}: space group {row['space_group']}\n{_height(row)}" for row in best]
    png = save_figure(crystal_strip(best, titles), folder / "figures", "best")
    body = [
        table_html(_readable(shown.head(_LISTED)), f"The first {min(_LISTED, len(shown))} of {len(shown)}", _NOTE),
        figure_html(png, "The best by rank: distinct valid crystals before others, then by energy.", dict(zip(titles, best, strict=True))),
        table_html(pd.Series(facts, dtype=object).rename_axis("Setting").reset_index(name="Value"), "How they were made"),
    ]
    return write_page(folder / "index.html", f"Crystals of {facts['composition']}", "".join(body), [summary(table)])


def write_files(table: pd.DataFrame, columns: list[str], folder: Path, facts: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the files of an answer that are no page: crystals.parquet, table.csv of some columns, asked.json, cifs/.

    Returns:
        the crystals named by rank and formula; and what table.csv holds.
    """
    ranked = table.assign(id=[f"{rank:03d}-{formula}" for rank, formula in enumerate(table["formula"], 1)])
    write_crystals(table, folder / "crystals.parquet")
    for old in (folder / "cifs").glob("*.cif"):
        old.unlink()
    write_json(facts, folder / "asked.json")
    files = [str(file.relative_to(folder)) for file in write_structure_files(ranked, folder / "cifs")]
    shown = table[columns].assign(file=files)
    shown.to_csv(folder / "table.csv", index=False, float_format="%.6g", lineterminator="\n")
    return ranked, shown


def _readable(shown: pd.DataFrame) -> pd.DataFrame:
    words = {name: shown[name].map({True: "yes", False: "no"}) for name in ("valid", "novel")}
    rounded = shown.assign(**{name: shown[name].round(3) for name in _ENERGIES}, **words)
    table = spoken(rounded.drop(columns=["id", "file", "energy_per_atom"]))
    table.insert(0, "rank", range(1, len(shown) + 1))
    return table


def _height(row: pd.Series) -> str:
    if np.isfinite(row["e_above_hull"]):
        return f"{row['e_above_hull'] * 1000:.0f} meV/atom above"
    return f"{row['energy_per_atom']:.3f} eV/atom" if np.isfinite(row["energy_per_atom"]) else "no energy"
