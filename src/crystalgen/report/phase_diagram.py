"""The hull of a chemical system, drawn with the crystals that were found in it."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition
from pymatgen.util.string import unicodeify

from crystalgen.report.style import GREY, PALETTE, legend_above, new_figure

MOST_ELEMENTS = 4  # that a drawing can show
_TRIANGLE = np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
_TETRAHEDRON = np.array([[0, 0.12], [0.62, -0.14], [1.05, 0.22], [0.5, 0.95]])  # seen from in front; its edge 0-2 is behind
_WITHIN = 0.1  # eV/atom, how much is drawn above the highest crystal
CAPTIONS = {
    2: "Formation energies against the elements. The line is the hull of the shipped single points, grey dots are their other structures.",
    3: "Phases on the hull of the shipped single points, those that coexist joined, and the lowest crystal of each formula (stars, green "
    "within the uncertainty of the hull), with its energy above the hull.",
    4: "The elements at the corners, the phases on the hull of the shipped single points (dots), and the lowest crystal of each formula "
    "(stars, green within the uncertainty of the hull), with its energy above the hull, joined to the phases of the hull there.",
}  # by the number of elements


def draw_phase_diagram(table: pd.DataFrame, diagram: PhaseDiagram, elements: list[str]) -> Figure:
    """Draw crystals on a phase diagram of 2 to 4 elements.

    Args:
        table: crystals with formula, reduced_formula, known_id, formation_energy_per_atom, e_above_hull and uncertainty (eV/atom).
            Those without an energy are left out.
        diagram: of formation energies by the same source (`stability.hull.Hull.diagram`).
        elements: symbols, in the order in which they are drawn.
    """
    table = table[np.isfinite(table["e_above_hull"].to_numpy(float))]
    wide = len(elements) == 2
    figure, axes = new_figure(size=(7, 4) if wide else (7, 5.4))
    if wide:
        _energies(axes[0, 0], table, diagram, elements)
    else:
        _compositions(axes[0, 0], table, diagram, elements)
    return figure


def _energies(ax: Axes, table: pd.DataFrame, diagram: PhaseDiagram, elements: list[str]) -> None:
    """Formation energy against the share of the second element."""
    stable = [(entry.composition.get_atomic_fraction(elements[1]), entry) for entry in diagram.stable_entries]
    stable.sort(key=lambda pair: pair[0])
    shares, energies = np.array([share for share, _ in stable]), np.array([entry.energy_per_atom for _, entry in stable])
    others = [entry for entry in diagram.all_entries if entry not in diagram.stable_entries]
    ax.plot([entry.composition.get_atomic_fraction(elements[1]) for entry in others], [entry.energy_per_atom for entry in others],
            ".", color=GREY, markersize=4, zorder=1)  # fmt: skip
    ax.plot(shares, energies, "-o", color="black", markersize=5, linewidth=1.2, zorder=2)
    for share, entry in stable:
        ax.annotate(
            unicodeify(entry.composition.reduced_formula),
            (share, entry.energy_per_atom),
            (0, -13),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    places = np.array([Composition(formula).get_atomic_fraction(elements[1]) for formula in table["formula"]])
    found, new = table["formation_energy_per_atom"].to_numpy(float), table["known_id"].isna().to_numpy()
    for which, color, label in ((~new, PALETTE[0], "found, in the shipped table"), (new, PALETTE[1], "found, not in it")):
        if which.any():
            ax.plot(places[which], found[which], "D", color=color, markersize=6, markerfacecolor="none", label=label, zorder=3)
    low, high = min(energies.min(), found.min(initial=0)), max(0.0, found.max(initial=0))
    ax.set(xlim=(-0.05, 1.05), ylim=(low - 0.08 * (high - low) - 0.05, high + _WITHIN))
    ax.set(xlabel=f"share of {elements[1]} among the atoms", ylabel="formation energy, eV/atom")
    legend_above(ax.figure, ax)


def _compositions(ax: Axes, table: pd.DataFrame, diagram: PhaseDiagram, elements: list[str]) -> None:
    """Compositions in a triangle or tetrahedron, the lowest crystal of each formula as a star with its rank."""
    corners = _TRIANGLE if len(elements) == 3 else _TETRAHEDRON
    lowest = table.sort_values("e_above_hull").drop_duplicates("reduced_formula")

    def place(composition: Composition) -> np.ndarray:
        return np.array([composition.get_atomic_fraction(symbol) for symbol in elements]) @ corners

    for first, second in itertools.combinations(range(len(elements)), 2):
        behind = len(elements) == 4 and (first, second) == (0, 2)
        ax.plot(*corners[[first, second]].T, ":" if behind else "-", color="black", linewidth=0.8, zorder=1)
    named = {entry for entry in diagram.stable_entries if len(elements) == 3 or len(entry.composition) == 1}
    if len(elements) == 3:
        ties = {frozenset(pair) for facet in diagram.facets for pair in itertools.combinations(facet, 2)}
        for first, second in ties:
            ends = np.array([place(diagram.qhull_entries[number].composition) for number in (first, second)])
            ax.plot(*ends.T, color=GREY, linewidth=0.8, zorder=1)
    for formula in lowest["reduced_formula"] if len(elements) == 4 else ():
        phases = list(diagram.get_decomposition(Composition(formula)))
        named |= set(phases)
        for entry in phases:
            ends = np.array([place(Composition(formula)), place(entry.composition)])
            ax.plot(*ends.T, color=PALETTE[5], linewidth=1, zorder=2)
    for entry in diagram.stable_entries:
        x, y = place(entry.composition)
        ax.plot(x, y, "o", color="black" if entry in named else GREY, markersize=5 if entry in named else 3, zorder=3)
        if entry in named and entry.composition.reduced_formula not in set(lowest["reduced_formula"]):
            ax.annotate(unicodeify(entry.composition.reduced_formula), (x, y), (4, 4), textcoords="offset points", fontsize=8)
    for rank, row in enumerate(lowest.itertuples(), 1):
        composition, near = Composition(row.formula), row.e_above_hull <= row.uncertainty
        x, y = place(composition)
        text = f"{rank}: {unicodeify(composition.reduced_formula)}, {1000 * row.e_above_hull:.0f} meV/atom"
        ax.plot(x, y, "*", color=PALETTE[2] if near else PALETTE[1], markersize=14, markeredgecolor="white", label=text, zorder=5)
        ax.annotate(rank, (x, y), (0, -14), textcoords="offset points", ha="center", fontsize=8, zorder=6)
    ax.set_aspect("equal")
    ax.set_axis_off()
    legend_above(ax.figure, ax)
