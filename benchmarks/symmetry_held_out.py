"""Give the shipped generator composition and space group of crystals of MP-20's validation split: match rate, free and exact.

`python benchmarks/symmetry_held_out.py OUT.csv [--targets 150] [--beside NAME=FOLDER ...]`; one crystal for each target, the most probable
one. Exact crystals are made on what the free crystal proposes, else on a known prototype of the group, else on a filling of its positions.
Further trained models are given the same scaffolds; and, as `NAME, fillings`, all models are given nothing but the likeliest filling of
the positions.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from crystalgen.baselines.distilled.store import shipped_prototypes
from crystalgen.chemistry.orbits import fillings
from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import read_crystals
from crystalgen.experiments.scaffolds import choose_scaffolds, letter_frequencies, proposed
from crystalgen.generative.checkpoint import Model
from crystalgen.matching.match import Tolerances, match_pairs
from crystalgen.represent.canonical import ordered_numbers
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.represent.scaffold import filled
from crystalgen.utils import paths

CSP = Tolerances(0.3, 0.5, 10, True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--targets", type=int, default=150)
    parser.add_argument("--beside", nargs="*", default=[], help="NAME=FOLDER of models trained by the study mp_20_orbits")
    options = parser.parse_args()
    model = Model.load(Path("data/shipped/mp_20_generator/models/generator"))
    sampling = model.settings.sampling["generator_space_group"].model_copy(update={"per_target": 1, "temperature": 0.0})
    table = read_crystals(paths.RAW / "mp_20" / "crystals.parquet")
    table = table[(table["split"] == "val") & table["space_group"].isin(model.codec.seen.known_groups)]
    drawn = table.sample(options.targets, random_state=0)
    fits = [bool(fillings(z, int(group), most=1)) for z, group in zip(drawn["atomic_numbers"], drawn["space_group"], strict=True)]
    print(f"{len(drawn) - sum(fits)} of {len(drawn)} targets left out: their group at 0.1 Å has no positions for their atoms")
    targets = drawn[fits].reset_index(drop=True)
    told = pd.DataFrame({"atomic_numbers": [ordered_numbers(z) for z in targets["atomic_numbers"]], "place": range(len(targets)),
                         "space_group": targets["space_group"].astype(int), "formation_energy_per_atom": 0.0})  # fmt: skip
    start = time.process_time()
    free, _ = generate_for_conditions(model, told, sampling, "free")
    middle = time.process_time()
    models = {"exact": model} | {name: Model.load(Path(folder)) for name, folder in (entry.split("=") for entry in options.beside)}
    prototypes, scaffolds, bare, from_network = shipped_prototypes(), [], [], 0
    for place, (numbers, group) in enumerate(zip(told["atomic_numbers"], told["space_group"], strict=True)):
        proposals = proposed(free[free["place"] == place], group)
        from_network += bool(proposals)
        scaffolds += choose_scaffolds(numbers, group, 1, prototypes, proposals=proposals)
        way = fillings(numbers, int(group), letter_frequencies(int(group), prototypes), most=1)[0]
        bare.append(filled(int(group), way, np.random.default_rng(place), float(prototypes.volumes[numbers].sum())))
    rows = [judged(free, targets, "free") | {"seconds": round(middle - start, 1)}]
    for name, other in models.items():
        for row, kept in ((name, scaffolds), (f"{name}, fillings", bare))[: 2 if options.beside else 1]:
            begun = time.process_time()
            exact, _ = generate_for_conditions(other, told, sampling, row, scaffolds=kept)
            rows.append(judged(exact, targets, row) | {"seconds": round(time.process_time() - begun, 1)})
    pd.DataFrame(rows).to_csv(options.out, index=False, lineterminator="\n")
    print(pd.DataFrame(rows).to_string(index=False), f"\n{from_network} of {len(told)} scaffolds are proposals", sep="")


def judged(made: pd.DataFrame, targets: pd.DataFrame, name: str) -> dict:
    """Match rate, RMSE, and the shares of crystals in the group that was asked for, and in P1."""
    verdicts = match_pairs(made.reset_index(drop=True), targets.iloc[made["place"]].reset_index(drop=True), CSP, workers=1)
    groups = find_space_groups(made, 0.01)["space_group"].to_numpy(int, na_value=0)
    asked = made["asked_space_group"].to_numpy(int)
    return {"row": name, "n": len(targets), "matched": int(verdicts["matched"].sum()), "rmse": round(float(np.nanmean(verdicts["rms"])), 4),
            "asked": int((groups == asked).sum()), "p1": int((groups == 1).sum())}  # fmt: skip


if __name__ == "__main__":
    main()
