"""Judge a trained generator of a study as the retrieval rows are: metrics as JSON, and seconds for each crystal.

`python benchmarks/generator_evaluation.py STUDY MODEL FOLDER TENSORS CRYSTALS OUT.json [--targets 2000]`; every way to sample that the
study names for the model is a row.
"""

import argparse
import time
from pathlib import Path

import pandas as pd

from crystalgen.config import Retrieval, load_study
from crystalgen.crystals import read_crystals
from crystalgen.experiments.generation_scores import by_consensus, generated_answers
from crystalgen.experiments.retrieval import Targets, describe_targets, score
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import TEST
from crystalgen.generative.jobs import load_data
from crystalgen.matching.match import reduce_table
from crystalgen.utils.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in {"study": str, "model": str, "folder": Path, "tensors": Path, "crystals": Path, "out": Path}.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("--rows", nargs="*", help="ways to sample; all of the study's without")
    parser.add_argument("--described", type=Path, required=True, help="a file that keeps what is known of the targets")
    parser.add_argument("--first", action="store_true", help="one crystal for each target, the most probable one")
    parser.add_argument("--targets", type=int, help="in place of the study's max_targets")
    options = parser.parse_args()
    settings, model = load_study(options.study).models[options.model], Model.load(options.folder)
    data, crystals = load_data(settings, options.tensors), read_crystals(options.crystals)
    training = crystals[crystals["split"] != "test"]
    metrics = {}
    for row in options.rows or settings.sampling:
        sampling = settings.sampling[row]
        if options.first:
            sampling = sampling.model_copy(update={"per_target": 1, "temperature": 0.0})
        if options.targets:
            sampling = sampling.model_copy(update={"max_targets": options.targets})
        start = time.perf_counter()
        found, targets, samples = generated_answers(model, data, crystals, sampling, row, TEST)
        seconds = time.perf_counter() - start
        judging = Retrieval(count=max(2, sampling.per_target))
        described = described_targets(training, targets, judging, options.described)
        answers = {row: found} | ({f"{row}_consensus": by_consensus(found, samples)} if sampling.per_target > 1 else {})
        for name, answer in answers.items():
            table, entries = score(name, answer, described, judging, 2000, f"samples of {row}")
            entries |= rates_by_size(name, table)
            entries[f"{name}.seconds_per_crystal"] = {"value": seconds / len(samples), "n": len(targets)}
            metrics |= {key: entry | {"baseline": False} for key, entry in entries.items()}
            write_json(metrics, options.out)
            for key, entry in entries.items():
                print(key, {part: round(entry[part], 4) for part in ("value", "low", "high", "n") if part in entry}, flush=True)


def described_targets(training: pd.DataFrame, targets: pd.DataFrame, judging: Retrieval, file: Path) -> Targets:
    """`describe_targets`, whose validity takes minutes, kept in a file for the next run."""
    known = pd.read_parquet(file) if file.is_file() else pd.DataFrame({"id": []})
    if not targets["id"].isin(known["id"]).all():
        found = describe_targets(training, targets, judging)
        pd.DataFrame({"id": targets["id"], "valid": found.valid, **found.held}).to_parquet(file)
        return found
    columns = known.set_index("id").loc[targets["id"]]
    held = {name: columns[name].to_numpy(bool) for name in columns if name != "valid"}
    return Targets(targets, reduce_table(targets), columns["valid"].to_numpy(bool), held)


def rates_by_size(row: str, table: pd.DataFrame) -> dict:
    """Match rate of the first crystal by the number of atoms."""
    sizes = pd.cut(table["nsites"], [0, 4, 8, 12, 16, 24])
    found = (table["first"] == 0).groupby(sizes, observed=True).agg(["mean", "size"])
    return {
        f"{row}.match_rate_csp_{int(size.left) + 1}_to_{int(size.right)}_atoms": {"value": rate, "n": int(count)}
        for size, rate, count in found.itertuples()
    }


if __name__ == "__main__":
    main()
