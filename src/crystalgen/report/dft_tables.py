"""Tables of density-functional theory: known phases, Table 3 on its hull, convergence, a second code, and what was run."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from crystalgen.dft.results import CANDIDATES, CODES, KNOWN
from crystalgen.dft.rows import CONVERGED
from crystalgen.potentials.registry import ENERGY_SOURCE, GEOMETRY_SOURCE
from crystalgen.report.labels import ordered

DFT = "GPAW PBE"
SOURCES = (DFT, ENERGY_SOURCE, GEOMETRY_SOURCE)
NOTE = (
    "GPAW: PBE, plane waves to 520 eV, 4 k-points per 1/Å, Fermi-Dirac smearing of 0.1 eV extrapolated to none, no spin; relaxed "
    "at 400 eV to 0.03 eV/Å from the library's or the search's. Each source is measured above its own hull of the same computed phases at "
    "the same geometries; energies of two sources are never mixed. The Materials Project's formation energies carry its corrections."
)


def phase_table(opinions: dict, reference: Path) -> pd.DataFrame:
    """Return the known phases: formation energies by each source, eV/atom, and energies above the hull, meV/atom."""
    phases = yaml.safe_load(Path(reference).read_text())
    known = opinions[DFT][0]
    numbers = [int(name.split("-")[0]) for name in known["id"]]
    labels = [phases[i] if i < len(phases) else None for i in numbers]
    table = pd.DataFrame(
        {
            "Phase": [label["name"] if label else f"{formula}" for label, formula in zip(labels, known["reduced_formula"], strict=True)],
            "Space group": known["space_group"],
            "Materials Project": [
                np.nan if label is None or label["formation_energy"] is None else label["formation_energy"] for label in labels
            ],
        }
    )
    for source in SOURCES:
        table[f"{source}, eV/atom"] = opinions[source][0]["formation_energy_per_atom"].round(3)
    for source in SOURCES[:2]:
        table[f"above the hull by {source}, meV/atom"] = _mev(opinions[source][0]["e_above_hull"])
    return table


def hull_state(results: pd.DataFrame) -> str:
    """Return how much of the hull is computed, and what that means for heights above it."""
    planned = results[results["group"] == KNOWN]
    missing = _missing(results)
    state = f"Computed: {len(planned) - missing} of the {len(planned)} phases that make the hull"
    return f"{state}; those that are missing can only lower it, so that heights are lower bounds." if missing else f"{state}."


def candidate_table(opinions: dict, search: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """Return the search's candidates above the hulls, meV/atom, by composition and DFT.

    Args:
        opinions: of `dft.results.opinions`.
        search: its candidates.csv, with file and e_above_hull on the library's hull.
        labels: of the rows that found them.
    """
    computed = opinions[DFT][1]
    if computed.empty:
        return pd.DataFrame(columns=["Composition", "Model"])
    parts = computed["id"].str.split("-", n=2, expand=True)
    on_library = search.set_index(search["file"].str.removesuffix(".cif"))["e_above_hull"]
    table = pd.DataFrame(
        {
            "Composition": parts[1],
            "Model": parts[2].map(lambda row: labels.get(row, row)),
            "Rank in the search": parts[0].astype(int),
            "Space group": computed["space_group"],
            "Formation energy, eV/atom": computed["formation_energy_per_atom"].round(3),
        }
    )
    for source in SOURCES:
        table[f"{source}, meV/atom"] = _mev(opinions[source][1]["e_above_hull"])
    table["7net-l3i5, library's hull, meV/atom"] = _mev(computed["id"].map(on_library))
    return table.sort_values(["Composition", f"{DFT}, meV/atom"], ignore_index=True)


def table3_by_dft(opinions: dict, results: pd.DataFrame, reference: dict, labels: dict[str, str]) -> pd.DataFrame:
    """Return paper B's Table 3 on the DFT hull: the least of each model and composition, meV/atom, and the paper's least.

    Args:
        opinions: of `results.opinions`.
        results: of `results.read_results`, to say how many are still to be computed.
        reference: reference/table3.yaml.
        labels: of the rows that found the candidates.
    """
    unit = "at least, meV/atom" if _missing(results) else "meV/atom"
    planned = results[results["group"] == CANDIDATES]
    parts = planned["name"].str.split("-", n=2, expand=True)
    planned = planned.assign(composition=parts[1], row=parts[2])
    above = opinions[DFT][1].set_index("id")["e_above_hull"] * 1000
    planned = planned.assign(above=planned["name"].map(above) if len(above) else np.nan)
    rows = []
    for row in ordered(planned["row"], labels):
        line: dict = {"Model": labels.get(row, row)}
        for composition in sorted(set(planned["composition"])):
            own = planned[(planned["row"] == row) & (planned["composition"] == composition)]
            line[f"{composition}, {unit}"] = round(own["above"].min(), 1)
            line[f"{composition} computed"] = f"{own['above'].notna().sum()} of {len(own)}"
        rows.append(line)
    paper: dict = {"Model": "Paper B, VASP, AFLOW's hull: least of all"}
    for composition in sorted(set(planned["composition"])):
        values = [value for e in reference["experiments"] for value in e["values"].get(composition, [])]
        paper[f"{composition}, {unit}"] = min(values, default=np.nan)
    return pd.DataFrame([*rows, paper])


def convergence_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return per setting how far total and formation energies lie from the settings in use, at most over the phases, meV/atom."""
    if found.empty or "as-used" not in set(found["setting"]):
        return pd.DataFrame(columns=["Cut-off, eV"])
    base = found[found["setting"] == "as-used"].set_index("name")
    rows = []
    for setting, part in found.groupby("setting"):
        part = part.set_index("name")
        total = (part["energy_per_atom"] - base["energy_per_atom"]).dropna() * 1000
        formation = (part["formation_energy_per_atom"] - base["formation_energy_per_atom"]).dropna() * 1000
        rows.append(
            {
                "Cut-off, eV": part["cutoff_ev"].iloc[0],
                "k-points per 1/Å": part["k_density"].iloc[0],
                "Phases": len(total),
                "Total energy, largest change, meV/atom": round(total.abs().max(), 1),
                "Formation energy, largest change, meV/atom": round(formation.abs().max(), 1) if len(formation) else np.nan,
                "Setting": "as used" if setting == "as-used" else "other",
            }
        )
    return pd.DataFrame(rows).sort_values(["Cut-off, eV", "k-points per 1/Å"], ignore_index=True)


def code_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return polymorphs by two codes: energies above the lowest of the same formula by GPAW, meV/atom."""
    own = results[(results["group"] == CODES) & (results["status"] == CONVERGED)]
    if own.empty:
        return pd.DataFrame(columns=["Formula"])
    wide = own.pivot_table(index="name", columns="code", values="energy_per_atom").dropna().reset_index()
    wide[["Formula", "Space group"]] = wide["name"].str.rsplit("-", n=1, expand=True)
    codes = [name for name in wide if name in set(own["code"])]
    for formula, part in wide.groupby("Formula"):
        lowest = part[codes[0]].idxmin()
        for code in codes:
            wide.loc[wide["Formula"] == formula, f"{code}, meV/atom"] = ((part[code] - part.loc[lowest, code]) * 1000).round(1)
    return wide[["Formula", "Space group", *(f"{code}, meV/atom" for code in codes)]]


def run_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return what was run: a line per group, code and state."""

    def described(part: pd.DataFrame) -> pd.Series:
        hours = (part["seconds"] * part["cores"]).sum() / 3600
        versions = ", ".join(sorted({str(v) for v in part["version"].dropna()}))
        return pd.Series({"Calculations": len(part), "Versions": versions, "Core hours": round(hours, 2)})

    state = results["status"].str.partition(":")[0]
    groups = results.assign(Group=results["group"], Code=results["code"].fillna("–"), State=state).groupby(["Group", "Code", "State"])
    return groups.apply(described, include_groups=False).reset_index()


def _mev(energies: pd.Series) -> pd.Series:
    """eV as meV to a tenth; no minus before a zero."""
    return (energies * 1000).round(1) + 0.0


def _missing(results: pd.DataFrame) -> int:
    """Phases of the hull that are not computed."""
    return int((results.loc[results["group"] == KNOWN, "status"] != CONVERGED).sum())
