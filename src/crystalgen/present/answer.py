"""Crystals that were asked for, as files to take away and a page to look at."""

from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.crystals import write_crystals, write_structure_files
from crystalgen.present.pictures import crystal_strip, site_points
from crystalgen.present.report import build_folder_page
from crystalgen.present.style import save_figure
from crystalgen.present.tables import write_table

_ENERGIES = ["e_above_hull", "formation_energy_per_atom", "energy_per_atom"]
COLUMNS = ["id", "valid", *_ENERGIES, "space_group", "asked_space_group", "novel", "known_id", "copies", "status"]
_PICTURES, _LISTED = 6, 30
_NOTE = (
    "Energies by 7net-l3i5, eV/atom, above the embedded library's hull where it knows the elements; valid: no two atoms within 0.5 Å; "
    "novel: not in the training crystals by StructureMatcher; copies: of this crystal among the others, which come last. "
    "table.csv has all crystals, cifs/ their files."
)


def write_answer(table: pd.DataFrame, folder: Path, facts: dict) -> Path:
    """Write crystals.parquet, table.csv, a CIF per crystal by its rank, and index.html with the best; returns the page.

    Args:
        table: ranked crystals, of `pipeline.asking.generate_crystals`.
        folder: an earlier answer in it is replaced.
        facts: what was asked of what; plain values by name.
    """
    ranked = table.assign(id=[f"{rank:03d}-{formula}" for rank, formula in enumerate(table["formula"], 1)])
    write_crystals(table, folder / "crystals.parquet")
    for old in (folder / "cifs").glob("*.cif"):
        old.unlink()
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
    valid = int(table["valid"].sum())
    summary = f"{len(table)} crystals: {valid} valid, {int((table['valid'] & table['novel']).sum())} of them not in the training crystals."
    return build_folder_page(folder, f"Crystals of {facts['composition']}", summary, facts)


def _readable(shown: pd.DataFrame) -> pd.DataFrame:
    names = {"e_above_hull": "above the hull", "energy_per_atom": "energy"}
    rounded = shown.assign(**{name: [None if np.isnan(e) else f"{e:.3f}" for e in shown[name]] for name in _ENERGIES})
    words = rounded.assign(**{name: ["yes" if value else "no" for value in shown[name]] for name in ("valid", "novel")})
    numbered = (
        words.drop(columns=["id", "file", "formation_energy_per_atom"])
        .rename(columns=names)
        .rename(columns=lambda name: name.replace("_", " "))
    )
    numbered.insert(0, "rank", range(1, len(shown) + 1))
    return numbered


def _height(row: pd.Series) -> str:
    if np.isfinite(row["e_above_hull"]):
        return f"{row['e_above_hull'] * 1000:.0f} meV/atom above"
    return f"{row['energy_per_atom']:.3f} eV/atom" if np.isfinite(row["energy_per_atom"]) else "no energy"
