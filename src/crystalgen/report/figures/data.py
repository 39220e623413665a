"""Figures of a data set: formation energies, space groups, polymorph groups, elements."""

import numpy as np
import pandas as pd
import seaborn as sns
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crystalgen.chemistry.spacegroups import space_group_symbol
from crystalgen.crystals.columns import axis_label
from crystalgen.crystals.schema import SPLITS
from crystalgen.report.style import GREY, PALETTE, counted, new_figure, palette, say_empty


def energy_histogram(table: pd.DataFrame, by: str = "split") -> Figure:
    """Draw the density of `formation_energy_per_atom` for each value of column `by`; crystals without an energy are left out."""
    figure, axes = new_figure()
    known = table.dropna(subset="formation_energy_per_atom")
    if known.empty:
        return say_empty(axes[0, 0], "this data set has no formation energies")
    groups = known[by].astype(object).where(known[by].notna(), "unassigned")
    order = [name for name in SPLITS if (groups == name).any()]
    groups = counted(groups.astype(pd.CategoricalDtype([*order, *sorted(set(groups) - set(order))])))
    data = pd.DataFrame({"energy": known["formation_energy_per_atom"], by: groups})
    style = {"stat": "density", "common_norm": False, "element": "step", "fill": False, "palette": palette(groups)}
    sns.histplot(data, x="energy", hue=by, bins=40, ax=axes[0, 0], **style)
    axes[0, 0].set(xlabel=axis_label("formation_energy_per_atom"), ylabel="density (atom/eV)")
    axes[0, 0].get_legend().set_title(None)
    return figure


def space_group_bars(table: pd.DataFrame, most: int = 20) -> Figure:
    """Draw the number of crystals in each of the `most` frequent space groups."""
    numbers = table["space_group"].dropna().astype(int)
    counts = numbers.value_counts().rename_axis("space_group").reset_index(name="crystals")
    shown = counts.sort_values(["crystals", "space_group"], ascending=[False, True]).head(most)
    figure, axes = new_figure(size=(7, 1.3 + 0.24 * max(len(shown), 3)))
    if shown.empty:
        return say_empty(axes[0, 0], "this data set has no space groups")
    ax = sns.barplot(x=shown["crystals"], y=_group_names(shown["space_group"]), color=PALETTE[0], ax=axes[0, 0])
    ax.bar_label(ax.containers[0], labels=[f"{count / len(numbers):.1%}" for count in shown["crystals"]], padding=3, fontsize=8)
    ax.margins(x=0.12)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="crystals", ylabel=axis_label("space_group"))
    share = shown["crystals"].sum() / len(numbers)
    ax.set_title(f"{len(shown)} of {len(counts)} space groups, {share:.0%} of n = {len(numbers)} crystals")
    return figure


def space_group_shares(shares: pd.DataFrame, most: int = 20) -> Figure:
    """Draw the shares of the commonest space groups of generated crystals beside the reference's.

    Args:
        shares: space_group, generated, reference (see `metrics.symmetry.histogram`).
        most: how many groups, the commonest of either.
    """
    largest = shares[["generated", "reference"]].max(axis=1).sort_values(ascending=False, kind="stable").index[:most]
    shown = shares.loc[largest].sort_values("space_group")
    long = shown.assign(group=_group_names(shown["space_group"])).melt("group", ["reference", "generated"], "crystals", "share")
    figure, axes = new_figure(size=(9, 3.6))
    ax = sns.barplot(long, x="group", y="share", hue="crystals", palette=[GREY, PALETTE[0]], ax=axes[0, 0])
    ax.tick_params(axis="x", rotation=60)
    ax.set(xlabel=axis_label("space_group"), ylabel="share of crystals")
    ax.get_legend().set_title(None)
    return figure


def group_size_histogram(table: pd.DataFrame) -> Figure:
    """Draw how many polymorph groups (crystals of one `formula`) there are of each size."""
    figure, axes = new_figure()
    sizes = table["formula"].value_counts()
    if sizes.empty:
        return say_empty(axes[0, 0], "no crystals")
    ax = sns.histplot(x=sizes, discrete=True, shrink=0.9, color=PALETTE[0], ax=axes[0, 0])
    ax.set(yscale="log", ylim=(0.5, None), xlabel="crystals in the polymorph group", ylabel="groups")  # one group is a visible bar
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_title(f"{len(sizes)} groups, n = {len(table)} crystals, median size {sizes.median():g}, largest {sizes.max()}")
    return figure


def element_bars(table: pd.DataFrame) -> Figure:
    """Draw the share of the crystals that hold each element, most frequent first."""
    symbols = [chemical_symbols[z] for numbers in table["atomic_numbers"] for z in np.unique(numbers)]
    shares = pd.Series(symbols, dtype=object).value_counts() / max(len(table), 1)
    figure, axes = new_figure(size=(float(np.clip(2 + 0.25 * len(shares), 5, 12)), 3.6))
    if shares.empty:
        return say_empty(axes[0, 0], "no crystals")
    ax = sns.barplot(x=shares.index, y=shares, color=PALETTE[0], ax=axes[0, 0])
    if len(shares) > 40:  # side by side the symbols would touch
        ax.tick_params(axis="x", labelsize=7, rotation=90)
    ax.margins(x=0.01)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set(xlabel="element", ylabel="crystals that hold it", title=f"{len(shares)} elements, n = {len(table)} crystals")
    return figure


def _group_names(numbers: pd.Series) -> list[str]:
    return [f"{number}  {space_group_symbol(number)}" for number in numbers]
