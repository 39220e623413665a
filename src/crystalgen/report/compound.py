"""The answer to a formula as files to take away and one page."""

from html import escape
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
from ase.calculators.singlepoint import SinglePointCalculator
from matplotlib.figure import Figure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals import to_structures
from crystalgen.potentials.shipped import shipped_hull
from crystalgen.report.answer import write_files
from crystalgen.report.asked import group_label, height_label, whole
from crystalgen.report.pages import write_page
from crystalgen.report.phase_diagram import CAPTIONS, MOST_ELEMENTS, draw_phase_diagram
from crystalgen.report.show import figure_html, table_html
from crystalgen.report.structures import crystal_strip
from crystalgen.report.style import GREY, PALETTE, new_figure, save_figure
from crystalgen.utils.formulas import parse_composition

COLUMNS = [
    "id", "reduced_formula", "formula", "e_above_hull", "uncertainty", "probability", "space_group", "known_id", "novel", "sources",
    "origin", "density", "shortest_bond", "formation_energy_per_atom", "energy_per_atom", "status", "steps", "copies",
]  # fmt: skip
FOOTER = (
    "What this rests on: geometries and energies are 7net-l3i5's, without entropy, zero-point motion, dispersion or the order of "
    "magnetic moments. Beside this repository's own calculations by density-functional theory on borides, it was off by 0.035 eV/atom. "
    "Worst are layered and molecular crystals, oxides and fluorides of transition metals (Hubbard U, magnetism), lanthanides and "
    "actinides. The hull and the known structures end at cells of 60 atoms. The hull's own crystals are at the geometry of "
    "density-functional theory, where the potential puts them some meV/atom higher than at its own. A difference below the uncertainty "
    "decides nothing. 'Not in the table' means that the shipped table has no structure of this formula with the space group and about "
    "the energy, not that nobody has made it."
)
_PICTURES, _LISTED = 6, 30


def summary(table: pd.DataFrame, facts: dict) -> str:
    """Say in one paragraph what the best crystal is and whether it is stable."""
    if "tried" in facts:
        return _system_summary(table, facts)
    best = table.iloc[0]
    what = f"{best['formula']} in space group {group_label(best['space_group'])}"
    known = f"known as {best['known_id']}" if best["known_id"] else "not in the shipped table"
    text = f"{len(table)} crystals. The likeliest is {what}, {known}"
    if np.isfinite(best["e_above_hull"]):
        height, doubt = 1000 * best["e_above_hull"], 1000 * best["uncertainty"]
        verdict = "on the hull" if height <= 0 else "within the uncertainty of the hull" if height <= doubt else "above the hull"
        text += f"; it lies {verdict}, at {height:.0f} ± {doubt:.0f} meV/atom"
    text += f" (probability {best['probability']:.2f} among these)."
    if phases := facts.get("decomposition"):
        text += " At this composition the hull consists of " + ", ".join(f"{name} ({share:.2f})" for name, share in phases.items()) + "."
    return text


def _system_summary(table: pd.DataFrame, facts: dict) -> str:
    """Say which formulas of a system have a crystal on the hull, or as near as the energies can tell."""
    lowest = table[np.isfinite(table["e_above_hull"].to_numpy(float))].drop_duplicates("reduced_formula")
    near = lowest[lowest["e_above_hull"] <= lowest["uncertainty"]]
    told = ", ".join(f"{row['reduced_formula']} ({group_label(row['space_group'])}, {height_label(row)})" for _, row in near.iterrows())
    return (
        f"{len(table)} crystals of {len(facts['tried'])} formulas, by energy above the hull. "
        + (f"On the hull or within the uncertainty of it: {told}." if told else "None lies within the uncertainty of the hull.")
        + " A probability is among the crystals of one formula."
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the ranked crystals as a table for readers."""
    return pd.DataFrame({
        "Rank": range(1, len(table) + 1),
        "Above the hull, meV/atom": [whole(1000 * value) for value in table["e_above_hull"]],
        "±": [whole(1000 * value) for value in table["uncertainty"]],
        "Probability": table["probability"].round(3).to_numpy(),
        "Space group": [group_label(group) for group in table["space_group"]],
        **({"Compound": table["reduced_formula"].to_numpy()} if len(set(table["reduced_formula"])) > 1 else {}),
        "Cell": table["formula"].to_numpy(),
        "Known as": [name or "not in the table" for name in table["known_id"]],
        "Sources": table["sources"].to_numpy(),
        "Prototype": table["origin"].to_numpy(),
        "Density, g/cm³": table["density"].round(2).to_numpy(),
        "Shortest bond, Å": table["shortest_bond"].round(2).to_numpy(),
        "Relaxation": table["status"].to_numpy(),
    })  # fmt: skip


def write_compound(table: pd.DataFrame, folder: Path, facts: dict) -> Path:
    """Write the files of an answer; return its page.

    They are crystals.parquet, table.csv, crystals.extxyz, a CIF per crystal by its rank, asked.json, index.html and, of 2 to 4 elements,
    phase_diagram.png.

    Args:
        table: ranked crystals of `experiments.compounds.answer`, with uncertainty.
        folder: an earlier answer in it is replaced.
        facts: composition, removed, decomposition, notes, seconds, and what else was asked.
    """
    numbered, _ = write_files(table, [name for name in COLUMNS if name in table], folder, facts)
    write_extxyz(numbered, folder / "crystals.extxyz")
    best = [row for _, row in numbered.head(_PICTURES).iterrows()]
    what = [row["reduced_formula"] if "tried" in facts else group_label(row["space_group"]) for row in best]
    titles = [f"{rank}: {name}\n{height_label(row)}" for rank, (name, row) in enumerate(zip(what, best, strict=True), 1)]
    png = save_figure(crystal_strip(best, titles), folder / "figures", "best")
    body = [
        figure_html(png, "The first by rank.", dict(zip(titles, best, strict=True))),
        table_html(readable(table.head(_LISTED)), f"The first {min(_LISTED, len(table))} of {len(table)}"),
    ]
    body.append(_phase_diagram(table, folder))
    if (figure := heights(table)) is not None:
        body.append(
            figure_html(save_figure(figure, folder / "figures", "heights"), "Energies above the hull of the shipped single points.")
        )
    if facts.get("decomposition"):
        phases = pd.Series(facts["decomposition"]).rename_axis("Phase").reset_index(name="Share of the atoms")
        body.append(table_html(phases.round(3), "What the hull consists of at this composition"))
    if facts.get("removed"):
        body.append(table_html(pd.Series(facts["removed"]).rename_axis("Reason").reset_index(name="Candidates"), "What went out"))
    notes = [f"<p>{escape(note)}</p>" for note in facts.get("notes", [])]
    body += [*notes, f'<p class="note">{escape(FOOTER)}</p>']
    return write_page(folder / "index.html", f"Crystals of {facts['composition']}", "".join(body), [summary(table, facts)])


def _phase_diagram(table: pd.DataFrame, folder: Path) -> str:
    """Write phase_diagram.png and return its figure for the page, or why there is none."""
    elements = list(dict.fromkeys(symbol for formula in table["formula"] for symbol in parse_composition(formula)))
    (folder / "phase_diagram.png").unlink(missing_ok=True)  # of an earlier answer
    if not 2 <= len(elements) <= MOST_ELEMENTS:
        return f"<p>There is no phase diagram: one can be drawn of 2 to {MOST_ELEMENTS} elements, and here are {len(elements)}.</p>"
    try:
        diagram = shipped_hull(elements).diagram("".join(elements))
    except ValueError as error:
        return f"<p>There is no phase diagram: {escape(str(error))}.</p>"
    png = save_figure(draw_phase_diagram(table, diagram, elements), folder, "phase_diagram")
    return figure_html(png, CAPTIONS[len(elements)])


def write_extxyz(table: pd.DataFrame, path: Path) -> None:
    """Write crystals as frames of extended XYZ, energies (eV) and names in their comment lines."""
    frames = []
    for name, structure, energy in zip(table["id"], to_structures(table), table["energy_per_atom"], strict=True):
        atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False, info={"name": name})
        if np.isfinite(energy):
            atoms.calc = SinglePointCalculator(atoms, energy=energy * len(atoms))
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")


def heights(table: pd.DataFrame) -> Figure | None:
    """Draw the candidates' energies above the hull with their uncertainty, by rank; None where there are none."""
    known = table[np.isfinite(table["e_above_hull"].to_numpy(float))]
    if known.empty:
        return None
    figure, axes = new_figure(size=(7, 2.8))
    ax = axes[0, 0]
    ranks, new = known.index.to_numpy() + 1, known["known_id"].isna().to_numpy()
    ax.axhline(0, color=GREY, linewidth=1)
    for which, color, label in ((~new, PALETTE[0], "in the shipped table"), (new, PALETTE[1], "not in it")):
        if which.any():
            above, doubt = 1000 * known["e_above_hull"].to_numpy()[which], 1000 * known["uncertainty"].to_numpy()[which]
            ax.errorbar(ranks[which], above, doubt, fmt="o", color=color, label=label, elinewidth=0.8)
    ax.set(xlabel="rank", ylabel="above the hull, meV/atom")
    ax.legend()
    return figure
