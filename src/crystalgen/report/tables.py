"""Tables for readers: values with their intervals, written as CSV and Markdown, those of the papers as LaTeX too."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from crystalgen.crystals.columns import axis_label
from crystalgen.metrics.catalogue import metric
from crystalgen.report.labels import labelled, ordered, within_sentence

TASKS = {"generation": "generation", "modification": "modification", "composition": "csp", None: "dng"}
UNKNOWN = "–"


def spoken(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with labels and units for column names."""
    return table.rename(columns=axis_label)


def format_interval(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """Return `0.612 [0.58, 0.64]`: `digits` significant digits, at the ends without trailing zeros; `–` if unknown."""
    shown = _number(value, digits, padded=True)
    return f"{shown} [{_number(low, digits)}, {_number(high, digits)}]" if _known(low, high) else shown


def format_seeds(found: dict) -> str:
    """Return `3: 0.550–0.583`, the number of training seeds and the range of their values; `1`; `–` where nothing was trained."""
    by_seed = found.get("by_seed") or []
    if found.get("baseline") or not by_seed:
        return UNKNOWN
    return f"{len(by_seed)}: {_number(min(by_seed), 3, True)}–{_number(max(by_seed), 3, True)}" if len(by_seed) > 1 else "1"


def as_shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table as strings: four significant digits, `–` for what is unknown."""
    return pd.DataFrame({str(name): frame[name].astype(object).map(_shown) for name in frame}, dtype=str)


def write_table(frame: pd.DataFrame, folder: Path, name: str, caption: str, note: str = "", latex: bool = False) -> Path:
    """Write `name`.csv (full values), `name`.md (as shown) and, with `latex`, `name`.tex; return the CSV's path."""
    folder, shown = Path(folder), as_shown(frame)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    body = shown.replace(r"\|", r"\\|", regex=True).to_markdown(index=False, disable_numparse=True)
    parts = [caption, body, note] if note else [caption, body]
    (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if latex:
        text = shown.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
        caption = pd.Series([caption]).replace({r"([&%#_])": r"\\\1"}, regex=True)[0]
        text.to_latex(folder / f"{name}.tex", caption=caption, label=f"tab:{name}", hrules=True, encoding="utf-8")
    return folder / f"{name}.csv"


def results_table(metrics: dict, labels: dict[str, str], rows: Iterable[str], names: Iterable[str],
                  published: Mapping[str, dict] | None = None) -> pd.DataFrame:  # fmt: skip
    """Return a line per row and a column per metric, then lines of single values such as published ones.

    Args:
        metrics: `<row>.<metric>` -> value, low, high (None where unknown), n, by_seed, task, baseline (bool), ...
        labels: of the rows (see `labels.row_labels`), in the order shown.
        rows: which ones.
        names: of the metrics, of `metrics.catalogue`; one that no line has makes no column.
        published: by method, values by metric.

    Returns:
        strings in the columns Method, the metrics' headings, n and Seeds.
    """
    published, rows = published or {}, ordered(rows, labels)
    known = {key.partition(".")[2] for key in metrics if key.partition(".")[0] in rows}.union(*published.values())
    names, lines = [name for name in names if name in known], []
    for row in rows:
        found = [metrics.get(f"{row}.{name}") for name in names]
        first = next(filter(None, found), {})
        cells = [format_interval(one["value"], one["low"], one["high"]) if one else UNKNOWN for one in found]
        lines.append([labels.get(row, row), *cells, _shown(first.get("n")), format_seeds(first)])
    for method, values in published.items():
        lines.append([method, *(_shown(values.get(name)) for name in names), "", ""])
    return pd.DataFrame(lines, columns=["Method", *(metric(name).heading for name in names), "n", "Seeds"])


def rows_of_task(metrics: dict, task: str | None) -> list[str]:
    """Return the rows whose samples were asked for the task."""
    return list(dict.fromkeys(key.partition(".")[0] for key, found in metrics.items() if "task" in found and found["task"] == task))


def headline_table(metrics: dict, labels: dict[str, str], reference: dict) -> pd.DataFrame:
    """Return a line per row of the study: its task, match rate and validity, beside the papers' values and the baselines.

    Args:
        metrics, labels: see `results_table`; `library.*` is left out.
        reference: `<row>.<metric>` -> value, where (e.g. `B, Table 1`) and data (the paper's data set).
    """
    parts = []
    for task, name in TASKS.items():
        rows = ordered(rows_of_task(metrics, task), labels)
        if rows:
            table = results_table(metrics, labels, rows, ("match_rate", "structure_validity", "composition_validity"))
            table.insert(1, "Task", name)
            table["Paper"] = [paper_value(row, reference) for row in rows]
            table["Beside the baselines"] = [baseline_verdict(row, metrics, labels) for row in rows]
            parts.append(table)
    if not parts:
        return pd.DataFrame(columns=["Method", "Task", "n", "Seeds", "Paper"])
    whole = pd.concat(parts, ignore_index=True).fillna(UNKNOWN)
    last = [name for name in ("n", "Seeds", "Paper", "Beside the baselines") if (whole[name] != "").any()]
    return whole[[name for name in whole if name not in ("n", "Seeds", "Paper", "Beside the baselines")] + last]


def paper_value(row: str, reference: dict) -> str:
    """Return the papers' value of a row, its match rate or validity, with where it stands and the data that it is of."""
    for name in ("match_rate", "match_rate_csp", "structure_validity"):
        if found := reference.get(f"{row}.{name}"):
            what = "" if name == "match_rate" else f"{metric(name).label.lower()}, "
            data = "" if found["data"] in found["where"] else f", {found['data']}"
            return f"{_number(found['value'], 4)} ({what}{found['where']}{data})"
    return ""


def baseline_verdict(row: str, metrics: dict, labels: dict[str, str]) -> str:
    """Compare a row's match rate with each baseline of its task, e.g. `above random search; below template substitution`.

    A rate is level with another only where each lies in the other's 95 % interval: intervals that merely touch would flatter a
    loser. Empty for a baseline, and where the task has none.
    """
    ours = metrics.get(f"{row}.match_rate", {"baseline": True})
    relations: dict[str, list[str]] = {}
    for other in ordered((key.partition(".")[0] for key in metrics if key.endswith(".match_rate")), labels):
        theirs = metrics[f"{other}.match_rate"]
        if theirs.get("baseline") and not ours.get("baseline") and theirs.get("task") == ours.get("task"):
            relations.setdefault(_relation(ours, theirs), []).append(within_sentence(labels.get(other, other)))
    return "; ".join(f"{relation} {' and '.join(names)}" for relation, names in relations.items())


def steps_table(rates: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """Return the rates of `experiments.sampler_steps` as strings: a line per number of steps, a column per way to sample."""
    shown = [format_interval(r.value, r.low, r.high) for r in rates.itertuples()]
    wide = rates.assign(shown=shown, row=labelled(rates["row"], labels)).pivot_table(
        index="steps", columns="row", values="shown", aggfunc="first", observed=True
    )
    wide.columns = wide.columns.astype(str)
    return wide.fillna(UNKNOWN).reset_index().rename(columns={"steps": "Steps"}).astype(str)


def ablation_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `experiments.ablation.run_ablation` as strings."""
    return pd.DataFrame(
        {
            "Variant": rows["model"],
            "Match rate [95 %]": [format_interval(r.match_rate, r.low, r.high) for r in rows.itertuples()],
            "By seed": [", ".join(f"{value:.3f}" for value in seeds) for seeds in rows["by_seed"]],
            "n": rows["n"].astype(str),
            "Parameters (M)": (rows["parameters"] / 1e6).map("{:.2f}".format),
            "MFLOP a sample": (rows["flops"] / 1e6).map("{:.1f}".format),
            "Training TFLOP": (rows["training_flops"] / 1e12).map("{:.1f}".format),
            "Steps": rows["steps"].astype(str),
            "Seconds": rows["seconds"].map("{:.0f}".format),
        }
    )


def _relation(ours: dict, theirs: dict) -> str:
    if not _known(ours.get("low"), ours.get("high"), theirs.get("low"), theirs.get("high")):
        return "not compared (an interval is missing) with"
    if theirs["low"] <= ours["value"] <= theirs["high"] and ours["low"] <= theirs["value"] <= ours["high"]:
        return "level with"
    return "above" if ours["value"] > theirs["value"] else "below"


def _known(*values) -> bool:
    return all(value is not None and not math.isnan(value) for value in values)


def _number(value: float | None, digits: int, padded: bool = False) -> str:
    if not _known(value):
        return UNKNOWN
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".rstrip(".") if padded else f"{value:.{digits}g}"


def _shown(value) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    return _number(value, 4) if isinstance(value, float) else str(value)
