"""Which crystals a gallery shows: a draw by seed, never a selection of the best."""

import numpy as np
import pandas as pd

from crystalgen import paths
from crystalgen.crystals import read_crystals


def gallery_pairs(study: str, model: str, crystals: pd.DataFrame, count: int, seed: int = 0) -> list[dict]:
    """`count` targets with what the model generated for them, for `pictures.gallery`."""
    verdicts = pd.read_parquet(paths.evaluation(study, model) / "verdicts.parquet")
    verdicts = verdicts[verdicts["sampled"]].reset_index(drop=True)
    samples = read_crystals(paths.samples(study, model) / "crystals.parquet").set_index("target_id", drop=False)
    targets = crystals.set_index("id", drop=False)
    chosen = np.random.default_rng(seed).permutation(len(verdicts))[:count]
    return [
        {
            "title": targets.loc[row["target_id"], "formula"],
            "target": targets.loc[row["target_id"]],
            "generated": samples.loc[row["target_id"]],
            "matched": bool(row["matched"]),
        }
        for _, row in verdicts.iloc[np.sort(chosen)].iterrows()
    ]
