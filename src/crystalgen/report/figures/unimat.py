"""Figures of UniMat's samples: how noise becomes a crystal, what properties come out, what guidance does (paper A)."""

import math

import numpy as np
import pandas as pd
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crystalgen.generative.data.format import NULL, NULL_THRESHOLD
from crystalgen.metrics.distributions import densities, numbers_of_elements
from crystalgen.report.style import GREY, LINES, MARKERS, PALETTE, new_figure, say_empty

_BINS = 40


def denoising(states: np.ndarray, elements: np.ndarray, steps: list[int]) -> tuple[Figure, pd.DataFrame]:
    """A crystal's table on its way from noise to data, one panel a moment (A Fig. 2).

    Args:
        states: coordinates (frames, 3, L, H, W) of one sample.
        elements: atomic numbers (H, W).
        steps: how many denoising steps each frame has behind it.

    Returns:
        the figure, and points with columns step, element, layer, mean (of the three coordinates).
    """
    mean = states.mean(axis=1)  # (frames, L, H, W); NULL where there is no atom
    frames = len(states)
    columns = min(frames, 3)
    rows = -(-frames // columns)
    height, width = elements.shape
    panel = min(3.6 * height / width, 2.4)  # inches; a wide table is a low panel
    figure, axes = new_figure(rows, columns, size=(3.6 * columns + 1.2, (panel + 0.45) * rows))
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, frame, step in zip(axes.flat, mean, steps, strict=False):
        shown = np.where(elements > 0, frame.max(axis=0), np.nan)  # the layer that is nearest to an atom
        image = ax.imshow(shown, cmap="viridis", vmin=NULL, vmax=1, aspect="equal")
        ax.set_title(f"after {step} steps: {int((frame[:, elements > 0] >= NULL_THRESHOLD).sum())} atoms", fontsize=9)
        last = step == steps[-1]
        for (i, j), z in np.ndenumerate(elements):
            if z and (last is False or shown[i, j] >= NULL_THRESHOLD):
                ax.text(j, i, chemical_symbols[z], ha="center", va="center", fontsize=5.5, color="white" if shown[i, j] < 0.2 else "black")
    figure.colorbar(image, ax=axes, label="mean coordinate of the layer\nnearest to an atom; −1 is none", shrink=0.8)
    layer, i, j = np.nonzero(np.broadcast_to(elements > 0, mean.shape[1:]))
    parts = [
        pd.DataFrame({"step": step, "element": [chemical_symbols[z] for z in elements[i, j]], "layer": layer, "mean": frame[layer, i, j]})
        for frame, step in zip(mean, steps, strict=True)
    ]
    return figure, pd.concat(parts, ignore_index=True)


def property_distributions(
    reference: pd.DataFrame, generated: dict[str, pd.DataFrame], known: str = "test crystals"
) -> tuple[Figure, pd.DataFrame]:
    """Density, number of atoms and number of elements of generated crystals over those of real ones.

    Args:
        reference: crystals to compare with.
        generated: crystals by label.
        known: what to call the real ones.

    Returns:
        the figure, and points with columns property, crystals, bin_left, bin_right, share.
    """
    kinds = {
        "density (g/cm³)": densities,
        "atoms in the cell": lambda table: table["nsites"].to_numpy(float),
        "different elements": numbers_of_elements,
    }
    figure, axes = new_figure(1, 3, size=(11, 3.4))
    points = []
    for ax, (label, measure) in zip(axes[0], kinds.items(), strict=True):
        values = {known: measure(reference)} | {name: measure(table) for name, table in generated.items() if len(table)}
        whole = np.concatenate(list(values.values()))
        edges = np.histogram_bin_edges(whole, _BINS) if "density" in label else np.arange(whole.min() - 0.5, whole.max() + 1)
        for k, (name, found) in enumerate(values.items()):
            share = np.histogram(found, edges)[0] / len(found)
            style = {"color": GREY, "fill": True, "alpha": 0.4} if k == 0 else {"color": PALETTE[k - 1], "ls": LINES[(k - 1) % len(LINES)]}
            ax.stairs(share, edges, label=f"{name} (n = {len(found)})", linewidth=1.6, **style)
            points.append(
                pd.DataFrame({"property": label, "crystals": name, "bin_left": edges[:-1], "bin_right": edges[1:], "share": share})
            )
        ax.set(xlabel=label, ylabel="share of crystals")
        if "density" not in label:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure, pd.concat(points, ignore_index=True)


def quality_by_size(found: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Validity and coverage of unconditional samples against the network's size, a mark per model (A Fig. 4).

    Args:
        found: columns label, parameters, seconds (of training), metric (a name), value, low, high.

    Returns:
        the figure and the same table.
    """
    rows = math.ceil(found["metric"].nunique() / 2)
    figure, axes = new_figure(rows, 2, size=(10, 1.4 + 2.8 * rows), sharey=True)
    labels = list(dict.fromkeys(found["label"]))
    for ax, (metric, part) in zip(axes.flat, found.groupby("metric", sort=False), strict=True):
        for row in part.itertuples():
            k = labels.index(row.label)
            error = [[row.value - row.low], [row.high - row.value]]
            look = {"marker": MARKERS[k % len(MARKERS)], "color": PALETTE[k % len(PALETTE)], "capsize": 3, "ls": "none"}
            ax.errorbar([row.parameters], [row.value], yerr=np.maximum(error, 0), label=f"{row.label} ({row.seconds / 60:.0f} min)", **look)
        ax.set(xscale="log", xlabel="parameters", ylabel=metric.lower(), ylim=(0, 1.02))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure, found


def energies_obtained(found: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Formation energy obtained against the one asked for, a line per guidance weight.

    Args:
        found: columns asked, weight, energy (eV/atom, NaN where a sample could not be rated).

    Returns:
        the figure, and points with columns weight, asked, median, low, high (quartiles), n.
    """
    figure, axes = new_figure(size=(6, 4.6))
    ax = axes[0, 0]
    rated = found.dropna(subset="energy")
    if rated.empty:
        say_empty(ax, "no sample could be rated")
        return figure, pd.DataFrame(columns=["weight", "asked", "median", "low", "high", "n"])
    groups = rated.groupby(["weight", "asked"])["energy"]
    quartiles = {name: groups.quantile(q) for name, q in (("low", 0.25), ("median", 0.5), ("high", 0.75))}
    points = pd.DataFrame(quartiles | {"n": groups.size()}).reset_index()
    span = np.array([points["asked"].min(), points["asked"].max()])
    ax.plot(span, span, color=GREY, linewidth=1, zorder=0, label="as asked")
    step = 0.012 * (span[1] - span[0])
    for k, (weight, line) in enumerate(points.groupby("weight")):
        error = np.abs(line[["low", "high"]].to_numpy() - line[["median"]].to_numpy()).T
        look = {"marker": MARKERS[k], "color": PALETTE[k], "ls": LINES[k % len(LINES)], "capsize": 3}
        ax.errorbar(line["asked"] + (k - 1.5) * step, line["median"], yerr=error, label=f"ω = {weight:g}", **look)
    ax.set(xlabel="formation energy asked for (eV/atom)", ylabel="formation energy obtained (eV/atom)")
    ax.legend()
    return figure, points
