"""Which crystals a gallery shows: by a draw or the first of each kind, never a selection of the best."""

import numpy as np
import pandas as pd

from crystalgen.config import load_study
from crystalgen.crystals import read_crystals
from crystalgen.matching.mismatch import explain_verdicts
from crystalgen.utils import paths


def best_row(metrics: dict, task: str) -> str:
    """Return the way to sample, of a model for the task, with the highest match rate.

    Raises:
        ValueError: no model was evaluated for the task.
    """
    rates = {
        key.removesuffix(".match_rate"): found["value"]
        for key, found in metrics.items()
        if key.endswith(".match_rate") and found["task"] == task and not found["baseline"]
    }
    if not rates:
        raise ValueError(f"no match rate of a model for {task}; expected the evaluation of at least one")
    return max(rates, key=rates.get)


def gallery_items(study: str, row: str, crystals: pd.DataFrame, count: int, seed: int = 0) -> list[dict]:
    """Draw `count` targets with what the row's first training seed generated for them, for `structures.gallery`."""
    folder = load_study(study).model_of(row)
    verdicts = pd.read_parquet(paths.evaluation(study, folder) / row / "verdicts.parquet")
    first = verdicts["seed"].iloc[0]
    verdicts = verdicts[verdicts["sampled"] & (verdicts["seed"] == first)]
    verdicts = verdicts.drop_duplicates(["target_id", *(["input_id"] if "input_id" in verdicts else [])])
    samples = read_crystals(paths.samples(study, folder) / row / "crystals.parquet")
    generated = samples[samples["seed"] == first].set_index("request", drop=False)
    by_id = crystals.set_index("id", drop=False)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(verdicts))[:count])
    items = []
    for _, verdict in verdicts.iloc[drawn].iterrows():
        shown = {"input": by_id.loc[verdict["input_id"]]} if "input_id" in verdict else {}
        shown |= {"target": by_id.loc[verdict["target_id"]], "generated": generated.loc[verdict["request"]]}
        items.append({"title": verdict["formula"], "crystals": shown, "matched": bool(verdict["matched"])})
    return items


def verdict_items(verdicts: pd.DataFrame, samples: pd.DataFrame, crystals: pd.DataFrame, each: int) -> list[dict]:
    """Return the first `each` samples that match their targets and as many that do not, for `structures.gallery`, with `why`."""
    sampled = verdicts[verdicts["sampled"].astype(bool)]
    chosen = pd.concat([part.head(each) for part in (sampled[sampled["matched"]], sampled[~sampled["matched"]])])
    generated = samples.set_index("id", drop=False).loc[chosen["sample_id"]].reset_index(drop=True)
    targets = crystals.set_index("id", drop=False).loc[chosen["target_id"]].reset_index(drop=True)
    columns = chosen["formula"], chosen["matched"], targets.iterrows(), generated.iterrows(), explain_verdicts(generated, targets)
    return [
        {"title": formula, "crystals": {"target": target, "generated": sample}, "matched": bool(matched), "why": why}
        for formula, matched, (_, target), (_, sample), why in zip(*columns, strict=True)
    ]


def formula_pairs(samples: pd.DataFrame, reference: pd.DataFrame, count: int) -> list[dict]:
    """Return generated crystals of a composition that real ones have too, each beside a real one, for `structures.gallery` (A Fig. 3).

    The first of each composition in the order of sampling; none are chosen by their looks.
    """
    known = reference.drop_duplicates("formula").set_index("formula", drop=False)
    found = samples[samples["formula"].isin(known.index)].drop_duplicates("formula").head(count)
    return [
        {"title": row["formula"], "crystals": {"real": known.loc[row["formula"]], "generated": row}, "matched": None}
        for _, row in found.iterrows()
    ]
