"""How far a UniMat diffusion that predicts the data is off at each noise level: coordinates of true atoms, and scaled cells.

    python benchmarks/unimat_noise.py MODEL TENSORS [--count 200]

MODEL is a trained model's folder, TENSORS the file `unimat.safetensors` of its study. A network that only copied what it sees would be
off by the noise, which is in units of the data here.
"""

import argparse
import math
from pathlib import Path

import torch

from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import NULL_THRESHOLD, VAL
from crystalgen.generative.jobs import load_data

LEVELS = (0.01, 0.02, 0.04, 0.1, 0.2, 0.3, 0.5)  # times t of the cosine schedule


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("tensors", type=Path)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    model = Model.load(options.model)
    data = load_data(model.settings, options.tensors)
    batch = data.batch(data.items(VAL)[: options.count])
    layout, net = data.codec.layout, next(iter(model.nets.values()))
    places, cell = layout.split(batch.x)
    atoms = (places.mean(dim=1, keepdim=True) > NULL_THRESHOLD) & net.used
    noise = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0))
    print("noise  coordinates  cell")
    for t in LEVELS:
        signal, spread = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
        found, own = layout.split(net(signal * batch.x + spread * noise, torch.full((len(batch.x),), t), batch.condition))
        off = (found - places)[atoms.expand_as(places)].square().mean().sqrt()
        print(f"{spread / signal:5.3f}  {float(off):11.4f}  {float((own - cell).square().mean().sqrt()):.4f}")


if __name__ == "__main__":
    main()
