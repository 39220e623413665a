"""Figures of density-functional theory beside the potentials, and of its own convergence."""

import pandas as pd
from matplotlib.figure import Figure

from crystalgen.report.dft_tables import DFT, SOURCES
from crystalgen.report.style import GREY, MARKERS, PALETTE, new_figure, say_empty


def potential_parity(opinions: dict) -> tuple[Figure, pd.DataFrame]:
    """Formation energies and heights above the hull by the potentials against DFT; filled: candidates, open: known phases.

    Args:
        opinions: of `dft.results.opinions`.

    Returns:
        the figure, and points with columns id, kind, source, formation_energy, dft_formation_energy, above, dft_above (eV/atom).
    """
    rows = []
    for source in SOURCES[1:]:
        for kind, place in (("known", 0), ("candidate", 1)):
            own, dft = opinions[source][place], opinions[DFT][place]
            energies = {"formation_energy": own["formation_energy_per_atom"], "dft_formation_energy": dft["formation_energy_per_atom"]}
            heights = {"above": own["e_above_hull"], "dft_above": dft["e_above_hull"]}
            rows.append(pd.DataFrame({"id": own["id"], "kind": kind, "source": source, **energies, **heights}))
    points = pd.concat(rows, ignore_index=True)
    figure, axes = new_figure(1, 2, size=(9.4, 4.4))
    panels = (("formation_energy", "formation energy, eV/atom"), ("above", "above the hull of the same phases, eV/atom"))
    for ax, (name, label) in zip(axes[0], panels, strict=True):
        low, high = (f(f(points[name]), f(points[f"dft_{name}"])) for f in (min, max))
        ax.plot([low, high], [low, high], color=GREY, linewidth=0.9, linestyle="--")
        for number, source in enumerate(SOURCES[1:]):
            for kind in ("known", "candidate"):
                own = points[(points["source"] == source) & (points["kind"] == kind)]
                face = PALETTE[number] if kind == "candidate" else "none"
                look = {"s": 30, "marker": MARKERS[number], "facecolors": face, "edgecolors": PALETTE[number], "linewidths": 1.1}
                ax.scatter(
                    own[f"dft_{name}"], own[name], label=f"{source}, {kind}s" if kind == "candidate" else f"{source}, known phases", **look
                )
        ax.set_xlabel(f"{DFT}: {label}")
        ax.set_ylabel("potential, eV/atom")
    axes[0, 0].legend(loc="upper left")
    return figure, points


def convergence_curves(found: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Formation energies against cut-off and density of k-points, minus those at the finest setting of each.

    Args:
        found: of `dft.results.convergence`.

    Returns:
        the figure, and the points with columns name, axis, value, difference (eV/atom).
    """
    figure, axes = new_figure(1, 2, size=(9.4, 3.8), sharey=True)
    rows = []
    panels = (("cutoff_ev", "k_density", "cut-off, eV"), ("k_density", "cutoff_ev", "k-points per 1/Å"))
    for ax, (axis, fixed, varied) in zip(axes[0], panels, strict=True):
        base = found[found["setting"] == "as-used"] if len(found) else found
        own = found[found[fixed] == base[fixed].iloc[0]] if len(base) else found.head(0)
        own = own[own["formation_energy_per_atom"].abs() > 1e-9] if len(own) else own  # not the elements themselves
        if not len(own):
            say_empty(ax, "nothing is computed")
            continue
        for number, (name, part) in enumerate(own.groupby("name")):
            part = part.sort_values(axis)
            gap = part["formation_energy_per_atom"] - part["formation_energy_per_atom"].iloc[-1]
            label = "{1}, space group {2}".format(*name.split("-"))  # folders are named <number>-<formula>-<group>
            ax.plot(part[axis], gap * 1000, color=PALETTE[number], marker=MARKERS[number], markersize=4.5, label=label)
            rows.append(pd.DataFrame({"name": name, "axis": axis, "value": part[axis], "difference": gap}))
        ax.axhline(0, color=GREY, linewidth=0.9, linestyle="--")
        ax.set_xlabel(varied)
    axes[0, 0].set_ylabel("formation energy minus that of the\nfinest setting, meV/atom")
    if rows:
        axes[0, 0].legend()
    return figure, pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["name", "axis", "value", "difference"])
