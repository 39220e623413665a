"""Figures of density-functional theory beside the potentials, and of its own convergence."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from crystalgen.report.dft_tables import DFT, SOURCES
from crystalgen.report.style import GREY, PALETTE, new_figure, say_empty

_PANELS = {"formation_energy_per_atom": "formation energy", "e_above_hull": "energy above its hull"}


def parity(opinions: dict) -> pd.DataFrame:
    """Return a line per crystal and potential: id, kind, source, and each energy by the potential and (`dft_...`) by DFT, eV/atom.

    Args:
        opinions: of `dft.results.opinions`.
    """
    parts = []
    for source in SOURCES[1:]:
        for kind, place in (("known phase", 0), ("candidate", 1)):
            own, dft = opinions[source][place], opinions[DFT][place]
            energies = {name: own[name] for name in _PANELS} | {f"dft_{name}": dft[name] for name in _PANELS}
            parts.append(pd.DataFrame({"id": own["id"], "kind": kind, "source": source, **energies}))
    return pd.concat(parts, ignore_index=True)


def potential_parity(points: pd.DataFrame) -> Figure:
    """Draw formation energies and energies above the hull by the potentials against DFT's; points: of `parity`."""
    figure, axes = new_figure(1, 2, size=(9.4, 4.4))
    for ax, (name, label) in zip(axes[0], _PANELS.items(), strict=True):
        low, high = (f(f(points[name]), f(points[f"dft_{name}"])) for f in (min, max))
        ax.plot([low, high], [low, high], color=GREY, linewidth=0.9, linestyle="--")
        sns.scatterplot(points, x=f"dft_{name}", y=name, hue="source", style="kind", palette=PALETTE[:2], ax=ax, legend=ax is axes[0, 0])
        ax.set(xlabel=f"{DFT}: {label} (eV/atom)", ylabel="potential (eV/atom)", title=f"n = {points['id'].nunique()} crystals")
    return figure


def convergence_curves(found: pd.DataFrame) -> Figure:
    """Draw formation energies against cut-off and density of k-points, minus those at the finest setting of each.

    Args:
        found: of `dft.results.convergence`.
    """
    figure, axes = new_figure(1, 2, size=(9.4, 3.8), sharey=True)
    panels = (("cutoff_ev", "k_density", "cut-off (eV)"), ("k_density", "cutoff_ev", "density of k-points (per 1/Å)"))
    compounds = found[found["formation_energy_per_atom"].abs() > 1e-9] if len(found) else found  # not the elements themselves
    used = compounds[compounds["setting"] == "as-used"] if len(found) else found
    for ax, (axis, fixed, label) in zip(axes[0], panels, strict=True):
        if used.empty:
            say_empty(ax, "nothing is computed")
            continue
        own = compounds[compounds[fixed] == used[fixed].iloc[0]].sort_values(axis)
        finest = own.groupby("name")["formation_energy_per_atom"].transform("last")
        names = own["name"].str.replace(r"^\d+-(.+)-(\d+)$", r"\1, space group \2", regex=True)
        data = pd.DataFrame({"x": own[axis], "gap": (own["formation_energy_per_atom"] - finest) * 1000, "phase": names})
        sns.lineplot(data, x="x", y="gap", hue="phase", style="phase", markers=True, errorbar=None, ax=ax, legend=ax is axes[0, 0])
        ax.axhline(0, color=GREY, linewidth=0.9, linestyle="--")
        ax.set(xlabel=label, ylabel="formation energy minus that of the\nfinest setting (meV/atom)")
    return figure
