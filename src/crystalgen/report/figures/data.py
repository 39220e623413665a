"""Figures of a data set: energies, coordinates, space groups, polymorph groups, elements."""

import numpy as np
import pandas as pd
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crystalgen.chemistry.spacegroups import space_group_symbol
from crystalgen.report.style import LINES, PALETTE, new_figure, say_empty

_BINS = 40
_SPLIT_ORDER = ("train", "val", "test", "held_out")


def energy_histogram(table: pd.DataFrame, by: str = "split") -> tuple[Figure, pd.DataFrame]:
    """Distribution of `formation_energy_per_atom` (eV/atom) for each value of column `by`.

    Densities rather than counts, because splits differ in size; n stands in the legend. Crystals
    without an energy are left out.

    Returns:
        the figure, and points with columns `by`, bin_left, bin_right, count, density.
    """
    figure, axes = new_figure()
    ax = axes[0, 0]
    known = table[table["formation_energy_per_atom"].notna()]
    points = pd.DataFrame(columns=[by, "bin_left", "bin_right", "count", "density"])
    if known.empty:
        say_empty(ax, "this data set has no formation energies")
        return figure, points
    edges = np.histogram_bin_edges(known["formation_energy_per_atom"], bins=_BINS)
    groups = known[by].astype(object).where(known[by].notna(), "unassigned")
    names = [s for s in _SPLIT_ORDER if (groups == s).any()]
    names += sorted(set(groups) - set(names), key=str)
    energies = {str(name): known.loc[groups == name, "formation_energy_per_atom"] for name in names}
    points = _steps(ax, energies, edges, by)
    ax.set(xlabel="formation energy (eV/atom)", ylabel="density (atom/eV)")
    ax.legend()
    return figure, points


def space_group_bars(table: pd.DataFrame, most: int = 20) -> tuple[Figure, pd.DataFrame]:
    """Number of crystals in each of the `most` frequent space groups.

    Returns:
        the figure, and points with columns space_group, symbol, crystals, share (of those with a group).
    """
    numbers = table["space_group"].dropna().astype(int)
    points = numbers.value_counts().rename_axis("space_group").reset_index(name="crystals")
    points = points.sort_values(["crystals", "space_group"], ascending=[False, True], ignore_index=True)
    points.insert(1, "symbol", [space_group_symbol(n) for n in points["space_group"]])
    points["share"] = points["crystals"] / max(len(numbers), 1)
    shown = points.head(most)
    figure, axes = new_figure(size=(7, 1.3 + 0.24 * max(len(shown), 3)))
    ax = axes[0, 0]
    if shown.empty:
        say_empty(ax, "this data set has no space groups")
        return figure, points
    labels = [f"{number}  {symbol}" for number, symbol in zip(shown["space_group"], shown["symbol"], strict=True)]
    bars = ax.barh(labels, shown["crystals"], color=PALETTE[0])
    ax.bar_label(bars, labels=[f"{s:.1%}" for s in shown["share"]], padding=3, fontsize=8)
    ax.invert_yaxis()
    ax.margins(x=0.12, y=0.01)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="crystals", ylabel="space group")
    ax.set_title(f"{len(shown)} of {len(points)} space groups, {shown['share'].sum():.0%} of {len(numbers)} crystals")
    return figure, points


def group_size_histogram(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Number of polymorph groups (crystals of one `formula`) of each size.

    Returns:
        the figure, and points with columns size, groups, crystals.
    """
    sizes = table["formula"].value_counts()
    points = sizes.value_counts().rename_axis("size").reset_index(name="groups").sort_values("size", ignore_index=True)
    points["crystals"] = points["size"] * points["groups"]
    figure, axes = new_figure()
    ax = axes[0, 0]
    if points.empty:
        say_empty(ax, "no crystals")
        return figure, points
    ax.bar(points["size"], points["groups"], width=0.9, color=PALETTE[0])
    ax.set_yscale("log")
    ax.set_ylim(0.5, None)  # a single group keeps a visible bar
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="crystals in the polymorph group", ylabel="groups")
    ax.set_title(f"{len(sizes)} groups, {len(table)} crystals, median size {sizes.median():g}, largest {sizes.max()}")
    return figure, points


def element_bars(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Share of the crystals that hold each element, most frequent first.

    Returns:
        the figure, and points with columns atomic_number, element, crystals, share.
    """
    numbers = np.concatenate([np.unique(z) for z in table["atomic_numbers"]] or [np.array([], int)]).astype(int)
    counts = np.bincount(numbers)
    points = pd.DataFrame({"atomic_number": np.flatnonzero(counts)})
    points["element"] = [chemical_symbols[z] for z in points["atomic_number"]]
    points["crystals"] = counts[points["atomic_number"]]
    points["share"] = points["crystals"] / max(len(table), 1)
    points = points.sort_values(["crystals", "atomic_number"], ascending=[False, True], ignore_index=True)
    figure, axes = new_figure(size=(float(np.clip(2 + 0.25 * len(points), 5, 12)), 3.6))
    ax = axes[0, 0]
    if points.empty:
        say_empty(ax, "no crystals")
        return figure, points
    ax.bar(points["element"], points["share"], color=PALETTE[0])
    if len(points) > 40:  # side by side the symbols would touch
        ax.tick_params(axis="x", labelsize=7, rotation=90)
    ax.margins(x=0.01)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set(xlabel="element", ylabel="crystals holding it", title=f"{len(points)} elements, n = {len(table)} crystals")
    return figure, points


def _steps(ax, values: dict[str, np.ndarray], edges: np.ndarray, by: str) -> pd.DataFrame:
    """Draw one density outline per name, told apart by colour and line; return its points."""
    parts = []
    for i, (name, sample) in enumerate(values.items()):
        count, _ = np.histogram(sample, bins=edges)
        density = count / max(count.sum(), 1) / np.diff(edges)
        style = {"color": PALETTE[i % len(PALETTE)], "linestyle": LINES[i % len(LINES)], "linewidth": 1.8}
        ax.stairs(density, edges, label=f"{name} (n = {count.sum()})", **style)
        part = {by: name, "bin_left": edges[:-1], "bin_right": edges[1:], "count": count, "density": density}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
