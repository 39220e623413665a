"""Train a denoiser on a set's training crystals, and measure how much noise it takes out of those that it was not shown.

    python benchmarks/denoiser.py CRYSTALS FOLDER [--epochs 160] [--split val]

A run that was cut off goes on. Printed, and kept in the card, is what one step leaves of noises, on sites (in units of (volume /
sites)^(1/3)) and on the cell, as a share of their mean squares. `benchmarks/unconditional.py --denoiser FOLDER` uses it.
"""

import argparse
import hashlib
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from crystalgen.config import Denoiser as Settings
from crystalgen.corrector import denoising
from crystalgen.crystals import read_crystals
from crystalgen.utils.files import write_json

NOISES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crystals", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=Settings().training.epochs)
    parser.add_argument("--split", default="val", help="crystals that it is measured on")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    table = read_crystals(options.crystals)
    training, held_out = (table[table["split"] == split].reset_index(drop=True) for split in ("train", options.split))
    settings = Settings(training=Settings().training.model_copy(update={"epochs": options.epochs}))
    digest = hashlib.sha256(options.crystals.read_bytes()).hexdigest()[:16]
    run = denoising.train_denoiser(training, settings, options.folder / "run.pt", f"{digest} {settings.model_dump_json()}")
    denoising.TrainedDenoiser(settings, run.net).save(options.folder)
    left = left_over(run.net, held_out)
    print(left.round(3).to_string())
    facts = {"crystals": len(training), "steps": run.steps, "seconds": round(run.seconds, 1), "loss": round(run.losses[-1], 5)}
    write_json(facts | {"crystals_sha256": digest, "noise_left": left.round(4).to_dict("index")}, options.folder / "card.json")


@torch.inference_mode()
def left_over(net: denoising.Denoiser, table: pd.DataFrame) -> pd.DataFrame:
    """Shares of the noise's mean square that are left, by noise: sites and cell."""
    torch.manual_seed(0)
    rows = []
    for noise in NOISES:
        for _, lattices, coords, numbers in denoising.batches_of(table):
            drawn = denoising.draw_noise(*coords.shape[:2])
            level = np.full(len(coords), noise)
            said = denoising.answer(net, *denoising.moved(lattices, coords, level, *drawn), numbers, level)
            parts = [((part.numpy() + was) ** 2).mean(axis=(1, 2)) / (was**2).mean() for part, was in zip(said, drawn, strict=True)]
            rows += [(noise, *values) for values in zip(*parts, strict=True)]
    return pd.DataFrame(rows, columns=["noise", "sites", "cell"]).groupby("noise").mean()


if __name__ == "__main__":
    main()
