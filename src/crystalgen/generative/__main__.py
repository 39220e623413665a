"""`python -m crystalgen.generative`: one training job where no pipeline is, such as a machine with GPUs that has torch but no chemistry.

It takes a study's file and the file of tensors that the stage `representations` wrote, and leaves the weights, the curve and a card as the
stage `train` does; `accelerate launch -m crystalgen.generative ...` shares each batch among several GPUs.
"""

import argparse
import csv
import platform
from pathlib import Path

import torch
from accelerate import PartialState

from crystalgen.config import read_study
from crystalgen.generative.jobs import run_job, save_job, training_facts
from crystalgen.utils.files import file_hash, write_json


def main(arguments: list[str] | None = None) -> int:
    """Train every seed of one model of a study; a killed job, started again, goes on."""
    parser = argparse.ArgumentParser(prog="python -m crystalgen.generative", description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="studies/NAME/study.yaml")
    parser.add_argument("model", help="one of the study's")
    parser.add_argument("tensors", type=Path, help="data/processed/NAME/tensors/matrix.safetensors or unimat.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="for weights/SEED.safetensors, curve.csv and card.json; models/NAME/MODEL")
    options = parser.parse_args(arguments)
    models = read_study(options.study).models
    if options.model not in models:
        parser.error(f"{options.study}: has no model '{options.model}'; expected one of {list(models)}")
    model, checkpoints = models[options.model], options.out / "checkpoints"
    trained = run_job(model, options.tensors, checkpoints)
    if not PartialState().is_main_process:
        return 0
    with _written(options.out / "curve.csv") as file:
        rows = [entry | {"seed": run.seed} for run in trained for entry in run.curve]
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    card = {
        "model": options.model,
        "study": options.study.resolve().parent.name if options.study.name == "study.yaml" else options.study.stem,
        **training_facts(model, trained),
        "gpus": PartialState().num_processes if torch.cuda.is_available() else 0,
        "hardware": {"machine": platform.machine(), "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None},
        "data_sha256": file_hash(options.tensors),
        "versions": {"torch": torch.__version__},
    }
    write_json(card, options.out / "card.json")
    save_job(trained, options.out / "weights", checkpoints)
    print(options.out)
    return 0


def _written(path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", newline="")


if __name__ == "__main__":
    raise SystemExit(main())
