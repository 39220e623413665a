"""Asking for compounds by their formula: is the known ground state the first answer? Run: python benchmarks/ask.py DATA

DATA is a table or a folder with mp_20's crystals.parquet. Drawn are validation crystals on the hull whose reduced formula no training
row has. Told is the formula alone, not the size of the cell. Looked up are training rows alone; the shipped prototypes are made without
formulas of the validation split, the generator is trained on the training split. The shipped single points hold these compounds: their
energies place the hull, and they have no vote on their own space group. Judged is StructureMatcher at 0.3 / 0.5 / 10 degrees on primitive
cells.

Each compound's candidates, relaxed and rated, are kept in --work, so that a stopped run goes on; all rankings are computed from them.
Weights were fitted to two other draws, --seed 0 and --seed 2 (--compounds 120), kept in the same folder: --fit prints those that explain
best which of their candidates are right, and the rates of all kept compounds, each judged by weights that were fitted without it.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import binomtest

from crystalgen.crystals import read_crystals, write_crystals
from crystalgen.experiments.compounds import merging, ranking
from crystalgen.experiments.compounds.answer import Question, evaluated, proposed
from crystalgen.experiments.compounds.known_groups import group_votes
from crystalgen.experiments.compounds.sources import CORRECTOR, GENERATOR, PROTOTYPES, RETRIEVAL, element_distances
from crystalgen.matching.match import reduce_table
from crystalgen.matching.reduction import reduce_cell
from crystalgen.utils import paths
from crystalgen.utils.files import write_json
from crystalgen.utils.formulas import parse_composition

STABLE = 1e-4  # eV/atom above the hull
FITTED = {0: 100, 2: 120}  # compounds by seed that weights were fitted to
FOLDS = 8
UNIT = 0.03  # eV/atom: of energies beside logarithms
KINDS = {
    "": (PROTOTYPES, RETRIEVAL, CORRECTOR, GENERATOR),
    "shipped_alone.": (PROTOTYPES, GENERATOR),
    "prototypes.": (PROTOTYPES,),
    "retrieval.": (RETRIEVAL,),
    "corrector.": (CORRECTOR,),
    "generator.": (GENERATOR,),
}


def main() -> None:
    """Answer what is not answered yet, then print and write the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--compounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=3, help="weights were fitted to those of 0 and 2; others are drawn apart from these")
    parser.add_argument("--candidates", type=int, default=20, help="relaxed for each compound")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--work", type=Path, default=paths.INTERIM / "ask")
    parser.add_argument("--out", type=Path, default=paths.REPORTS / "generate" / "metrics.json")
    parser.add_argument("--fit", action="store_true", help="fit weights to the compounds of all seeds in --work")
    parser.add_argument("--report", action="store_true", help="report what is done, answer nothing")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.fit:
        files = {int(folder.name.partition("-")[2]): sorted(folder.glob("*.parquet")) for folder in sorted(args.work.glob("seed-*"))}
        return fit({seed: [voted(read_crystals(file)) for file in of_seed] for seed, of_seed in files.items()})
    table = read_crystals(args.data / "crystals.parquet" if args.data.is_dir() else args.data)
    training, targets = table[table["split"] == "train"].reset_index(drop=True), drawn(table, args.compounds, args.seed)
    folder = args.work / f"seed-{args.seed}"
    for _, target in targets.iterrows():
        if not (args.report or (folder / f"{target['id']}.json").exists()):
            print(one(target, training, args, folder), flush=True)
    done = [target for _, target in targets.iterrows() if (folder / f"{target['id']}.json").exists()]
    kept = [read_one(folder, target["id"]) for target in done]
    if kept:
        metrics = rates(done, kept, args)
        write_json(metrics, args.out)
        print(json.dumps(metrics, indent=1))


def drawn(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return stable validation crystals of formulas that no training row has, a draw; none is of two of the seeds 0, 2 and another."""
    training, val = table[table["split"] == "train"], table[table["split"] == "val"]
    unseen = val[~val["reduced_formula"].isin(set(training["reduced_formula"])) & (val["e_above_hull"] < STABLE)]
    unseen = unseen.drop_duplicates("reduced_formula").reset_index(drop=True)
    for fitted, size in FITTED.items():
        draw = unseen.sample(size, random_state=fitted)
        if seed == fitted:
            return draw.head(count)
        unseen = unseen.drop(draw.index)
    return unseen.sample(count, random_state=seed)


def one(target: pd.Series, training: pd.DataFrame, args: argparse.Namespace, folder: Path) -> str:
    """Answer one compound, and keep what came out."""
    wall, cpu, notes = time.perf_counter(), time.process_time(), []
    question = Question(target["reduced_formula"], args.candidates, steps=args.steps)
    candidates, _ = proposed(question, training, lambda text: None)
    goal = reduce_cell(target["lattice"], target["atomic_numbers"], target["frac_coords"])
    votes = group_votes(question.formula(), element_distances(), itself=False)
    merged, removed = merging.merge(candidates, args.candidates, votes)
    found = evaluated(merged, question, votes, notes, lambda text: None)
    spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    proposed_right = [merging.same_crystal(cell, goal) for cell in reduce_table(candidates, workers=1)]
    found = found.assign(right=[merging.same_crystal(cell, goal) for cell in reduce_table(found, workers=1)])
    write_crystals(found.assign(source="ask"), folder / f"{target['id']}.parquet")
    write_json(
        {**spent, "proposed": len(candidates), "right": int(sum(proposed_right)), "removed": removed}, folder / f"{target['id']}.json"
    )
    first = ranking.ranked(found)
    return f"{target['reduced_formula']}: right at {np.flatnonzero(first['right'])[:1]} of {len(first)}, {spent['seconds']:.0f} s"


def read_one(folder: Path, name: str) -> tuple[pd.DataFrame, dict]:
    """Return a compound's candidates, and what is known of the run."""
    return read_crystals(folder / f"{name}.parquet"), json.loads((folder / f"{name}.json").read_text())


def place_of_target(crystals: pd.DataFrame, sources: tuple[str, ...], energies: bool = True) -> int:
    """Return where the known crystal stands among the candidates of some sources, 0 is first; 999 where it is not."""
    own = crystals[[not set(sources).isdisjoint(given.split(", ")) for given in crystals["sources"]]].reset_index(drop=True)
    if own.empty:
        return 999
    own = own.assign(prior=merging.prior(own, sources), energy_per_atom=own["energy_per_atom"] if energies else np.nan)
    right = np.flatnonzero(ranking.ranked(own)["right"])
    return int(right[0]) if len(right) else 999


def rates(targets: list[pd.Series], kept: list[tuple[pd.DataFrame, dict]], args: argparse.Namespace) -> dict:
    """Return metrics.json: values with 95 % intervals, and the failures."""
    metrics: dict = {}
    for name, sources in KINDS.items():
        for energies in (True, False):
            places = np.array([place_of_target(crystals, sources, energies) for crystals, _ in kept])
            for tries in (1, 5):
                low, high = binomtest(int((places < tries).sum()), len(places)).proportion_ci(method="wilson")
                key = f"generate.{name}{'' if energies else 'without_energies.'}top{tries}"
                metrics[key] = {"value": float((places < tries).mean()), "low": low, "high": high, "n": len(places)}
    places = [place_of_target(crystals, KINDS[""]) for crystals, _ in kept]
    for key in ("seconds", "cpu_seconds"):
        metrics[f"generate.{key}_median"] = {"value": float(np.median([facts[key] for _, facts in kept])), "n": len(kept)}
    failures = {}
    for target, (crystals, facts), place in zip(targets, kept, places, strict=True):
        if place:
            failures[target["formula"]] = why(crystals, facts, place)
    metrics["generate.failures"] = failures
    metrics["generate.settings"] = {"seed": args.seed, "candidates": args.candidates, "steps": args.steps}
    return metrics


def why(crystals: pd.DataFrame, facts: dict, place: int) -> str:
    """Say what kept the known crystal from the first place."""
    if place < 999:
        right, energies = crystals["right"], crystals["energy_per_atom"]
        higher = 1000 * (energies[right].min() - energies.min())
        return f"at place {place + 1}, {higher:.0f} meV/atom above the lowest candidate"
    return "proposed, not kept or relaxed away" if facts["right"] else "no source proposed it"


def fit(kept: dict[int, list[pd.DataFrame]]) -> None:
    """Print weights that make the right candidates likeliest, fitted to `FITTED`, and the rates of an eight-fold division of all compounds.

    kept: candidates of compounds, by seed.
    """
    for name, weighed in {"all": merging.WEIGHTS, "what ships": merging.ALONE}.items():
        for sources in (list(weighed), [source for source in weighed if source != merging.GROUPS]):
            given = [told(crystals, sources) for seed in FITTED for crystals in kept.get(seed, [])]
            *weights, energy = fitted(given).round(3)
            print(f"{name}: weights {dict(zip(sources, map(float, weights), strict=True))}, temperature {UNIT / energy:.3f} eV/atom")
            every = [told(crystals, sources) for of_seed in kept.values() for crystals in of_seed]
            places = np.full(len(every), 999)
            for fold in np.array_split(np.random.default_rng(0).permutation(len(every)), FOLDS):
                weights = fitted([every[one] for one in np.setdiff1d(np.arange(len(every)), fold)])
                for one in fold:
                    values, right = every[one]
                    places[one] = next(iter(np.flatnonzero(right[np.argsort(-(values @ weights), kind="stable")])), 999)
            rates = f"first {(places < 1).mean():.3f}, among five {(places < 5).mean():.3f}"
            print(f"  of {len(every)} compounds, each by weights fitted to others: {rates}", flush=True)


def voted(crystals: pd.DataFrame) -> pd.DataFrame:
    """Return a compound's candidates with the votes of known compounds as they are counted now."""
    formula = parse_composition(crystals["reduced_formula"].iloc[0])
    return merging.with_prior(crystals, group_votes(formula, element_distances(), itself=False))


def told(crystals: pd.DataFrame, sources: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what decides between the candidates, a column for each source and one of energies, and which are right, (n,).

    Where nothing is looked up, candidates are those of the sources alone.
    """
    own = crystals if merging.CORRECTOR in sources else crystals[[not set(sources).isdisjoint(s.split(", ")) for s in crystals["sources"]]]
    logarithms = [np.log(own[merging.EVIDENCE[source]] + merging.FLOOR) for source in sources if source in merging.EVIDENCE]
    if merging.GROUPS in sources:
        logarithms.append(np.log(own["share_groups"].fillna(0.0) + merging.GROUP_FLOOR))
    energies = own["energy_per_atom"].to_numpy(float)
    heights = np.nan_to_num(energies - np.nanmin(energies, initial=np.inf), nan=ranking.UNKNOWN).clip(0, ranking.UNKNOWN)
    return np.stack([*logarithms, -heights / UNIT], axis=1), own["right"].to_numpy(bool)


def fitted(given: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the weights, none below zero, of a conditional logit with a ridge; compounds without a right candidate tell nothing."""

    def loss(weights: np.ndarray) -> float:
        scores = [(values @ weights, right) for values, right in given if right.any()]
        surprise = sum(np.logaddexp.reduce(score) - np.logaddexp.reduce(score[right]) for score, right in scores)
        return surprise + float((weights**2).sum())

    count = given[0][0].shape[1]
    return minimize(loss, np.full(count, 0.3), bounds=[(0, None)] * count).x


if __name__ == "__main__":
    main()
