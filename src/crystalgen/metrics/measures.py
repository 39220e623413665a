"""What a match rate does not say: other tolerances, valid samples alone, displacements, METRe; symmetry, repeats and copies."""

import numpy as np
import pandas as pd

from crystalgen.matching.match import FIVEFOLD, TWICE, Tolerances, match_cells, reduce_table
from crystalgen.matching.novelty import corrected_rms, nearest_of, unique_classes
from crystalgen.metrics.proxy import validity_rate
from crystalgen.metrics.symmetry import SYMPRECS, in_p1, space_groups
from crystalgen.utils.statistics import rate

WIDER = {"match_rate_x2": TWICE, "match_rate_x5": FIVEFOLD}


def asked_measures(crystals: pd.DataFrame, samples: pd.DataFrame, requests: pd.DataFrame, verdicts: pd.DataFrame, valid: pd.Series,
                   seeds: list[int], draws: int, place: dict) -> dict:  # fmt: skip
    """Of samples that were asked to be a crystal: match_rate_valid, match_rate_x2, match_rate_x5, rmse, metre, crmse.

    Args:
        crystals: with the targets.
        samples, requests: see `match_requests`; all seeds.
        verdicts: at B's tolerances, with `seed`.
        valid: whether each sample is a valid structure, by its id.
        seeds: of training.
        draws, place: see `statistics.rate`.
    """
    n = len(verdicts) // len(seeds)

    def rated(values: pd.Series, clusters: pd.Series, of_seed: pd.Series, count: int) -> dict:
        by_seed = values.astype(float).groupby(of_seed.to_numpy()).mean().reindex(seeds)
        return rate(values, clusters.to_numpy(str), draws, **place) | {"n": count, "by_seed": by_seed.round(6).tolist()}

    sound = verdicts["matched"] & (verdicts["sample_id"].map(valid) == True)  # noqa: E712  a lost sample has no entry
    found = {"match_rate_valid": rated(sound, verdicts["formula"], verdicts["seed"], n)}
    targets = crystals.set_index("id").loc[requests["target_id"].unique()].reset_index()
    cells = reduce_table(targets)
    of_seed = {seed: samples[samples["seed"] == seed] for seed in seeds}
    of_seed_cells = {seed: reduce_table(own) for seed, own in of_seed.items()}
    asked = requests.set_index("request")["target_id"].map(pd.Series(np.arange(len(targets)), index=targets["id"]))
    for name, tolerances in WIDER.items():
        parts = []
        for seed, own in of_seed.items():
            pairs = np.stack([asked.loc[own["request"]], np.arange(len(own))], axis=1)
            matched = match_cells(cells, of_seed_cells[seed], pairs, tolerances, with_rms=False)["matched"].to_numpy()
            rows = pd.Series(matched, index=own["request"].to_numpy()).reindex(asked.index, fill_value=False)  # lost ones do not match
            parts.append(pd.DataFrame({"matched": rows, "formula": targets["formula"].to_numpy()[asked], "seed": seed}))
        wider = pd.concat(parts, ignore_index=True)
        found[name] = rated(wider["matched"], wider["formula"], wider["seed"], n)
    matched = verdicts[verdicts["matched"]]
    if set(matched["seed"]) == set(seeds):
        found["rmse"] = rated(matched["rms"], matched["formula"], matched["seed"], len(matched) // len(seeds))
    parts = [nearest_of(cells, of_seed_cells[seed]).assign(seed=seed) for seed in seeds]
    everyone, formulas = pd.concat(parts, ignore_index=True), pd.concat([targets["formula"]] * len(seeds), ignore_index=True)
    found["metre"] = rated(everyone["matched"], formulas, everyone["seed"], len(targets))
    found["crmse"] = rated(corrected_rms(everyone, Tolerances()), formulas, everyone["seed"], len(targets))
    return found


def free_measures(samples: pd.DataFrame, training: pd.DataFrame, record: dict, draws: int, place: dict) -> tuple[dict, pd.DataFrame]:
    """Of samples of which nothing was asked: p1_0.01, p1_0.1, unique, novel; and the verdicts that they rest on, a row per sample.

    Repeats are looked for within each training seed's samples.

    Args:
        samples: crystals with `seed`.
        training: crystals that are not new.
        record, draws, place: see `proxy.validity_rate`.
    """
    verdicts = space_groups(samples).reset_index(drop=True)
    table = pd.DataFrame({"formula": samples["formula"].to_numpy(), "seed": samples["seed"].to_numpy()})
    cells = reduce_table(samples)
    whole = np.array([not isinstance(cell, str) for cell in cells], dtype=bool)
    unique = np.zeros(len(samples), dtype=bool)
    for seed in record["seeds"]:
        places = np.flatnonzero((table["seed"] == seed).to_numpy())
        unique[places] = unique_classes([cells[i] for i in places]) == np.arange(len(places))
    verdicts["unique"] = unique & whole
    verdicts["novel"] = ~nearest_of(cells, reduce_table(training), with_rms=False)["matched"].to_numpy(bool) & whole
    for symprec in SYMPRECS:
        verdicts[f"p1_{symprec:g}"] = in_p1(verdicts[f"space_group_{symprec:g}"])
    names = [*(f"p1_{symprec:g}" for symprec in SYMPRECS), "unique", "novel"]
    table = table.join(verdicts[names])
    return {name: validity_rate(table, name, record, draws, place) for name in names}, verdicts
