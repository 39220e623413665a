"""Tables for readers: values with their intervals, written as CSV, Markdown, LaTeX and JSON."""

import json
import math
from pathlib import Path

import pandas as pd

from crystalgen.report.style import baseline_phrase, model_label, model_order

METRICS = {
    "match_rate": "Match rate",
    "match_rate_csp": "Match rate (0.3/0.5/10)",
    "structure_validity": "Structure validity",
    "composition_validity": "Composition validity",
    "coverage_recall": "Coverage, recall",
    "coverage_precision": "Coverage, precision",
    "amsd_recall": "Nearest structure (AMSD), recall",
    "amsd_precision": "Nearest structure (AMSD), precision",
    "amcd_recall": "Nearest composition (AMCD), recall",
    "amcd_precision": "Nearest composition (AMCD), precision",
    "wasserstein_density": "Density, Wasserstein (g/cm³)",
    "wasserstein_elements": "Elements, Wasserstein",
}
MEASURES = {
    "match_rate_valid": "Matched and valid",
    "match_rate_x2": "Match rate, ×2",
    "match_rate_x5": "Match rate, ×5",
    "rmse": "RMSE of the matched",
    "metre": "METRe",
    "crmse": "cRMSE",
}
SYMMETRY = {"p1_0.01": "P1 at 0.01 Å", "p1_0.1": "P1 at 0.1 Å", "unique": "Unique", "novel": "Novel"}
OURS = "Ours [95 % interval]"
HEADLINE_COLUMNS = ("Model", "Metric", OURS, "n", "Seeds", "Paper", "Paper's data", "Note")
HEADLINE_NAME = "00-headline"  # of its files; the report shows it first, and not among the other tables
_TASKS = ("generation", "modification", "composition")
_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
_TEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def metric_label(metric: str) -> str:
    """What a reader calls a metric; an unknown one by its name."""
    name, _, samples = metric.rpartition("_")
    if name in METRICS and samples.isdigit():
        return f"{METRICS[name]}, best of {samples}"
    return METRICS.get(metric, metric.replace("_", " "))


def spoken(table: pd.DataFrame) -> pd.DataFrame:
    """The table with words for column names."""
    return table.rename(columns=lambda name: name.replace("_", " "))


def format_interval(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """`0.612 [0.58, 0.64]`: `digits` significant digits, at the ends without trailing zeros; `–` if unknown."""
    ours = _number(value, digits, padded=True)
    if not _known(low, high):
        return ours
    return f"{ours} [{_number(low, digits)}, {_number(high, digits)}]"


def format_seeds(row: dict, digits: int = 3) -> str:
    """`3: 0.550–0.583`, the number of training seeds and the range of their values; `1`; `–` where nothing was trained."""
    by_seed = row.get("by_seed") or []
    if row.get("baseline") or not by_seed:
        return "–"
    if len(by_seed) == 1:
        return "1"
    return f"{len(by_seed)}: {_number(min(by_seed), digits, padded=True)}–{_number(max(by_seed), digits, padded=True)}"


def write_table(frame: pd.DataFrame, folder: Path, name: str, caption: str, note: str = "") -> Path:
    """Write `name`.csv (full values), .md, .tex and .json (as shown); return the CSV's path.

    The JSON holds name, caption, note, columns and rows of strings; the report is made from it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    columns = [str(column) for column in frame.columns]
    rows = [[_shown(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    frame.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    card = {"name": name, "caption": caption, "note": note, "columns": columns, "rows": rows}
    texts = {
        "md": _markdown(columns, rows, caption, note),
        "tex": _latex(columns, rows, name, caption, note),
        "json": json.dumps(card, indent=1, ensure_ascii=False) + "\n",
    }
    for suffix, text in texts.items():
        (folder / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    return folder / f"{name}.csv"


def headline_table(metrics: dict, reference: dict) -> pd.DataFrame:
    """Our values beside the papers', with a verdict against the baselines of the same task.

    Args:
        metrics: `<row>.<metric>` -> value, low, high (None where unknown), n, by_seed, task, baseline (bool), ...;
            `library.*` is left out.
        reference: the same keys -> value, where (e.g. `B, Table 1`) and data (the paper's data set).

    Returns:
        strings in the columns `HEADLINE_COLUMNS`; match rates first, by task, and models before baselines.
    """
    secondary = {*MEASURES, *SYMMETRY}  # in tables of their own
    keys = [key for key in metrics if key.split(".", 1)[0] != "library" and key.split(".", 1)[1] not in secondary]
    rows = []
    for key in sorted(keys, key=lambda key: _headline_order(key, metrics[key])):
        model, _, metric = key.partition(".")
        ours, paper = metrics[key], reference.get(key)
        rows.append(
            [
                model_label(model),
                metric_label(metric),
                format_interval(ours["value"], ours.get("low"), ours.get("high")),
                _shown(ours.get("n")),
                format_seeds(ours),
                f"{_number(paper['value'], 4)} ({paper['where']})" if paper else "",
                paper["data"] if paper else "",
                baseline_verdict(key, metrics) if metric == "match_rate" else "",
            ]
        )
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))


def measures_table(metrics: dict, task: str, names: dict[str, str]) -> pd.DataFrame:
    """The rows of a task, a column for each measure; strings, `–` where a row has none.

    Args:
        metrics: see `headline_table`.
        task: generation, modification or composition.
        names: measure -> heading, such as `MEASURES`.
    """
    rows = [key.removesuffix(".match_rate") for key, row in metrics.items() if key.endswith(".match_rate") and row["task"] == task]
    rows = sorted(rows, key=lambda name: (bool(metrics[f"{name}.match_rate"]["baseline"]), model_order(name)))
    lines = []
    for name in rows:
        found = [metrics.get(f"{name}.{measure}") for measure in ("match_rate", *names)]
        cells = [format_interval(row["value"], row["low"], row["high"]) if row else "–" for row in found]
        lines.append([model_label(name), *cells, str(metrics[f"{name}.match_rate"]["n"]), format_seeds(metrics[f"{name}.match_rate"])])
    return pd.DataFrame(lines, columns=["Method", "Match rate", *names.values(), "n", "Seeds"])


MEASURES_NOTE = (
    "Match rate: StructureMatcher with its default tolerances 0.2/0.3/5 (lengths, sites, angles), as the papers have it; ×2 and ×5 with "
    "wider ones, at which crystals match that nobody would call alike. Matched and valid: and no two atoms closer than 0.5 Å. RMSE: mean "
    "displacement of the matched, in units of (volume / sites)^(1/3). METRe: share of the targets that any sample matches, whichever "
    "target it was asked for, so that a polymorph is no failure; cRMSE: its displacement, with the tolerance of sites for the unmatched."
)


def steps_table(rates: pd.DataFrame) -> pd.DataFrame:
    """The rates of `experiments.sampler_steps` for readers: a line per number of steps, a column per way to sample; strings."""
    rates = rates.assign(shown=[format_interval(r.value, r.low, r.high) for r in rates.itertuples()])
    wide = rates.pivot_table(index="steps", columns="row", values="shown", aggfunc="first").fillna("–")
    wide = wide[sorted(wide.columns, key=model_order)].rename(columns=model_label)
    return wide.rename_axis(columns=None).reset_index().rename(columns={"steps": "Steps"}).astype(str)


def baseline_verdict(key: str, metrics: dict) -> str:
    """How a model's value compares with each baseline of its task, e.g. `above returning the input; below template substitution`.

    Empty for a baseline, and where the task has none.
    """
    ours, metric = metrics[key], key.rpartition(".")[2]
    if ours.get("baseline"):
        return ""
    relations: dict[str, list[str]] = {}
    for other, theirs in sorted(metrics.items(), key=lambda item: model_order(item[0].rpartition(".")[0])):
        row, _, name = other.rpartition(".")
        if name == metric and theirs.get("baseline") and theirs.get("task") == ours.get("task"):
            relations.setdefault(_relation(ours, theirs), []).append(baseline_phrase(row))
    return "; ".join(f"{relation} {' and '.join(names)}" for relation, names in relations.items())


def _headline_order(key: str, row: dict) -> tuple:
    model, _, metric = key.partition(".")
    rank = list(METRICS).index(metric) if metric in METRICS else len(METRICS)
    task = _TASKS.index(row["task"]) if row.get("task") in _TASKS else len(_TASKS)
    return rank, metric, task, bool(row.get("baseline")), model_order(model)


def _relation(ours: dict, theirs: dict) -> str:
    """Level only where each value lies in the other's 95 % interval: intervals that merely touch would flatter a loser."""
    if not _known(ours.get("low"), ours.get("high"), theirs.get("low"), theirs.get("high")):
        return "not compared (an interval is missing) with"
    if theirs["low"] <= ours["value"] <= theirs["high"] and ours["low"] <= theirs["value"] <= ours["high"]:
        return "level with"
    return "above" if ours["value"] > theirs["value"] else "below"


def _known(*values) -> bool:
    return all(value is not None and not math.isnan(value) for value in values)


def _number(value: float | None, digits: int, padded: bool = False) -> str:
    if not _known(value):
        return "–"
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".rstrip(".") if padded else f"{value:.{digits}g}"


def _shown(value) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return _number(value, 4) if isinstance(value, float) else str(value)


def _markdown(columns: list[str], rows: list[list[str]], caption: str, note: str) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    body = "\n".join("| " + " | ".join(_one_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{caption}\n\n{body}\n" + (f"\n{note}\n" if note else "")


def _latex(columns: list[str], rows: list[list[str]], name: str, caption: str, note: str) -> str:
    lines = [" & ".join(_tex(cell) for cell in line) + r" \\" for line in (columns, *rows)]
    parts = [
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{{'l' * len(columns)}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *([rf"\par\smallskip\footnotesize {_tex(note)}"] if note else []),
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())
