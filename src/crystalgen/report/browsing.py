"""List what there is to browse in a study: its crystals, and what each model generated, beside the target."""

import numpy as np
import pandas as pd

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import load_study
from crystalgen.crystals import read_crystals
from crystalgen.metrics.study_results import study_rows
from crystalgen.report.labels import row_labels
from crystalgen.utils import paths

DATA = "crystals of the study"
COLUMNS = ["made_by", "formula", "space_group", "formation_energy_per_atom", "matched", "crystal", "target"]


def browsable(study: str) -> pd.DataFrame:
    """Return one line per crystal, the study's own first.

    Returns:
        columns made_by (`DATA`, or the label of a way to sample), formula, space_group (as generated, at 0.1 Å),
        formation_energy_per_atom (eV/atom; of a generated crystal, that of its target), matched (True, False, or None without a
        target), and crystal and target: rows of the crystals table (None where there is no target).

    Raises:
        FileNotFoundError: the study was not run; with the command that runs it.
    """
    if not paths.crystals(study).is_file():
        raise FileNotFoundError(f"{paths.crystals(study)}: missing; `make reproduce STUDIES={study}` writes it")
    config, crystals = load_study(study), read_crystals(paths.crystals(study))
    labels, by_id = row_labels(config), {crystal["id"]: crystal for _, crystal in crystals.iterrows()}
    nothing = [None] * len(crystals)
    parts = [_lines(DATA, crystals, crystals["formation_energy_per_atom"], nothing, nothing)]
    for row, facts in study_rows(config).items():
        samples = paths.samples(study, facts.model) / row / "crystals.parquet"
        verdicts = paths.evaluation(study, facts.model) / row / "verdicts.parquet"
        if samples.is_file() and verdicts.is_file():
            parts.append(_generated(labels[row], read_crystals(samples), pd.read_parquet(verdicts), by_id))
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def chosen(table: pd.DataFrame, formula: str = "", space_group: int | None = None, energies: tuple | None = None,
           made_by: str | None = None, matched: bool | None = None) -> pd.DataFrame:  # fmt: skip
    """Return the lines of a `browsable` table that pass every filter.

    Args:
        table: of `browsable`.
        formula: part of the formula (`B2`), or elements that must all be there (`Ta-B`).
        space_group: number.
        energies: (low, high), eV/atom; lines without an energy pass only without this filter.
        made_by: as in the table.
        matched: of crystals with a verdict.
    """
    keep = np.ones(len(table), dtype=bool)
    if "-" in formula:
        wanted = set(formula.strip("-").split("-"))
        keep &= table["formula"].str.findall(r"[A-Z][a-z]?").map(lambda symbols: wanted <= set(symbols)).to_numpy(bool)
    else:
        keep &= table["formula"].str.contains(formula, regex=False).to_numpy(bool)
    for name, value in (("space_group", space_group), ("made_by", made_by), ("matched", matched)):
        if value is not None:
            keep &= (table[name] == value).fillna(False).to_numpy(bool)
    if energies is not None:
        keep &= table["formation_energy_per_atom"].between(*energies).fillna(False).to_numpy(bool)
    return table[keep].reset_index(drop=True)


def shown_crystals(line: pd.Series) -> dict[str, pd.Series]:
    """Return what a line of a `browsable` table shows, by name: the target, where there is one, before the generated crystal."""
    target = {} if line["target"] is None else {"target": line["target"]}
    return target | {("crystal" if line["made_by"] == DATA else "generated"): line["crystal"]}


def _generated(label: str, samples: pd.DataFrame, verdicts: pd.DataFrame, by_id: dict) -> pd.DataFrame:
    samples = find_space_groups(samples)
    if "target_id" not in verdicts:
        return _lines(label, samples, np.nan, [None] * len(samples), [None] * len(samples))
    matched = verdicts[verdicts["sampled"]].set_index("sample_id")["matched"].reindex(samples["id"])
    targets = [by_id.get(name) for name in samples["target_id"]]
    energies = [np.nan if target is None else target["formation_energy_per_atom"] for target in targets]
    return _lines(label, samples, energies, [None if pd.isna(verdict) else bool(verdict) for verdict in matched], targets)


def _lines(made_by: str, crystals: pd.DataFrame, energies, matched: list, targets: list) -> pd.DataFrame:
    rows = [row for _, row in crystals.iterrows()]
    columns = (made_by, crystals["formula"].to_numpy(), crystals["space_group"].array, np.asarray(energies, float))
    table = pd.DataFrame(dict(zip(COLUMNS[:4], columns, strict=True)), index=range(len(rows)))
    objects = {"matched": matched, "crystal": rows, "target": targets}
    return table.assign(**{name: pd.Series(values, dtype=object) for name, values in objects.items()})
