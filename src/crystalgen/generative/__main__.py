"""`python -m crystalgen.generative`: one training job where no pipeline is, such as a machine with GPUs that has torch but no chemistry.

It takes a model's settings and the file of tensors that the stage `representations` wrote, and leaves the trained model, the
curve and a card as the stage `train` does; `accelerate launch -m crystalgen.generative ...` shares each batch among several GPUs.
"""

import argparse
import csv
import platform
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from crystalgen.generative.jobs import data_hash, run_job, save_job, training_facts
from crystalgen.generative.settings import read_model
from crystalgen.utils.files import atomic, write_json


def main(arguments: list[str] | None = None) -> int:
    """Train every seed of one model; a killed job, started again, goes on."""
    parser = argparse.ArgumentParser(prog="python -m crystalgen.generative", description=__doc__.splitlines()[0])
    parser.add_argument("settings", type=Path, help="a model's settings, YAML or JSON; or, with MODEL, a study's file")
    parser.add_argument("model", nargs="?", help="one of the study's models")
    parser.add_argument(
        "tensors", type=Path, help="data/processed/NAME/tensors/matrix.safetensors or unimat.safetensors, or a folder of shards"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model, curve.csv and card.json")
    parser.add_argument("--start", type=Path, help="a trained model's folder, whose weights training goes on from; a warm restart")
    options = parser.parse_args(arguments)
    try:
        _train(options)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _train(options: argparse.Namespace) -> None:
    model, checkpoints = read_model(options.settings, options.model), options.out / "checkpoints"
    trained = run_job(model, options.tensors, checkpoints, options.start)
    if not PartialState().is_main_process:
        return
    with atomic(options.out / "curve.csv") as partial, partial.open("w", newline="") as file:
        rows = [entry | {"seed": run.seed} for run in trained for entry in run.curve]
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    card = {
        "model": options.model or options.out.name,
        "settings": options.settings.name,
        **training_facts(model, trained),
        "gpus": PartialState().num_processes if gpu else 0,
        "hardware": {"machine": platform.machine(), "gpu": gpu},
        "data_sha256": data_hash(options.tensors),
        "versions": {"torch": torch.__version__},
    }
    write_json(card, options.out / "card.json")
    save_job(model, options.tensors, trained, options.out, checkpoints)
    print(options.out)


if __name__ == "__main__":
    raise SystemExit(main())
