"""Say what failed or is missing in a study, in sentences for its report."""

import json
from collections.abc import Callable

from crystalgen.config import load_study
from crystalgen.metrics.study_results import Row, row_files, study_rows
from crystalgen.utils import paths


def shortfalls(study: str, metrics: dict, label: Callable[[str], str] = str) -> list[str]:
    """Say what failed and what is missing, in sentences: rows below a baseline of their task, lost samples, what was left out.

    label: what a reader calls a row.
    """
    config = load_study(study)
    rates = {key.removesuffix(".match_rate"): row for key, row in metrics.items() if key.endswith(".match_rate")}
    sentences = [f"{label(name)}: not evaluated." for name in study_rows(config) if f"{name}.structure_validity" not in metrics]
    drawn = []
    for name, ours in rates.items():
        rivals = {label(other): theirs for other, theirs in rates.items() if theirs["baseline"] and theirs["task"] == ours["task"]}
        if not ours["baseline"]:
            sentences += _below(label(name), ours, rivals)
            most = max((theirs["n"] for theirs in rivals.values()), default=0)
            drawn += [f"{label(name)} ({ours['n']} of {most})"] if ours["n"] < most else []
    if drawn:
        sentences.append(f"Asked for a draw of the test items that their baselines were asked for: {'; '.join(drawn)}.")
    for name, row, file in row_files(study, paths.samples, "record.json"):
        sentences += _lost(label(name), row, json.loads(file.read_text()))
    sentences += _unseen(metrics, label)
    sentences += _spread(metrics, label)
    if elements := config.representations.unimat_elements:
        sentences.append(f"UniMat was trained on the crystals of {', '.join(elements)} only.")
    if (paths.ROOT / config.data.path).is_relative_to(paths.LIBRARY):
        sentences.append("Energies are those of a machine-learned potential, not of density-functional theory.")
    return sentences


def _lost(name: str, row: Row, record: dict) -> list[str]:
    sentences = [
        f"{name}: {count} of {record['requested']} samples could not be decoded ({reason}); they count as failures."
        for reason, count in record["rejected"].items()
    ]
    if missing := record["requested"] - record["decoded"] - sum(record["rejected"].values()):
        why = "targets have no template" if row.baseline else "samples are missing"
        sentences.append(f"{name}: {missing} of {record['requested']} {why}; they count as failures.")
    return sentences


def _unseen(metrics: dict, label: Callable[[str], str]) -> list[str]:
    """Samples that have no fingerprint."""
    found = {key.split(".")[0]: row for key, row in metrics.items() if key.endswith(".coverage_precision") and row["failed"]}
    return [
        f"{label(name)}: {row['failed']} of {row['n'] * len(row['seeds'])} samples have no fingerprint; they count as not covered."
        for name, row in found.items()
    ]


def _below(name: str, ours: dict, rivals: dict[str, dict]) -> list[str]:
    """A model's match rate beside the baselines of its task that are better."""
    better = {other: theirs for other, theirs in rivals.items() if theirs["value"] > ours["value"]}
    if not better:
        return []
    against = " and ".join(f"{other} ({theirs['value']:.3f})" for other, theirs in better.items())
    baselines = f"the {ours['task']} baseline{'s' if len(better) > 1 else ''}"
    return [f"{name}: matches less often ({ours['value']:.3f}, n = {ours['n']}, {_seeds(ours)}) than {baselines} {against}."]


def _seeds(row: dict) -> str:
    by_seed = row["by_seed"]
    return f"{len(by_seed)} seeds from {min(by_seed):.3f} to {max(by_seed):.3f}" if len(by_seed) > 1 else "one seed"


def _spread(metrics: dict, label: Callable[[str], str]) -> list[str]:
    """How far the training seeds of one row lie apart, and which rows have but one."""
    trained = {key: row for key, row in metrics.items() if not row.get("baseline", True)}  # counts of the data have no such key
    repeated = {key: row["by_seed"] for key, row in trained.items() if key.endswith(".match_rate") and len(row["seeds"]) > 1}
    single = dict.fromkeys(key.split(".")[0] for key, row in trained.items() if len(row["seeds"]) == 1)
    sentences = []
    if repeated:
        widest = max(repeated, key=lambda key: max(repeated[key]) - min(repeated[key]))
        low, high = min(repeated[widest]), max(repeated[widest])
        sentences.append(
            f"Rates are means over training seeds; between the seeds of one row the match rate differs by up to {high - low:.3f} "
            f"({label(widest.removesuffix('.match_rate'))}: {low:.3f} to {high:.3f})."
        )
    sentences += [f"{label(name)}: one training seed only." for name in single]
    sentences.append("The 95 % intervals cover the choice of formulas, not of the training seed.")
    return sentences
